"""Amazon Bedrock, IAM, STS and Rekognition over HTTP: jobs, models, roles, kept as the services do."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from PIL import Image

from fake_server import FakeServer, Handler

ACCOUNT = "123456789012"
TRUST = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]
}
Answer = tuple[int, Any]
ABSENT: Answer = (404, {"__type": "ResourceNotFoundException", "message": "not found"})


def arn(kind: str, name: str) -> str:
    return f"arn:aws:bedrock:us-east-1:{ACCOUNT}:{kind}/{name}"


class FakeBedrock(FakeServer):
    """Answers at ``address`` until it is left. ``alive`` says whether the model can be trained."""

    def __init__(self) -> None:
        self.alive = True
        self.jobs: dict[str, str] = {}
        self.models: set[str] = set()
        self.throughput: dict[str, str] = {}
        self.tags: dict[str, Any] = {}
        self.collections: set[str] = set()
        self.roles: set[str] = set()
        self.requests: list[tuple[str, Any]] = []
        service = self

        class Playing(Handler):
            def handle_all(self) -> None:
                body = self.body()
                path = unquote(self.path.split("?")[0]).strip("/")
                if target := self.headers.get("X-Amz-Target"):
                    status, answer = service.rekognition(target.split(".")[-1], json.loads(body))
                elif body.startswith(b"Action="):
                    status, answer = service.identity(dict(parse_qsl(body.decode())))
                else:
                    status, answer = service.answer(self.command, path, json.loads(body or b"{}"))
                sent = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                refused = status >= 400 and isinstance(answer, dict)
                self.say(status, sent, {"x-amzn-errortype": answer["__type"]} if refused else {})

        super().__init__(Playing)

    def sent(self, operation: str) -> list[Any]:
        """The bodies of the requests of an operation."""
        return [body for name, body in self.requests if name == operation]

    def rekognition(self, operation: str, body: Any) -> Answer:
        self.requests.append((operation, body))
        match operation:
            case "ListCollections":
                return 200, {"CollectionIds": sorted(self.collections)}
            case "DescribeCollection" if body["CollectionId"] in self.collections:
                return 200, {"CollectionARN": body["CollectionId"], "CreationTimestamp": 1_700_000_000}
            case "DeleteCollection" if body["CollectionId"] in self.collections:
                self.collections.discard(body["CollectionId"])
                return 200, {}
            case "ListTagsForResource":
                return 200, {"Tags": {"created-by": "picchu"} if body["ResourceArn"] == "my-film" else {}}
            case "DescribeProjects":
                return 400, {"__type": "AccessDeniedException", "message": "not allowed"}
            case "ListEndpoints" | "ListEndpointConfigs" | "ListModels" | "ListTrainingJobs":
                return 200, {}
        return 400, ABSENT[1]

    def identity(self, form: Mapping[str, str]) -> Answer:
        action, name = form["Action"], form.get("RoleName", "")
        self.requests.append((action, form))
        result = ""
        if action == "ListRoles":
            result = "<IsTruncated>false</IsTruncated><Roles></Roles>"
        elif action == "GetCallerIdentity":
            result = (
                f"<Account>{ACCOUNT}</Account><Arn>arn:aws:iam::{ACCOUNT}:user/me</Arn><UserId>U</UserId>"
            )
        elif action == "SimulatePrincipalPolicy":
            result = "<EvaluationResults></EvaluationResults>"
        elif action == "CreateRole":
            self.roles.add(name)
        elif name not in self.roles:
            return 404, "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>"
        elif action == "DeleteRole":
            self.roles.discard(name)
        if action in ("CreateRole", "GetRole"):
            result = (
                f"<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>R</RoleId>"
                f"<Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn><CreateDate>2026-11-24T12:00:00Z</CreateDate>"
                f"<AssumeRolePolicyDocument>{quote(json.dumps(TRUST))}</AssumeRolePolicyDocument></Role>"
            )
        return 200, f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"

    def answer(self, method: str, path: str, body: Any) -> Answer:
        kind, *rest = path.split("/")
        name = rest[-1] if rest else ""
        self.requests.append((f"{method} {kind}", body))
        match method, kind:
            case "GET", "foundation-models":
                if not self.alive:
                    return ABSENT
                details = {
                    "modelArn": "arn",
                    "modelId": rest[0],
                    "outputModalities": ["IMAGE"],
                    "customizationsSupported": ["FINE_TUNING"],
                    "modelLifecycle": {"status": "ACTIVE"},
                }
                return 200, {"modelDetails": details}
            case "POST", "model-customization-jobs" if name == "stop":
                if self.jobs.get(rest[-2]) != "InProgress":
                    return 400, {"__type": "ConflictException", "message": "not running"}
                self.jobs[rest[-2]] = "Stopped"
                return 200, {}
            case "POST", "model-customization-jobs":
                self.jobs.setdefault(body["jobName"], "InProgress")
                return 201, {"jobArn": arn("model-customization-job", body["jobName"])}
            case "GET", "model-customization-jobs" if name in self.jobs:
                return 200, self.job(name)
            case (("GET" | "DELETE"), "custom-models") if name in self.models:
                if method == "DELETE":
                    self.models.discard(name)
                    return 200, {}
                made = {"modelName": name, "creationTime": "2026-11-24T12:00:00Z"}
                return 200, {"modelArn": arn("custom-model", name), **made}
            case "GET", "model-customization-jobs" | "custom-models" if not rest:
                return 200, {}
            case "GET", "provisioned-model-throughputs":
                return 200, {"provisionedModelSummaries": [self.serving(name) for name in self.throughput]}
            case "POST", "listTagsForResource":
                return 200, {"tags": self.tags.get(body["resourceARN"], [])}
            case "PATCH", "provisioned-model-throughput" if name in self.throughput:
                # The ARN stays, which is what it is asked by here.
                self.throughput[name] = body["desiredModelId"]
                return 200, {}
            case "POST", "provisioned-model-throughput":
                self.throughput[body["provisionedModelName"]] = body["modelId"]
                self.tags[arn("provisioned-model", body["provisionedModelName"])] = body["tags"]
                return 201, {"provisionedModelArn": arn("provisioned-model", body["provisionedModelName"])}
            case (("GET" | "DELETE"), "provisioned-model-throughput") if name in self.throughput:
                if method == "DELETE":
                    del self.throughput[name]
                    return 200, {}
                return 200, self.serving(name)
            case "POST", "model":
                return 200, draw(body)
        return ABSENT

    def job(self, name: str) -> dict[str, Any]:
        status = self.jobs[name]
        job: dict[str, Any] = {
            "jobArn": arn("model-customization-job", name),
            "jobName": name,
            "outputModelName": name,
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/tune",
            "status": status,
            "statusDetails": {"trainingDetails": {"status": status}},
            "creationTime": "2026-11-24T12:00:00Z",
            "baseModelArn": "amazon.nova-canvas-v1:0",
            "trainingDataConfig": {"s3Uri": "s3://bucket/film/train.jsonl"},
            "validationDataConfig": {"validators": []},
            "outputDataConfig": {"s3Uri": "s3://bucket/model"},
        }
        if status == "Completed":
            self.models.add(name)
            job |= {"outputModelArn": arn("custom-model", name), "trainingMetrics": {"trainingLoss": 0.125}}
        return job

    def serving(self, name: str) -> dict[str, Any]:
        model, now = self.throughput[name], "2026-11-24T12:00:00Z"
        return {
            "modelUnits": 1,
            "desiredModelUnits": 1,
            "provisionedModelName": name,
            "provisionedModelArn": arn("provisioned-model", name),
            "modelArn": model,
            "desiredModelArn": model,
            "foundationModelArn": "amazon.nova-canvas-v1:0",
            "status": "Failed" if "bad" in name else "InService",
            "failureMessage": "no capacity",
            "creationTime": now,
            "lastModifiedTime": now,
        }


def draw(body: Any) -> dict[str, Any]:
    if "blocked" in body["textToImageParams"]["text"]:
        return {"images": [], "error": "This request was blocked by the filters"}
    picture = BytesIO()
    Image.new("RGB", (64, 64), (body["imageGenerationConfig"]["seed"], 90, 120)).save(picture, "PNG")
    return {"images": [base64.b64encode(picture.getvalue()).decode()]}
