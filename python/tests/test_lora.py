"""The training program, on small models with random weights; skipped where its packages are not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from picchu.training.failures import BadInputError, describe
from picchu.training.pictures import Plan, bucket
from picchu.training.settings import Settings
from picchu.training.train import rate

# What torch and diffusers warn of is theirs to mend.
pytestmark = pytest.mark.filterwarnings("default")
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None or importlib.util.find_spec("peft") is None,
    reason="the extra `train` is not installed",
)
SMALL = {
    "base_model": "random:flux2-klein",
    "resolution": 64,
    "rank": 8,
    "learning_rate": 3e-3,
    "warmup_steps": 0,
    "caption_tokens": 32,
    "batch_size": 2,
    "sample_steps": 2,
    "sample_every": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def export(dataset: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own film, as a trainer reads it."""
    out = tmp_path_factory.mktemp("export") / "diffusers"
    dataset.export("diffusers", out=out)
    return out


def settings(folder: Path, dataset: Path, **more: Any) -> Path:
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(SMALL | {"dataset": str(dataset), "output": str(folder)} | more))
    return path


def program(*arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "picchu.training", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        **more,
    )


def run(*arguments: str | Path, code: int = 0) -> str:
    with program(*arguments) as process:
        out, err = process.communicate(timeout=600)
        assert process.returncode == code, err
        return out + err


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(m["step"], m["loss"]) for m in lines(folder) if "loss" in m]


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


@pytest.fixture(scope="module")
def trained(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(
        "train",
        settings(
            folder, export, steps=24, validate_every=8, checkpoint_every=8, alpha=16, sample_every=24,
            sample_prompts=["Nilo <waves>"], lineage={"film": "two | friends"},
        ),
    )  # fmt: skip
    return folder


@needs_torch
def test_the_loss_on_a_fixed_batch_falls_and_the_result_is_whole(trained: Path) -> None:
    fixed = [m["fixed_loss"] for m in lines(trained) if "fixed_loss" in m]
    assert len(fixed) == 4
    assert fixed[-1] < 0.97 * fixed[0]
    assert [step for step, _ in losses(trained)] == list(range(1, 25))
    assert status(trained)["state"] == "completed"
    assert sorted(p.name for p in (trained / "checkpoints").iterdir()) == [
        "step-000008", "step-000016", "step-000024",
    ]  # fmt: skip
    for step in ("step-000000", "step-000024"):
        with Image.open(trained / "samples" / step / "00.png") as image:
            assert image.size == (64, 64)
    card = (trained / "README.md").read_text()
    assert 'base_model: "random:flux2-klein"' in card
    assert "| film | two &#124; friends |" in card
    assert "two | friends" not in card


@needs_torch
def test_the_lora_loads_into_diffusers_and_changes_the_images(trained: Path) -> None:
    import numpy as np
    import torch

    from picchu.training.random_weights import make

    def draw(pipeline: Any) -> Any:
        drawn = pipeline(prompt="Nilo waves", height=64, width=64, num_inference_steps=2, output_type="np",
                         generator=torch.Generator().manual_seed(1))  # fmt: skip
        return drawn.images[0]

    pipeline = make("flux2-klein")
    pipeline.set_progress_bar_config(disable=True)
    before = draw(pipeline)
    assert np.array_equal(before, draw(make("flux2-klein")))
    pipeline.load_lora_weights(str(trained))
    scaling = {
        m.scaling["default_0"]
        for m in pipeline.transformer.modules()
        if hasattr(m, "lora_A") and "default_0" in m.scaling
    }
    assert scaling == {2.0}, "alpha 16 over rank 8 has to come back from the file"
    assert np.abs(draw(pipeline) - before).mean() > 1e-4
    pipeline.unload_lora_weights()
    assert np.array_equal(draw(pipeline), before)


@needs_torch
def test_a_killed_run_goes_on_to_the_same_losses_and_the_same_weights(
    trained: Path, export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    path = settings(folder, export, steps=24, validate_every=8, checkpoint_every=8, alpha=16)
    with program("train", path) as process:
        until = time.monotonic() + 300
        while not (folder / "checkpoints" / "step-000008").exists():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert status(folder)["state"] == "running"
    run("train", path)
    assert losses(folder) == losses(trained)
    name = "pytorch_lora_weights.safetensors"
    assert (folder / name).read_bytes() == (trained / name).read_bytes()


@needs_torch
def test_a_stopped_run_leaves_a_checkpoint_and_other_settings_are_refused(
    export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    path = settings(folder, export, steps=100_000, checkpoint_every=0, validate_every=0)
    with program("train", path) as process:
        until = time.monotonic() + 300
        while not (folder / "metrics.jsonl").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        # A second one on the same folder gives way at once.
        assert "another process trains here" in run("train", path, code=3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        assert process.returncode == 0
    seen = status(folder)
    assert seen["state"] == "stopped"
    assert (folder / "checkpoints" / f"step-{seen['step']:06}" / "resume.pt").exists()
    said = run("train", settings(folder, export, rank=4, steps=100_000), code=1)
    assert "made with other" in said
    assert "rank" in status(folder)["failure"]["message"]


@needs_torch
def test_the_other_family_trains_too_and_is_drawn_with(export: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sdxl"
    run(
        "train",
        settings(
            folder,
            export,
            base_model="random:sdxl",
            steps=4,
            validate_every=4,
            checkpoint_every=0,
            gradient_accumulation=2,
        ),
    )
    assert len(losses(folder)) == 4
    request = {
        "base_model": "random:sdxl", "lora": str(folder), "steps": 2, "device": "cpu",
        "out": str(tmp_path / "drawn"),
        "panels": [{"prompt": "Wara sits", "count": 2, "width": 72, "height": 48, "negative_prompt": "blur"}],
    }  # fmt: skip
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    run("draw", path)
    drawn = json.loads((tmp_path / "drawn" / "drawn.json").read_text())
    assert [(d["image"], d["seed"]) for d in drawn] == [("000-0.png", 0), ("000-1.png", 1)]
    with Image.open(tmp_path / "drawn" / "000-1.png") as image:
        assert image.size == (72, 48)
    path.write_text(json.dumps(request | {"base_model": "random:flux2-klein"}))
    assert "random:flux2-klein" in run("draw", path, code=1)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rank": 0}, "rank is 0; from 1 to 1024 are possible"),
        ({"rank": "8"}, "rank is '8'; a int is wanted"),
        ({"ranks": 8}, "there is no setting 'ranks'"),
        ({"schedule": "step"}, "schedule is 'step'; there are constant, linear, cosine"),
        ({"sample_prompts": "Nilo"}, "sample_prompts is not a list of texts"),
        ({"output": ""}, "output is missing"),
    ],
)
def test_settings_are_refused_in_words(more: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=says):
        Settings.read(settings(tmp_path / "run", tmp_path, **more))


@needs_torch
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"file_name": "a.png"}', "metadata.jsonl line 1"),
        ('{"file_name": "../a.png", "text": "x"}', "is outside of the dataset"),
        ('{"file_name": "b.png", "text": "x"}', "cannot be read as an image"),
        ("", "no pictures"),
    ],
)
def test_a_broken_dataset_is_told_by_its_line(line: str, says: str, tmp_path: Path) -> None:
    from picchu.training.pictures import Pictures

    (tmp_path / "b.png").write_bytes(b"nothing")
    (tmp_path / "metadata.jsonl").write_text(line + "\n")
    with pytest.raises(BadInputError, match=says):
        Pictures(str(tmp_path), resolution=64, multiple=8, buckets=True)


