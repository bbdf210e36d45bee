"""Amazon's services from Python: real HTTP against a server that plays them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import picchu
from fake_s3 import FakeS3

Answer = tuple[int, dict[str, Any]]


class Service:
    """A collection that remembers, and frames that all show one person with one face."""

    def __init__(self) -> None:
        self.faces: list[str] = []
        self.exists = False
        self.calls: list[str] = []
        self.batch_state = "InProgress"

    def answer(self, operation: str, request: dict[str, Any]) -> Answer:
        self.calls.append(operation)
        answers: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "DescribeCollection": self.describe,
            "CreateCollection": self.create,
            "DeleteCollection": self.delete,
            "ListFaces": lambda _: (
                200,
                {"Faces": [{"FaceId": face, "ExternalImageId": face} for face in self.faces]},
            ),
            "IndexFaces": self.index,
            "DetectLabels": lambda _: (200, {"Labels": [person()]}),
            "DetectFaces": lambda _: (
                200,
                {"FaceDetails": [{"BoundingBox": box(0.4, 0.25, 0.1, 0.15), "Confidence": 99.0}]},
            ),
            "SearchFacesByImage": lambda _: (
                200,
                {
                    "FaceMatches": [
                        {"Similarity": 96.0, "Face": {"FaceId": "1", "ExternalImageId": self.faces[0]}}
                    ]
                },
            ),
        }
        if operation == "/model-invocation-job":
            return 200, {"jobArn": f"arn:aws:bedrock:us-east-1:1:model-invocation-job/{'a' * 12}"}
        return answers[operation](request)

    def describe(self, _: dict[str, Any]) -> Answer:
        if self.exists:
            return 200, {"FaceCount": len(self.faces)}
        return 400, {"__type": "ResourceNotFoundException", "message": "no such collection"}

    def create(self, _: dict[str, Any]) -> Answer:
        self.exists = True
        return 200, {"StatusCode": 200}

    def delete(self, _: dict[str, Any]) -> Answer:
        self.exists = False
        self.faces.clear()
        return 200, {"StatusCode": 200}

    def index(self, request: dict[str, Any]) -> Answer:
        name = request["ExternalImageId"]
        if name.startswith("wara"):
            return 200, {"FaceRecords": [], "UnindexedFaces": [{"Reasons": ["LOW_SHARPNESS"]}]}
        self.faces.append(name)
        return 200, {"FaceRecords": [{"Face": {"FaceId": name, "ExternalImageId": name}}]}


def box(left: float, top: float, width: float, height: float) -> dict[str, float]:
    return {"Left": left, "Top": top, "Width": width, "Height": height}


def person() -> dict[str, Any]:
    instances = [{"BoundingBox": box(0.3, 0.2, 0.3, 0.75), "Confidence": 95.0}]
    return {"Name": "Person", "Confidence": 95.0, "Instances": instances}


@pytest.fixture
def service(aws_keys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            target = self.headers.get("x-amz-target", f".{self.path}")
            self.send(service.answer(target.rsplit(".", 1)[1], request))

        def do_GET(self) -> None:
            self.send((200, {"status": service.batch_state, "totalRecordCount": 110}))

        def send(self, answer: Answer) -> None:
            body = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield service
    server.shutdown()
    server.server_close()


def test_a_cast_is_enrolled_once_and_cleaned_away(service: Service, cast_path: Path, tmp_path: Path) -> None:
    first = picchu.aws.enrol(cast_path, collection="my-film", ledger=tmp_path)
    assert first.created
    assert first.usd == pytest.approx(0.001 * len(first.references))
    by_name = {reference.character: reference for reference in first.references}
    assert by_name["Nilo"].outcome == "enrolled"
    assert by_name["Nilo"].picture.exists()
    assert (by_name["Wara"].outcome, by_name["Wara"].reason) == ("rejected", "LOW_SHARPNESS")
    again = picchu.aws.enrol(picchu.Cast.load(cast_path), collection="my-film", ledger=tmp_path)
    assert not again.created
    assert again.references[0].outcome == "known"

    (resource,) = picchu.aws.resources(tmp_path)
    assert (resource.kind, resource.id, resource.exists) == ("face_collection", "my-film", True)
    assert picchu.aws.clean(tmp_path) == (resource,)
    assert not service.exists
    assert picchu.aws.resources(tmp_path) == ()
    picchu.aws.delete_collection("my-film", ledger=tmp_path)


def test_a_film_is_searched_by_the_service(
    service: Service, film_path: Path, cast_path: Path, tmp_path: Path
) -> None:
    picchu.aws.enrol(cast_path, collection="my-film", ledger=tmp_path)
    detector = picchu.aws.Rekognition(cast_path, collection="my-film")
    plan = picchu.film(film_path).sample(fps=1, start=7.0, limit=3).detect(detector).dedupe().caption()
    assert plan.explain().stages
    dataset = plan.run(tmp_path / "dataset", progress=False)
    assert {record.character for record in dataset} == {"Nilo"}
    assert {record.decided_by for record in dataset} == {"rekognition:faces"}
    assert service.calls.count("DetectLabels") == 3
    done = dataset.export_custom_labels(
        film_path, out=tmp_path / "labels", uri="s3://bucket/labels", unreviewed=True
    )
    assert done.train == "s3://bucket/labels/train.manifest"
    assert done.test is None
    lines = (tmp_path / "labels" / "train.manifest").read_text().splitlines()
    assert len(lines) == done.train_frames == len({record.frame_index for record in dataset.kept})
    with pytest.raises(picchu.InvalidInput, match="not looked at by a person"):
        dataset.export_custom_labels(film_path, out=tmp_path / "none", uri="s3://bucket/labels")


def test_plans_with_the_service_are_values(film_path: Path, cast_path: Path) -> None:
    def plan(collection: str) -> picchu.Plan:
        return picchu.film(film_path).detect(picchu.aws.Rekognition(cast_path, collection=collection))

    assert len({plan("a"), plan("a"), plan("b")}) == 2


def test_embeddings_come_by_a_batch_job(
    service: Service, cast_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film"
    film.mkdir()
    noise = np.random.default_rng(7)
    for n in range(110):
        pixels = noise.integers(0, 256, (3, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((320, 240)).save(film / f"{n:03}.png")
    picchu.aws.enrol(cast_path, collection="my-film", ledger=tmp_path)
    plan = picchu.film(film).detect(picchu.aws.Rekognition(cast_path, collection="my-film"))
    dataset = plan.dedupe().caption().run(tmp_path / "dataset", progress=False)
    titan = picchu.aws.TitanEmbedder(dimensions=256)
    with FakeS3() as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.address)

        def ask(submit: bool = False, max_usd: float | None = None) -> picchu.aws.BatchProgress:
            role = "arn:aws:iam::123456789012:role/Batch"
            return picchu.aws.batch(
                dataset, titan, s3="s3://bucket/jobs", role=role, submit=submit, max_usd=max_usd
            )

        looked = ask()
        assert looked.can_submit
        assert looked.open == looked.questions == len(dataset)
        assert looked.estimated_usd == pytest.approx(0.00003 * looked.open)
        with pytest.raises(picchu.QuotaExceeded, match="nothing was submitted"):
            ask(submit=True, max_usd=0.001)
        assert not s3.objects
        (job,) = ask(submit=True).jobs
        assert job.state == "Submitted"
        assert ask(submit=True).under_way == looked.open
        assert service.calls.count("/model-invocation-job") == 1

        (key,) = [key for key in s3.objects if key.endswith("records.jsonl")]
        ids = [json.loads(line)["recordId"] for line in s3.objects[key].splitlines()]
        answers = [
            {"recordId": name, "modelOutput": {"embedding": noise.normal(size=256).tolist()}} for name in ids
        ]
        out = key.replace("/input/", "/output/abc/") + ".out"
        s3.objects[out] = "\n".join(json.dumps(answer) for answer in answers).encode()
        service.batch_state = "Completed"
        done = ask()
        assert (done.answered, done.open, dict(done.failed)) == (looked.open, 0, {})
    again = plan.dedupe(embedder=titan).caption().run(tmp_path / "dataset", progress=False)
    assert not any("invoke" in call for call in service.calls), "a run finds all of them"
    assert again.embeddings.shape[1] == 256


def test_captions_in_batches_need_the_cast(tmp_path: Path) -> None:
    with pytest.raises(picchu.ConfigError, match="need the cast"):
        picchu.aws.batch(tmp_path, picchu.aws.NovaCaptioner(), s3="s3://bucket/jobs", role="arn")
