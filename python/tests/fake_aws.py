"""The services of the whole path: `FakeBedrock` with eyes, vectors, words, and jobs that get done."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

from PIL import Image

from fake_bedrock import Answer, FakeBedrock
from fake_s3 import FakeS3

ACTIONS = (
    "Under a wide sky {name} stands still and looks ahead, seen from the side.",
    "{name} walks along a path in warm light, one arm swinging.",
    "Close to the viewer {name} turns the head to the left.",
    "Half hidden by the edge of the picture, {name} waits in the shade.",
    "Bright light falls on {name} from above while the ground stays dark.",
    "With both arms down {name} faces the viewer in an open field.",
    "From far away {name} seems small before a row of hills.",
    "Leaning forward, {name} listens to something outside the picture.",
    "At dusk {name} rests beside a wall, eyes half closed.",
    "The wind moves around {name}, who holds on with one hand.",
    "Standing on one leg, {name} keeps the balance with both arms.",
    "Nobody else is near as {name} crosses the empty square.",
)


class FakeAws(FakeBedrock):
    """Every frame shows whose face is the first in the collection; jobs are through at the second look."""

    def __init__(self, s3: FakeS3) -> None:
        super().__init__()
        self.s3 = s3
        self.faces: list[str] = []
        self.looks: dict[str, int] = {}
        self.captions = 0

    def rekognition(self, operation: str, body: Any) -> Answer:
        self.requests.append((operation, body))
        match operation:
            case "CreateCollection":
                self.collections.add(body["CollectionId"])
                return 200, {"StatusCode": 200}
            case "DescribeProjects":
                return 200, {"ProjectDescriptions": []}
            case "ListFaces":
                return 200, {"Faces": [{"FaceId": face, "ExternalImageId": face} for face in self.faces]}
            case "IndexFaces":
                face = body["ExternalImageId"]
                self.faces.append(face)
                return 200, {"FaceRecords": [{"Face": {"FaceId": face, "ExternalImageId": face}}]}
            case "DetectLabels":
                instances = [{"BoundingBox": _box(0.3, 0.1, 0.35, 0.85), "Confidence": 95.0}]
                return 200, {"Labels": [{"Name": "Person", "Confidence": 95.0, "Instances": instances}]}
            case "DetectFaces":
                face = {"BoundingBox": _box(0.42, 0.15, 0.1, 0.15), "Confidence": 99.0}
                return 200, {"FaceDetails": [face]}
            case "SearchFacesByImage":
                match = {"Similarity": 96.0, "Face": {"FaceId": "1", "ExternalImageId": self.faces[0]}}
                return 200, {"FaceMatches": [match]}
        self.requests.pop()
        return super().rekognition(operation, body)

    def answer(self, method: str, path: str, body: Any) -> Answer:
        if method == "POST" and path.startswith("model/"):
            if "titan-embed" in path:
                return 200, {"embedding": _vector(body["inputImage"]), "inputTextTokenCount": 0}
            if path.endswith("/converse"):
                return 200, self.caption(body)
        return super().answer(method, path, body)

    def caption(self, body: Any) -> dict[str, Any]:
        words = next(part["text"] for part in body["messages"][0]["content"] if "text" in part)
        line = next(line for line in words.splitlines() if line.startswith("Cast: "))
        names = [member["name"] for member in json.loads(line[6:]) if member["detected"]]
        caption = ACTIONS[self.captions % len(ACTIONS)].format(name=" and ".join(names))
        self.captions += 1
        answer = {"toolUseId": "t1", "name": "record_caption", "input": {"caption": caption, "names": names}}
        return {
            "output": {"message": {"role": "assistant", "content": [{"toolUse": answer}]}},
            "stopReason": "tool_use",
            "usage": {"inputTokens": 1900, "outputTokens": 60, "totalTokens": 1960},
            "metrics": {"latencyMs": 5},
        }

    def job(self, name: str) -> dict[str, Any]:
        self.looks[name] = self.looks.get(name, 0) + 1
        if self.looks[name] == 2:
            self.jobs[name] = "Completed"
            folder = f"model-customization-job-{name}/training_artifacts"
            steps = "".join(f"{step},,{0.2 + 0.6 / step**0.3:.4f}\n" for step in range(1, 200))
            self.s3.objects[f"my-bucket/model/{folder}/step_wise_training_metrics.csv"] = (
                f"step_number,epoch_number,training_loss\n{steps}".encode()
            )
        body = super().job(name)
        body["outputDataConfig"] = {"s3Uri": "s3://my-bucket/model"}
        return body


def _box(left: float, top: float, width: float, height: float) -> dict[str, float]:
    return {"Left": left, "Top": top, "Width": width, "Height": height}


def _vector(picture: str) -> list[float]:
    """The picture itself, small: pictures that look alike have vectors that are alike."""
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        small = image.convert("RGB").resize((18, 18))
    values = [value / 255 - 0.5 for value in small.tobytes()]
    return values + [0.01] * (1024 - len(values))
