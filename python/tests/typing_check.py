"""Every public name as a user's script meets it. Read by ``mypy --strict``; never run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL.Image import Image

import picchu
from picchu import aws, local
from picchu.dataset import Counts, Crop, Outcome, PixelRect, Quality, Review
from picchu.exceptions import Gap


def frames() -> None:
    film = picchu.film("film.mp4")
    assert_type(film, picchu.Film)
    assert_type(film.path, Path)
    assert_type(film.fingerprint, str)
    assert_type(film.info, picchu.MediaInfo)
    assert_type(film.info.duration, float | None)
    with film.frames(every=0.5, start=1, end=9.5, limit=3, max_side=640, on_gap="skip") as reading:
        assert_type(reading, picchu.Frames)
        for frame in reading:
            assert_type(frame, picchu.Frame)
            assert_type(frame.time, float)
            assert_type(frame.index, int)
            assert_type(frame.keyframe, bool)
            assert_type((frame.width, frame.height), tuple[int, int])
            assert_type(frame.to_numpy(), NDArray[np.uint8])
            assert_type(frame.to_pil(), Image)
            np.asarray(frame)
        assert_type(reading.gaps, list[Gap])
    film.frames(every="keyframe")
    film.frames(every="frame")
    film.frames(fps=2)
    film.frames(at=[1, 2.5])
    film.frames(every="shot")  # type: ignore[arg-type]
    film.frames(1.0)  # type: ignore[call-arg]


def plans() -> None:
    cast = picchu.Cast(
        [picchu.Character("Nilo", description="a boy", references=["nilo.png"], labels=["Person"])]
    )
    assert_type(picchu.Cast.load(Path("cast.toml"))["Nilo"].references, tuple[Path, ...])
    assert_type(cast.names, tuple[str, ...])
    plan = (
        picchu.film(Path("film.mp4"))
        .sample(every=1.0, limit=100)
        .detect(local.PaletteDetector("cast.toml"))
        .crop(
            pad=0.15, max_aspect=2, min_side=512, max_side=2048, max_pixels=4_000_000, min_character_side=96
        )
        .detect(local.OnnxDetector("yolo.onnx", "cast.toml", threads=2, margin=0.05))
        .dedupe(local.OnnxEmbedder("clip.onnx", library="onnxruntime/capi"))
        .dedupe(local.LayoutEmbedder(), min_similarity=0.94, keep="best")
        .caption(local.MeasuredCaptioner())
    )
    assert_type(plan, picchu.Plan)
    assert_type(plan.detect(cast), picchu.Plan)
    assert_type(plan.detect("cast.toml"), picchu.Plan)
    explanation = plan.explain("dataset/")
    assert_type(explanation, picchu.Explanation)
    assert_type(explanation.expected_frames, int | None)
    assert_type(explanation.stages[0], picchu.StageExplanation)
    assert_type(explanation.stages[0].state, str | int)

    def told(event: dict[str, Any]) -> None:
        print(event["event"])

    assert_type(plan.run("dataset/", progress=False, on_event=told), picchu.Dataset)
    plan.dedupe(keep="last")  # type: ignore[arg-type]


def datasets() -> None:
    dataset = picchu.open_dataset("dataset/")
    assert_type(dataset[0], picchu.Record)
    assert_type(dataset["id"], picchu.Record)
    assert_type(dataset[:3], tuple[picchu.Record, ...])
    assert_type(dataset.records, tuple[picchu.Record, ...])
    assert_type(dataset.kept, tuple[picchu.Record, ...])
    assert_type(dataset.counts, Counts)
    assert_type(dataset.gaps, tuple[Gap, ...])
    assert_type(dataset.header, dict[str, Any])
    assert_type(dataset.path, Path)
    assert_type(dataset.contact_sheet, Path)
    assert_type(dataset.embeddings, NDArray[np.float32])
    assert_type(dataset.to_pandas(), pd.DataFrame)
    export = dataset.export("nova", uri="s3://bucket/film", out="train.jsonl")
    assert_type(export, picchu.Export)
    assert_type(export.uploads, tuple[tuple[Path, str], ...])
    for record in dataset:
        assert_type(record.id, str)
        assert_type(record.character, str | None)
        assert_type(record.time, float)
        assert_type(record.outcome, Outcome)
        assert_type(record.caption, str | None)
        assert_type(record.similarity, float | None)
        assert_type(record.covered_by, str | None)
        assert_type(record.reason, str | None)
        assert_type(record.quality, Quality | None)
        assert_type(record.review, Review | None)
        assert_type(record.image, Image)
        assert_type(record.image_bytes(), bytes)
        assert_type(record.to_numpy(), NDArray[np.uint8])
        assert_type(record.embedding, NDArray[np.float32] | None)
        if record.crop is not None:
            assert_type(record.crop, Crop)
            assert_type(record.crop.rect, PixelRect)


def amazon() -> None:
    detector = picchu.aws.Rekognition("cast.toml", collection="my-film", calls_per_second=5)
    assert_type(detector.cast, picchu.Cast)
    plan = picchu.film("film.mp4").detect(detector)
    assert_type(hash(plan), int)
    enrolment = picchu.aws.enrol("cast.toml", collection="my-film", users=True)
    assert_type(enrolment, picchu.aws.Enrolment)
    assert_type(enrolment.references, tuple[picchu.aws.EnrolledReference, ...])
    assert_type(enrolment.usd, float)
    assert_type(picchu.aws.resources("dataset/"), tuple[picchu.aws.Resource, ...])
    assert_type(picchu.aws.clean(Path("dataset"))[0].exists, bool | None)
    picchu.aws.delete_collection("my-film", ledger="dataset/")
    export = picchu.open_dataset("dataset/").export_custom_labels("film.mp4", out="s3://bucket/labels")
    assert_type(export, picchu.CustomLabelsExport)
    assert_type(export.test, str | None)


def vectors(x: NDArray[np.float32]) -> None:
    selection = picchu.dedupe(x, min_similarity=0.94, threads=2, quality=[0.5, 0.25])
    assert_type(selection, picchu.Selection)
    assert_type(selection.kept, NDArray[np.int64])
    assert_type(selection.covered_by, NDArray[np.int64])
    assert_type(selection.similarity, NDArray[np.float32])
    join = picchu.join(x, min_similarity=0.9, threads=None, memory_budget_bytes=1 << 30)
    assert_type(join, picchu.Join)
    assert_type(join.components, NDArray[np.int64])
    assert_type(join.rethreshold(0.95), picchu.Join)
    assert_type(join.select(0.95), picchu.Selection)
    assert_type(join.pairs(), picchu.Pairs)
    a, b, similarity = join.pairs()
    assert_type((a, b, similarity), tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]])
    assert_type(picchu.components(x, min_similarity=0.9), picchu.Components)
    calibration = picchu.calibrate(x, threads=1)
    assert_type(calibration, picchu.Calibration)
    assert_type(calibration.nearest, NDArray[np.float32])
    assert_type(calibration.threshold_for(100), tuple[float, int])
    assert_type(calibration.pairs_near(0.9, 5), picchu.Pairs)
    assert_type(calibration.join, picchu.Join)
    index = picchu.Index(1024, min_similarity=0.94)
    assert_type(index.add(x), picchu.Selection)
    assert_type(index.query(x), picchu.Covers)
    assert_type(index.kept, NDArray[np.int64])
    index.save("index")
    assert_type(picchu.Index.load(Path("index")), picchu.Index)
    picchu.dedupe(x, 0.94)  # type: ignore[call-arg]


def errors() -> None:
    try:
        picchu.film("film.mp4")
    except picchu.NotFound as error:
        assert_type(error.kind, str)
        assert_type(error.stage, str | None)
        assert_type(error.provider, str | None)
        assert_type(error.retryable, bool)
        assert_type(error.context, dict[str, str])
        assert_type(error.gap, Gap | None)
    for kind in (
        picchu.InvalidInput,
        picchu.ConfigError,
        picchu.NotFound,
        picchu.AlreadyExists,
        picchu.PermissionDenied,
        picchu.Throttled,
        picchu.QuotaExceeded,
        picchu.Timeout,
        picchu.Unavailable,
        picchu.ContentFiltered,
        picchu.DecodeError,
        picchu.Unsupported,
        picchu.Cancelled,
        picchu.InternalError,
    ):
        assert_type(kind("words", retryable=True).gap, Gap | None)
    assert_type(picchu.__version__, str)
    assert issubclass(picchu.GapWarning, UserWarning)


def curated() -> None:
    film = picchu.film("film.mp4")
    assert_type(film.shots(), picchu.Shots)
    assert_type(film.shots()[0], picchu.Shot)
    assert_type(film.shots()[0].number, int)
    assert_type(film.shots().drawings[0], picchu.Drawing)
    assert_type(film.shots()[0].transition, picchu.Transition | None)
    assert_type(picchu.merge(["one", Path("other")], "both"), picchu.Dataset)
    assert_type(picchu.validate("dataset"), picchu.Validation)


class Mine:
    """A detector, an embedder, a captioner and a reviewer, for the type checker's eyes."""

    version = "1"
    name = "mine"
    dimensions = 3
    default_min_similarity = 0.9

    def __init__(self, cast: picchu.Cast) -> None:
        self.cast = cast

    def detect(self, frames: Sequence[picchu.Frame]) -> list[list[picchu.Detection]]:
        box = picchu.BoundingBox.from_pixels(1, 2, 3, 4, width=10, height=10)
        return [[picchu.Detection(box, "Nilo", 0.5)] for _ in frames]

    async def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.stack([crop.mean(axis=(0, 1), dtype=np.float32) for crop in crops])

    def caption(self, requests: Sequence[picchu.CaptionRequest]) -> list[str]:
        return [f"{request.subjects[0].character} waits" for request in requests]

    def review(self, records: Sequence[picchu.Record]) -> list[Review | None]:
        return [picchu.Review(rejected="dull") if record.similarity else None for record in records]


