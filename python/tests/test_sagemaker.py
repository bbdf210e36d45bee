"""Training, serving and drawing on SageMaker from Python: real HTTP against servers that play it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import picchu
from fake_s3 import FakeS3
from fake_sagemaker import FakeSageMaker
from test_customize import ROLE, problems


@pytest.fixture
def service(aws_keys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSageMaker]:
    with FakeS3() as s3, FakeSageMaker(s3) as service:
        picture = BytesIO()
        Image.new("RGB", (64, 64)).save(picture, "PNG")
        lines = []
        for n in range(3):
            s3.objects[f"bucket/film/{n}.png"] = picture.getvalue()
            lines.append({"file_name": f"{n}.png", "text": "Mayu waits."})
        mark = {"format": "diffusers", "picchu": "0.1.0", "pictures": len(lines), "unreviewed": 0}
        s3.objects["bucket/film/.picchu-export.json"] = json.dumps(mark).encode()
        s3.objects["bucket/film/metadata.jsonl"] = "".join(json.dumps(x) + "\n" for x in lines).encode()
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.address)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.address)
        yield service


def training(**options: Any) -> picchu.aws.SageMakerTraining:
    return picchu.aws.SageMakerTraining("s3://bucket/film", output="s3://bucket/model", role=ROLE, **options)


def test_from_an_export_to_images_and_back_to_nothing(service: FakeSageMaker, tmp_path: Path) -> None:
    plan = training(spot=True, storyboard=(picchu.aws.Panel("Mayu waves"),))
    messages = [finding.message for finding in plan.check()]
    assert any("licence apache-2.0" in message for message in messages)
    assert not service.jobs

    job = plan.train(ledger=tmp_path)
    assert plan.train(ledger=tmp_path).id == job.id
    assert len(service.sent("CreateTrainingJob")) == 1
    assert job.status == "pending"
    assert f"bucket/model/{job.name}/program/draw.json" in service.s3.objects
    assert picchu.aws.training_log(job) == ('{"step": 1}',)
    service.jobs[job.name]["TrainingJobStatus"] = "Completed"
    done = picchu.aws.training_job(job.id)
    assert done.status == "completed"
    assert done.model is not None
    assert done.model.id == f"s3://bucket/model/{job.name}/output/model"
    assert [(s.kind, s.job) for s in picchu.aws.status(tmp_path)] == [("sagemaker_job", done)]

    with picchu.aws.SageMakerServing(job).deploy(ledger=tmp_path) as endpoint:
        assert len(service.scaled) == 1
        (drawn,) = endpoint.generate([picchu.aws.Panel("Mayu waves", seed=7)], out=tmp_path / "board")
        assert Image.open(drawn.images[0].path).getpixel((0, 0)) == (7, 90, 120)
    assert not any(service.held.values())
    assert not service.scaled
    assert [s.kind for s in picchu.aws.status(tmp_path)] == ["sagemaker_job"]


def test_refusals_and_unknown_jobs(service: FakeSageMaker, tmp_path: Path) -> None:
    refused = training(hyperparameters={"rank": "0"})
    with pytest.raises(picchu.ConfigError, match="rank"):
        refused.train(ledger=tmp_path)
    with pytest.raises(picchu.NotFound):
        picchu.aws.training_job("arn:aws:sagemaker:us-east-1:123456789012:training-job/none")
    with pytest.raises(picchu.NotFound, match=r"metadata\.jsonl"):
        picchu.aws.SageMakerTraining("s3://bucket/none", output="s3://bucket/model", role=ROLE).check()
    job = training().train(ledger=tmp_path)
    with pytest.raises(picchu.ConfigError, match="no model yet"):
        picchu.aws.SageMakerServing(job).deploy(ledger=tmp_path)
    assert not any(service.held.values())


def test_requests_are_what_amazons_own_client_takes(service: FakeSageMaker, tmp_path: Path) -> None:
    """Held against the rules of the services' descriptions, which the AWS CLI checks by too."""
    session = pytest.importorskip("botocore.session").Session()

    def shape(service_name: str, operation: str) -> Any:
        return session.get_service_model(service_name).operation_model(operation).input_shape

    networks = {"subnets": ("subnet-1a2b3c4d",), "security_groups": ("sg-1a2b3c4d",)}
    isolated = {
        "isolated": True,
        "wheels": "s3://bucket/wheels",
        "base_model": "s3://bucket/klein",
        "instances": ("ml.g5.2xlarge", "ml.g6.2xlarge"),
        "retries": 3,
    }
    for options in (
        {},
        {"spot": True, "max_wait_hours": 30.0},
        {"kms_key": "alias/mine", **networks},
        isolated,
    ):
        request = training(name="Señora Ñandú: part_2 (final)", **options).request()
        assert list(problems(shape("sagemaker", "CreateTrainingJob"), request)) == []
    client = session.create_client("sagemaker", region_name="us-east-1")
    plan = training()
    plan.train(ledger=tmp_path)
    client.create_training_job(**plan.request())
    ours, theirs = service.sent("CreateTrainingJob")
    assert ours == theirs
    broken = {**ours, "TrainingJobName": "has_underscores", "EnableManagedSpotTraining": "yes"}
    assert len(list(problems(shape("sagemaker", "CreateTrainingJob"), broken))) == 2

    model = {"model": "s3://bucket/model/job/output/model", "role": ROLE, "output": "s3://bucket/board"}
    operations = [
        ("sagemaker", "CreateModel"),
        ("sagemaker", "CreateEndpointConfig"),
        ("sagemaker", "CreateEndpoint"),
        ("application-autoscaling", "RegisterScalableTarget"),
        ("application-autoscaling", "PutScalingPolicy"),
        ("application-autoscaling", "PutScalingPolicy"),
        ("cloudwatch", "PutMetricAlarm"),
    ]
    for base, more in (("hub/model", {}), ("s3://bucket/klein", {"isolated": True, **networks})):
        requests = picchu.aws.SageMakerServing(base_model=base, **model, **more).requests()
        assert len(requests) == len(operations)
        for (command, request), operation in zip(requests, operations, strict=True):
            assert command.split()[0] == operation[0]
            assert list(problems(shape(*operation), request)) == [], command
