"""Fine-tuning, serving and drawing from Python: real HTTP against servers that play the services."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import picchu
from fake_bedrock import FakeBedrock, arn
from fake_s3 import FakeS3

ROLE = "arn:aws:iam::123456789012:role/tune"


@pytest.fixture
def bedrock(aws_keys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBedrock]:
    with FakeBedrock() as bedrock, FakeS3() as s3:
        picture = BytesIO()
        Image.new("RGB", (512, 640)).save(picture, "PNG")
        lines = []
        for n in range(6):
            s3.objects[f"bucket/film/images/{n}.png"] = picture.getvalue()
            lines.append({"image-ref": f"s3://bucket/film/images/{n}.png", "caption": "Mayu waits."})
        mark = {"format": "nova", "picchu": "0.1.0", "pictures": len(lines), "unreviewed": 0}
        s3.objects["bucket/film/.picchu-export.json"] = json.dumps(mark).encode()
        s3.objects["bucket/film/train.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
        monkeypatch.setenv("AWS_ENDPOINT_URL", bedrock.address)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.address)
        yield bedrock


def training(**options: Any) -> picchu.aws.Training:
    return picchu.aws.Training("s3://bucket/film", output="s3://bucket/model", **options)


def test_from_an_export_to_images_and_back_to_nothing(bedrock: FakeBedrock, tmp_path: Path) -> None:
    plan = training(preset="characters")
    findings = plan.check()
    assert {finding.severity for finding in findings} == {"note"}
    assert any("896000 pictures" in finding.message for finding in findings)
    assert not bedrock.jobs
    assert not bedrock.roles

    job = picchu.aws.train(plan, ledger=tmp_path)
    assert picchu.aws.train(plan, ledger=tmp_path).id == job.id
    assert len(bedrock.sent("POST model-customization-jobs")) == 1
    assert (job.status, len(bedrock.roles)) == ("in_progress", 1)
    ending = threading.Timer(0.5, bedrock.jobs.update, [{job.name: "Completed"}])
    ending.start()
    done = picchu.aws.wait(job, poll=0.1)
    assert done == picchu.aws.training_job(job.id) == asyncio.run(picchu.aws.wait_async(job.id))
    assert (done.status, done.loss, done.phases["training"]) == ("completed", 0.125, "Completed")
    assert done.model is not None
    assert done.model.id == arn("custom-model", job.name)
    assert [(s.kind, s.job) for s in picchu.aws.status(tmp_path)] == [("training_job", done), ("role", None)]

    with picchu.aws.deploy(done.model, name="board", ledger=tmp_path) as deployment:
        assert deployment.usd_per_hour == 60.5
        (serving, *_) = picchu.aws.status(tmp_path)
        assert (serving.deployment, serving.status) == (deployment.id, "in_service")
        panels: list[str | picchu.aws.Panel] = [
            picchu.aws.Panel("Mayu waves", seed=40, count=2),
            "something blocked",
        ]
        drawn = picchu.aws.generate(panels, model=deployment, out=tmp_path / "board")
        drawing = picchu.aws.Drawing(panels, model=deployment)
        assert drawing.estimate(tmp_path / "board") == (1, 0.0)
    assert not bedrock.throughput
    assert (len(drawn), drawn.usd, drawn.folder) == (2, 0.0, tmp_path / "board")
    assert [image.seed for image in drawn[0].images] == [40, 41]
    with Image.open(drawn[0].images[1].path) as picture:
        assert picture.getpixel((0, 0)) == (41, 90, 120)
    assert "blocked by the filters" in (drawn[1].failure or "")
    assert (tmp_path / "board" / "storyboard.html").exists()
    picchu.aws.clean(tmp_path)
    assert not bedrock.models
    assert not bedrock.roles
    assert picchu.aws.resources(tmp_path) == ()


def test_a_model_at_its_end_is_told_before_anything_is_read(bedrock: FakeBedrock, tmp_path: Path) -> None:
    bedrock.alive = False
    for refused in (
        training().check,
        training(role=ROLE).request,
        lambda: picchu.aws.train(training(), ledger=tmp_path),
    ):
        with pytest.raises(picchu.ConfigError, match=r"end of its life on 2026-09-30.*--to diffusers"):
            refused()
    assert {operation for operation, _ in bedrock.requests} == {"GET foundation-models"}
    assert list(tmp_path.iterdir()) == []


def test_a_deployment_ends_however_its_block_ends(bedrock: FakeBedrock, tmp_path: Path) -> None:
    model = arn("custom-model", "mayu")

    def fail() -> None:
        with picchu.aws.deploy(model, ledger=tmp_path):
            assert len(bedrock.throughput) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not bedrock.throughput
    with (
        pytest.raises(picchu.Unavailable, match="no capacity"),
        picchu.aws.deploy(model, name="bad", ledger=tmp_path),
    ):
        pytest.fail("it never serves")
    assert not bedrock.throughput
    assert picchu.aws.resources(tmp_path) == ()
    assert len(bedrock.sent("POST provisioned-model-throughput")) == 2


def test_a_deployment_takes_another_model(bedrock: FakeBedrock, tmp_path: Path) -> None:
    first, second = arn("custom-model", "first"), arn("custom-model", "second")
    with picchu.aws.deploy(first, ledger=tmp_path) as deployment:
        deployment.update(picchu.aws.CustomModel(second, "amazon.nova-canvas-v1:0"))
        deployment.wait()
        assert list(bedrock.throughput.values()) == [second]
        (sent,) = bedrock.sent("PATCH provisioned-model-throughput")
        assert sent["desiredModelId"] == second
    assert not bedrock.throughput
    with pytest.raises(picchu.NotFound):
        deployment.update(first)


def test_drawing_costs_what_is_told_and_ends_at_its_budget(bedrock: FakeBedrock, tmp_path: Path) -> None:
    drawing = picchu.aws.Drawing(
        ["Mayu waves", picchu.aws.Panel("Mayu sleeps", count=2)], model="amazon.nova-canvas-v1:0"
    )
    images, usd = drawing.estimate(tmp_path)
    assert (images, usd) == (3, pytest.approx(0.18))
    assert not bedrock.sent("POST model")
    board = drawing.draw(tmp_path, budget=0.13)
    assert [len(panel.images) for panel in board] == [1, 1]
    assert board.usd == pytest.approx(0.12)
    assert "budget of 0.13" in (board[1].failure or "")
    assert drawing.draw(tmp_path).usd == pytest.approx(0.06)
    with pytest.raises(picchu.InvalidInput, match="budget"):
        drawing.draw(tmp_path, budget=-1)


def test_what_no_ledger_knows_is_found_by_its_tag(bedrock: FakeBedrock, tmp_path: Path) -> None:
    picchu.aws.deploy(arn("custom-model", "mayu"), ledger=tmp_path / "lost")
    bedrock.collections |= {"my-film", "others"}
    assert picchu.aws.resources(tmp_path) == ()
    with pytest.warns(RuntimeWarning, match="not everything could be asked.*DescribeProjects"):
        found = picchu.aws.resources(tmp_path, scan=True)
    assert [(r.kind, r.usd_per_hour) for r in found] == [
        ("provisioned_throughput", 60.5),
        ("face_collection", None),
    ]
    with pytest.warns(RuntimeWarning):
        (hourly,) = picchu.aws.resources(tmp_path, scan=True, hourly=True)
    assert hourly.kind == "provisioned_throughput"
    with pytest.warns(RuntimeWarning):
        assert picchu.aws.clean(tmp_path, scan=True, older_than=timedelta(days=36500)) == ()
    with pytest.warns(RuntimeWarning):
        picchu.aws.clean(tmp_path, scan=True)
    assert (bedrock.throughput, bedrock.collections) == ({}, {"others"})


def test_what_stands_in_the_way_creates_nothing(bedrock: FakeBedrock, tmp_path: Path) -> None:
    wrong = training(role="tune", hyperparameters={"learningRate": "1e-6"})
    assert sum(finding.severity == "error" for finding in wrong.check()) == 2
    with pytest.raises(picchu.ConfigError, match=r"nothing was created: learningRate.*and 1 more"):
        picchu.aws.train(wrong, ledger=tmp_path)
    with pytest.raises(picchu.NotFound):
        picchu.aws.Training("s3://bucket/nothing", output="s3://bucket/model", role=ROLE).check()
    with pytest.raises(picchu.NotFound):
        picchu.aws.training_job("no-such-job")
    with pytest.raises(picchu.InvalidInput, match="preset"):
        picchu.aws.hyperparameters("other")  # type: ignore[arg-type]
    with pytest.raises(picchu.InvalidInput, match="cfg_scale"):
        picchu.aws.generate(["Mayu"], model="model", out=tmp_path, cfg_scale=20)
    assert not bedrock.jobs
    assert list(tmp_path.iterdir()) == []


def test_requests_are_what_amazons_own_client_takes(bedrock: FakeBedrock, tmp_path: Path) -> None:
    """Held against the rules of the service's description, which the AWS CLI checks by too."""
    session = pytest.importorskip("botocore.session").Session()
    shape = session.get_service_model("bedrock").operation_model("CreateModelCustomizationJob").input_shape
    networks = {"subnets": ("subnet-1a2b3c4d",), "security_groups": ("sg-1a2b3c4d",)}
    bedrock.roles.add("tune")
    for options in ({}, {"kms_key": "alias/mine", **networks}):
        plan = training(role=ROLE, name="Señora Ñandú: part_2 (final)", **options)
        request = plan.request()
        assert list(problems(shape, request)) == []
        picchu.aws.train(plan, ledger=tmp_path)
        client = session.create_client("bedrock", region_name="us-east-1")
        client.create_model_customization_job(**request)
        ours, theirs = bedrock.sent("POST model-customization-jobs")[-2:]
        assert ours == theirs
    shape = (
        session.get_service_model("bedrock").operation_model("CreateProvisionedModelThroughput").input_shape
    )
    model = arn("custom-model", "amazon.nova-canvas-v1:0/0123456789ab")
    picchu.aws.deploy(model, commitment="one_month", ledger=tmp_path)
    (request,) = bedrock.sent("POST provisioned-model-throughput")
    assert request["commitmentDuration"] == "OneMonth"
    assert list(problems(shape, request)) == []
    broken = {**request, "provisionedModelName": "has spaces", "modelUnits": "1"}
    assert len(list(problems(shape, broken))) == 2


