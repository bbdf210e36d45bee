"""Training, drawing and judging on this machine from Python, on a small model with random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import picchu

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None or importlib.util.find_spec("peft") is None,
    reason="the extra `train` is not installed",
)
SMALL = {
    "resolution": 64,
    "rank": 4,
    "caption_tokens": 32,
    "batch_size": 2,
    "sample_steps": 2,
    "sample_every": 0,
    "warmup_steps": 0,
    "device": "cpu",
}


def training(dataset: Path, output: Path, **more: Any) -> picchu.local.LoraTraining:
    numbers = {**SMALL, **more.pop("hyperparameters", {})}
    options: dict[str, Any] = {"base_model": "random:flux2-klein", "allow_unreviewed": True, **more}
    return picchu.local.LoraTraining(dataset, output, hyperparameters=numbers, **options)


@pytest.fixture(scope="module")
def held_out(plan: picchu.Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of which some is held out of training."""
    folder = tmp_path_factory.mktemp("judged") / "dataset"
    plan.sample(fps=1, limit=24, lineage=True).run(folder, progress=False).split(held_out=0.3)
    return folder


@needs_torch
def test_from_a_dataset_to_a_verdict(held_out: Path, cast_path: Path, tmp_path: Path) -> None:
    numbers = {"steps": 6, "checkpoint_every": 3, "validate_every": 3}
    plan = training(held_out, tmp_path / "models", hyperparameters=numbers)
    assert isinstance(plan, picchu.plugins.Trainer)
    assert not [found.message for found in plan.check() if found.severity == "error"]
    job = plan.train()
    standing = picchu.local.wait(job, poll=0.1)
    assert standing.job is not None
    assert standing.job.status == "completed", standing.job.failure
    assert [step for step, _ in standing.losses] == [1, 2, 3, 4, 5, 6]
    assert "<svg" in standing._repr_html_()
    assert picchu.local.status(tmp_path / "models") == (standing,)
    assert plan.train().id == job.id, "the same training is one job"

    lora = picchu.local.Lora(job, steps=1, device="cpu")
    assert repr(lora) == f"Lora({job.id!r}, steps=1, device='cpu')"
    assert list(lora.checkpoints()) == ["step-000003", "step-000006"]
    drawn = lora.generate(["Nilo waves"], out=tmp_path / "board", width=64, height=64)
    with Image.open(drawn[0].images[0].path) as image:
        assert image.size == (64, 64)
    assert (tmp_path / "board" / "storyboard.html").exists()

    found = picchu.evaluate(
        held_out,
        detector=picchu.local.PaletteDetector(cast_path),
        artists={"base": lora.base(), "lora": lora},
        images={"film": crops(held_out, tmp_path / "crops")},
        captions=2,
        side=64,
        out=tmp_path / "evaluation",
    )
    assert found.contestants[0].name == "film", "random weights draw nobody"
    assert {one.name: one.images for one in found.contestants} | {"film": 0} == {
        "film": 0,
        "base": 2,
        "lora": 2,
    }
    best = found.contestants[0]
    assert best.characters["Nilo"].appeared > 0
    assert best.score > 0.5
    assert "Nilo" in found._repr_html_()
    assert (found.folder / "evaluation.html").exists()


def crops(dataset: Path, folder: Path) -> Path:
    """The film's own crops of one character each, in a folder for each."""
    for record in picchu.open_dataset(dataset).kept:
        if len(record.subjects) == 1 and record.character:
            place = folder / record.character
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{record.id[-12:]}.png").write_bytes(record.image_bytes())
    return folder


@needs_torch
def test_a_job_is_stopped_and_goes_on(held_out: Path, tmp_path: Path) -> None:
    plan = training(held_out, tmp_path / "models", hyperparameters={"steps": 100_000})
    job = plan.train()
    stopped = picchu.local.stop(job, patience=300)
    assert stopped.status == "stopped"
    assert plan.train().id == job.id
    assert picchu.local.stop(job.id, patience=300).status == "stopped"


def test_what_stands_in_the_way_is_told_before_anything_is_started(held_out: Path, tmp_path: Path) -> None:
    refused = training(held_out, tmp_path / "models", hyperparameters={"rank": 0})
    with pytest.raises(picchu.ConfigError, match="rank"):
        refused.train()
    nobody = training(held_out, tmp_path / "models", python=tmp_path / "python")
    assert any(found.severity == "error" for found in nobody.check())
    unseen = training(held_out, tmp_path / "models", allow_unreviewed=False)
    assert any("not looked at" in found.message or "review" in found.mend for found in unseen.check())
    assert not (tmp_path / "models").exists()
    with pytest.raises(picchu.NotFound):
        picchu.local.Lora(tmp_path / "none")
    with pytest.raises(picchu.NotFound):
        picchu.local.wait(tmp_path)
    with pytest.raises(picchu.NotFound):
        picchu.local.stop(tmp_path)