def test_pictures_keep_their_proportions_and_batches_their_size(tmp_path: Path) -> None:
    for width, height in ((1920, 1080), (1080, 1920), (512, 512), (4000, 100)):
        wide, high = bucket(width, height, 768, 16)
        assert wide % 16 == high % 16 == 0
        assert 0.75 * 768**2 < wide * high <= 768**2
        assert abs(wide / high - min(max(width / height, 0.5), 2.0)) < 0.12
    sizes = [(64, 64)] * 5 + [(96, 48)] * 2
    plan = Plan(sizes, 2, seed=3)
    assert plan.batches == 4
    seen = [plan.of(n) for n in range(4)]
    assert {i for batch in seen for i in batch} == set(range(7))
    assert all(len(batch) == 2 and len({sizes[i] for i in batch}) == 1 for batch in seen)
    assert [Plan(sizes, 2, seed=3).of(n) for n in (3, 9, 1)] == [plan.of(n) for n in (3, 9, 1)]
    assert [plan.of(n) for n in range(4, 8)] != seen


def test_the_rate_rises_and_falls_as_it_is_asked() -> None:
    flat = Settings(dataset="a", output="b", steps=100, warmup_steps=9, learning_rate=1.0)
    assert [rate(flat, n) for n in (0, 4, 9, 99)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    for schedule in ("linear", "cosine"):
        falling = Settings(
            dataset="a", output="b", steps=100, warmup_steps=0, learning_rate=1.0, schedule=schedule
        )
        values = [rate(falling, n) for n in range(100)]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(1.0)
        assert values[-1] < 0.02


def test_want_of_memory_is_told_apart() -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    assert describe(OutOfMemoryError("CUDA out of memory"))["kind"] == "out_of_memory"
    assert describe(RuntimeError("DefaultCPUAllocator: can't allocate memory"))["kind"] == "out_of_memory"
    assert describe(OSError(28, "No space left on device"))["kind"] == "disk_full"
    assert describe(ValueError("x"))["kind"] == "other"
