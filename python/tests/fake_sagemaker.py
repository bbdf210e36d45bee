"""Amazon SageMaker over HTTP: jobs, models and endpoints, kept as the service does."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

from PIL import Image

from fake_s3 import FakeS3
from fake_server import FakeServer, Handler

Answer = tuple[int, dict[str, Any], dict[str, str]]


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}"


class FakeSageMaker(FakeServer):
    """Answers at ``address`` until it is left; what an endpoint draws it lays into ``s3``."""

    def __init__(self, s3: FakeS3) -> None:
        self.s3 = s3
        self.jobs: dict[str, dict[str, Any]] = {}
        self.held: dict[str, dict[str, dict[str, Any]]] = {"Model": {}, "EndpointConfig": {}, "Endpoint": {}}
        self.scaled: set[str] = set()
        self.requests: list[tuple[str, Any]] = []
        service = self

        class Playing(Handler):
            def handle_all(self) -> None:
                body = self.body()
                if body.startswith(b"Action="):
                    # IAM, which nobody may look into here.
                    refusal = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
                    return self.say(403, refusal)
                if target := self.headers.get("X-Amz-Target"):
                    operation, asked = target.split(".")[-1], json.loads(body)
                    service.requests.append((operation, asked))
                    status, answer, headers = service.answer(operation, asked)
                else:
                    status, answer, headers = service.draw(self.headers["X-Amzn-SageMaker-InputLocation"])
                return self.say(status, json.dumps(answer).encode(), headers)

        super().__init__(Playing)

    def sent(self, operation: str) -> list[Any]:
        return [body for name, body in self.requests if name == operation]

    def answer(self, operation: str, body: dict[str, Any]) -> Answer:
        if operation == "ListServiceQuotas":
            kinds = ("training job", "spot training job", "endpoint")
            found = [{"QuotaName": f"ml.g5.2xlarge for {kind} usage", "Value": 1.0} for kind in kinds]
            return 200, {"Quotas": found}, {}
        if operation.endswith("TrainingJob"):
            return self._job(operation, body)
        if operation == "DescribeLogStreams":
            return 200, {"logStreams": [{"logStreamName": "a", "lastEventTimestamp": 1}]}, {}
        if operation == "GetLogEvents":
            return 200, {"events": [{"message": '{"step": 1}'}]}, {}
        for kind, held in self.held.items():
            name = body.get(f"{kind}Name", "")
            if operation == f"Create{kind}":
                held[name] = {**body, f"{kind}Arn": arn("endpoint", name), "EndpointStatus": "InService"}
                return 200, {f"{kind}Arn": arn("endpoint", name)}, {}
            if operation == f"Describe{kind}" and name in held:
                return 200, held[name], {}
            if operation == f"Delete{kind}" and held.pop(name, None):
                return 200, {}, {}
            if operation in (f"Describe{kind}", f"Delete{kind}"):
                return 400, {"__type": "ValidationException", "message": f"Could not find {kind}"}, {}
        if operation == "RegisterScalableTarget":
            self.scaled.add(body["ResourceId"])
        if operation == "DeregisterScalableTarget":
            self.scaled.discard(body["ResourceId"])
        return 200, {"PolicyARN": "arn:aws:autoscaling:policy/1"}, {}

    def _job(self, operation: str, body: dict[str, Any]) -> Answer:
        name = body["TrainingJobName"]
        if operation == "CreateTrainingJob":
            self.jobs[name] = {**body, "TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting"}
        elif name not in self.jobs:
            return 400, {"__type": "ValidationException", "message": "Requested resource not found."}, {}
        output = f"{self.jobs[name]['OutputDataConfig']['S3OutputPath']}/{name}/output/model/"
        artifacts = {"S3ModelArtifacts": output}
        told = {**self.jobs[name], "TrainingJobArn": arn("training-job", name), "ModelArtifacts": artifacts}
        return 200, told, {}

    def draw(self, place: str) -> Answer:
        panel = json.loads(self.s3.objects[place.removeprefix("s3://")])
        (config,) = self.held["EndpointConfig"].values()
        output = config["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"]
        file = BytesIO()
        Image.new("RGB", (32, 32), (panel["seed"], 90, 120)).save(file, "PNG")
        body = {"images": [base64.b64encode(file.getvalue()).decode()]}
        self.s3.objects[f"{output.removeprefix('s3://')}/1.out"] = json.dumps(body).encode()
        return 202, {}, {"X-Amzn-SageMaker-OutputLocation": f"{output}/1.out"}