async def plugged() -> None:
    mine = Mine(picchu.Cast.load("cast.toml"))
    detector: picchu.plugins.Detector = mine
    embedder: picchu.plugins.Embedder = mine
    captioner: picchu.plugins.Captioner = mine
    reviewer: picchu.plugins.Reviewer = mine
    plan = picchu.film("film.mp4").detect(detector).dedupe(embedder).caption(captioner)
    assert_type(await plan.run_async("dataset/", progress=False), picchu.Dataset)
    assert_type(await plan.explain_async(), picchu.Explanation)
    assert_type(await plan.estimate_async("dataset/"), float | None)
    assert_type(await picchu.in_thread(picchu.open_dataset, "dataset/"), picchu.Dataset)
    assert_type(picchu.open_dataset("dataset/").review_by(reviewer, batch=8), picchu.Dataset)
    plan.detect(picchu.Frame)  # type: ignore[arg-type]
    await plan.run_async("dataset/", progres=False)  # type: ignore[call-arg]


async def models() -> None:
    local_training = local.LoraTraining("dataset", hyperparameters={"rank": 32, "learning_rate": 1e-4})
    trainers: list[picchu.plugins.Trainer] = [
        local_training,
        aws.SageMakerTraining("s3://a/b", output="s3://a/c"),
    ]
    assert_type(trainers[0].train(), aws.TrainingJob)
    assert_type(local_training.check(), tuple[aws.Finding, ...])
    job = local_training.train()
    assert_type(job, aws.TrainingJob)
    assert_type(local.wait(job), aws.Standing)
    assert_type(await local.wait_async(job), aws.Standing)
    assert_type(local.status("models"), tuple[aws.Standing, ...])
    assert_type(local.stop(job), aws.TrainingJob)
    lora = local.Lora(job, lora_scale=0.8)
    assert_type(lora.base(), local.Lora)
    assert_type(lora.checkpoints(), dict[str, local.Lora])
    assert_type(lora.generate([local.Panel("Mayu waves"), "Mayu sits"], out="board"), local.Storyboard)
    assert_type(await lora.generate_async(["Mayu waves"], out="board"), local.Storyboard)
    judge = local.PaletteDetector("cast.toml")
    found = picchu.evaluate("dataset", detector=judge, artists={"lora": lora}, out="report")
    assert_type(found, picchu.Evaluation)
    assert_type(await picchu.evaluate_async("dataset", detector=judge, out="report"), picchu.Evaluation)
    assert_type(found.contestants, tuple[picchu.Contestant, ...])
    assert_type(found.contestants[0].characters["Mayu"], picchu.CharacterScore)