def test_requests_for_images_are_what_amazons_own_client_takes(bedrock: FakeBedrock, tmp_path: Path) -> None:
    session = pytest.importorskip("botocore.session").Session()
    shape = session.get_service_model("bedrock-runtime").operation_model("InvokeModel").input_shape
    client = session.create_client("bedrock-runtime", region_name="us-east-1")
    for model in ("amazon.nova-canvas-v1:0", arn("provisioned-model", "0123456789ab")):
        drawing = picchu.aws.Drawing(
            ["Mayu waves", "Señora Ñandú"], model=model, premium=False, style="GRAPHIC_NOVEL_ILLUSTRATION"
        )
        for request in drawing.requests():
            # The AWS CLI reads the base64; Python's client takes the bytes.
            taken = {**request, "body": base64.b64decode(request["body"])}
            assert list(problems(shape, taken)) == []
            client.invoke_model(**taken)
        drawing.draw(tmp_path / model[-12:])
        *theirs, ours, more = bedrock.sent("POST model")[-4:]
        assert sorted(map(json.dumps, theirs)) == sorted(map(json.dumps, [ours, more]))
    broken = {**taken, "modelId": "has spaces", "body": 3}
    assert len(list(problems(shape, broken))) == 2


def problems(shape: Any, value: Any) -> Iterator[str]:
    """What botocore's validation refuses, and the patterns, which it leaves to the service."""
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        yield report.generate_report()
    yield from unfit(shape, value)


def unfit(shape: Any, value: Any) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from unfit(shape.members[name], inner)
    elif shape.type_name == "list":
        for inner in value:
            yield from unfit(shape.member, inner)
    elif isinstance(value, str) and not re.fullmatch(pattern_of(shape), value):
        yield f"{shape.name}: {value}"


def pattern_of(shape: Any) -> str:
    """As Python writes it, which knows no classes of letters by name and no halves of characters."""
    pattern = str(shape.metadata.get("pattern", ".*"))
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    return re.sub(r"\\p\{\w+\}", r"\\w", pattern.replace(r"\p{Print}", "[ -~]"))