async def bedrock() -> None:
    plan = (
        picchu.film("s3://bucket/film.mp4")
        .detect("cast.toml")
        .dedupe(aws.TitanEmbedder())
        .dedupe(aws.NovaEmbedder())
        .caption(aws.NovaCaptioner())
        .caption(local.OpenAiCaptioner(model="qwen"))
    )
    assert_type(plan.run("s3://bucket/dataset"), picchu.Dataset)
    work = aws.batch(
        "s3://bucket/dataset", aws.TitanEmbedder(), s3="s3://bucket/batch", role="arn:aws:iam::1:role/x"
    )
    assert_type(work, aws.BatchProgress)
    assert_type(work.jobs, tuple[aws.BatchJob, ...])
    training = aws.Training("s3://bucket/film", output="s3://bucket/model", preset="characters")
    assert_type(training.check(), tuple[aws.Finding, ...])
    job = aws.train(training, ledger="work")
    assert_type(aws.training_job(job.id), aws.TrainingJob)
    assert_type(aws.wait(job, poll=5, progress=False), aws.TrainingJob)
    assert_type(await aws.wait_async(job.id), aws.TrainingJob)
    assert_type(job.model, aws.CustomModel | None)
    assert_type(aws.status("work"), tuple[aws.Standing, ...])
    assert_type(aws.sweep(aws.hyperparameters(pictures=60)), tuple[dict[str, str], ...])
    with aws.deploy("arn:aws:bedrock:…", ledger="work") as deployment:
        assert_type(deployment, aws.Deployment)
        await deployment.wait_async(timeout=60)
        board = aws.generate(["Mayu waves"], model=deployment, out="board")
        assert_type(await aws.generate_async(["Mayu waves"], model="m", out="board"), aws.Storyboard)
    assert_type(board[0], aws.DrawnPanel)
    assert_type(board[0].images, tuple[aws.DrawnImage, ...])
    drawing = aws.Drawing([aws.Panel("Mayu waves", seed=7)], model="m")
    assert_type(await drawing.draw_async("board", budget=1.0), aws.Storyboard)


async def sagemaker() -> None:
    training = aws.SageMakerTraining("s3://bucket/film", output="s3://bucket/model", spot=True)
    assert_type(training.check(), tuple[aws.Finding, ...])
    job = training.train(ledger="work")
    assert_type(job, aws.TrainingJob)
    assert_type(aws.training_log(job, lines=20), tuple[str, ...])
    with aws.SageMakerServing(job).deploy(ledger="work") as endpoint:
        assert_type(endpoint, aws.SageMakerEndpoint)
        assert_type(endpoint.generate(["Mayu waves"], out="board"), aws.Storyboard)
        assert_type(await endpoint.generate_async(["Mayu waves"], out="board"), aws.Storyboard)
    aws.use_session(None)
    _ = aws.no_such_name  # type: ignore[attr-defined]
