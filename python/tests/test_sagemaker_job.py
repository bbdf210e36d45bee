"""The script of a SageMaker job, run as the container does, in a folder in the place of ``/opt/ml``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SAGEMAKER = ROOT / "src" / "aws" / "sagemaker"

# In the place of the training program: does what its settings say, in the same files.
STAND_IN = """
import json, signal, sys, time
from pathlib import Path

command, path = sys.argv[1:]
told = json.loads(Path(path).read_text())
if command == "draw":
    if told.get("fail"):
        sys.exit("there is no such model")
    Path(told["out"]).mkdir(parents=True)
    Path(told["out"], "000-0.png").write_text(Path(told["lora"]).read_text())
    sys.exit()
out = Path(told["output"])
assert Path(told["dataset"], "metadata.jsonl").is_file()
metrics = out / "metrics.jsonl"
before = metrics.read_text() if metrics.exists() else ""
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
def say(**status):
    (out / "status.json").write_text(json.dumps(status))
say(state="running", step=0, steps=told["steps"])
for step in range(1 + before.count("\\n"), told["steps"] + 1):
    with metrics.open("a") as file:
        file.write(json.dumps({"step": step, "loss": 1 / step}) + "\\n")
    say(state="running", step=step, steps=told["steps"])
    time.sleep(told["seconds"])
    if stopped:
        Path(told["checkpoints"], f"step-{step}").write_text("weights")
        say(state="stopped", step=step, steps=told["steps"])
        sys.exit(0)
if told.get("fail"):
    say(state="failed", failure={"kind": told["fail"], "message": "it is too large", "advice": "take less"})
    sys.exit(1)
for name in ("pytorch_lora_weights.safetensors", "README.md"):
    (out / name).write_text("a LoRA")
(out / "samples").mkdir()
(out / "samples" / "00.png").write_text("a sample")
(out / "cache").mkdir()
(out / "cache" / "latents").write_text("large")
say(state="completed", step=told["steps"], steps=told["steps"])
"""


class Job:
    """What SageMaker lays into a container, and what it takes out."""

    def __init__(self, root: Path, settings: dict[str, Any], python: str = sys.executable) -> None:
        self.root, self.python = root, python
        program, dataset = root / "input/data/program", root / "input/data/dataset"
        for folder in (
            program / "picchu_training",
            dataset,
            root / "model",
            root / "checkpoints",
            root / "tmp",
        ):
            folder.mkdir(parents=True)
        (dataset / "metadata.jsonl").write_text('{"file_name": "0.png", "text": "Mayu waits."}\n')
        Image.new("RGB", (64, 64), (200, 90, 40)).save(dataset / "0.png")
        for name in ("start.sh", "inference.py"):
            shutil.copy(SAGEMAKER / name, program)
        (program / "picchu_training/__init__.py").touch()
        (program / "picchu_training/__main__.py").write_text(STAND_IN)
        # Something that is there: nothing has to be fetched.
        (program / "requirements.txt").write_text("pip\n")
        paths = {
            "dataset": "input/data/dataset",
            "output": "work/run",
            "checkpoints": "checkpoints",
            "steps": 3,
            "seconds": 0.05,
        }
        self.put("settings.json", {**paths, **settings})

    def put(self, name: str, values: dict[str, Any]) -> None:
        (self.root / "input/data/program" / name).write_text(json.dumps(values))

    def start(self) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PICCHU_ROOT": str(self.root),
            "PICCHU_PYTHON": self.python,
            "PICCHU_LOOK_SECONDS": "0.1",
            "TMPDIR": str(self.root / "tmp"),
        }
        return subprocess.Popen(
            ["sh", str(self.root / "input/data/program/start.sh")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self) -> tuple[int, str]:
        process = self.start()
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def losses(self, name: str = "checkpoints/run/metrics.jsonl") -> list[int]:
        lines = map(json.loads, self.read(name).splitlines())
        return [line["step"] for line in lines if "loss" in line]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "opt ml"


def test_a_job_leaves_a_model_that_can_be_served_and_panels(root: Path) -> None:
    job = Job(root, {})
    lora = "model/pytorch_lora_weights.safetensors"
    job.put("draw.json", {"out": "model/storyboard", "lora": lora})
    code, said = job.run()
    assert code == 0, said
    assert '"loss": 0.3333' in said, "SageMaker reads the loss out of the log"
    model = root / "model"
    made = sorted(str(path.relative_to(model)) for path in model.rglob("*") if path.is_file())
    package = ("picchu_training/__init__.py", "picchu_training/__main__.py")
    assert made == [
        "README.md",
        *(f"code/{name}" for name in ("inference.py", *package, "requirements.txt")),
        "metrics.jsonl",
        "pytorch_lora_weights.safetensors",
        "samples/00.png",
        "status.json",
        "storyboard/000-0.png",
    ]
    assert job.losses() == [1, 2, 3]
    assert json.loads(job.read("checkpoints/run/status.json"))["state"] == "completed"
    assert not (root / "output/failure").exists()


def test_panels_that_fail_do_not_cost_the_model(root: Path) -> None:
    job = Job(root, {})
    job.put("draw.json", {"fail": True})
    code, _ = job.run()
    assert code == 0
    assert job.read("model/storyboard/failure.txt") == "there is no such model\n"
    assert (root / "model/pytorch_lora_weights.safetensors").is_file()


def test_a_job_that_is_interrupted_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    job = Job(root, {"steps": 40, "seconds": 0.1})
    process = job.start()
    live = root / "checkpoints/run/metrics.jsonl"
    while not (live.exists() and len(job.losses()) > 2):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
    done = len(job.losses())
    assert list((root / "checkpoints").glob("step-*")), "the program was asked, and left a checkpoint"
    assert not (root / "model/README.md").exists(), "what is not done is no model"

    # A new machine has the checkpoints, and nothing else of the old one.
    again = Job(tmp_path / "again", {"steps": done + 2, "seconds": 0.01})
    shutil.copytree(root / "checkpoints", again.root / "checkpoints", dirs_exist_ok=True)
    code, said = again.run()
    assert code == 0, said
    assert again.losses() == list(range(1, done + 3)), "the curve is whole"


def test_failures_reach_the_reason_that_sagemaker_tells(root: Path, tmp_path: Path) -> None:
    code, _ = Job(root, {"fail": "out_of_memory"}).run()
    assert code == 1
    assert (root / "output/failure").read_text() == "out_of_memory: it is too large; take less\n"
    assert not (root / "model/README.md").exists()

    missing = Job(tmp_path / "missing", {})
    (missing.root / "input/data/wheels").mkdir()
    (missing.root / "input/data/program/requirements.txt").write_text("no-such-package-of-anybody==1\n")
    code, said = missing.run()
    assert code == 1, said
    assert missing.read("output/failure").startswith("bad_input: the packages"), "wheels alone are asked"

    killed = Job(tmp_path / "killed", {})
    main = killed.root / "input/data/program/picchu_training/__main__.py"
    main.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    code, _ = killed.run()
    assert code == 1
    assert killed.read("output/failure").startswith("out_of_memory: the program was killed")


NEEDED = ("torch", "diffusers", "peft", "accelerate", "transformers")


@pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason='needs pip install "picchu[train]"')
def test_the_real_program_trains_draws_and_serves(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model with random weights: a job, its panels, the endpoint's functions on its result."""
    base = "random:flux2-klein"
    settings = {
        "base_model": base,
        "name": "mayu",
        "steps": 2,
        "resolution": 32,
        "rank": 2,
        "checkpoint_every": 1,
        "validate_every": 0,
        "sample_every": 0,
        "device": "cpu",
        "warmup_steps": 0,
    }
    job = Job(root, settings)
    told = {
        k: v for k, v in json.loads(job.read("input/data/program/settings.json")).items() if k != "seconds"
    }
    job.put("settings.json", told)
    panel = {"prompt": "Mayu waves", "seed": 7, "width": 32, "height": 32}
    lora = "model/pytorch_lora_weights.safetensors"
    job.put(
        "draw.json",
        {"base_model": base, "lora": lora, "out": "model/storyboard", "steps": 2, "panels": [panel]},
    )
    shutil.rmtree(root / "input/data/program/picchu_training")
    shutil.copytree(
        ROOT / "python/picchu/training",
        root / "input/data/program/picchu_training",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    code, said = job.run()
    assert code == 0, said
    assert job.losses("model/metrics.jsonl") == [1, 2]
    drawn = picture_of(root / "model/storyboard/000-0.png")
    assert drawn.size == (32, 32)

    monkeypatch.setenv("PICCHU_DRAWING", json.dumps({"base_model": base, "steps": 2}))
    found = [str(root / "model/code"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    served = subprocess.run(
        [sys.executable, "-c", SERVE, str(root / "model"), json.dumps(panel)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    (root / "served.png").write_bytes(bytes.fromhex(served.stdout.strip().splitlines()[-1]))
    same = picture_of(root / "served.png")
    assert same.tobytes() == drawn.tobytes(), "the endpoint draws what the job drew"


def picture_of(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


# As the container's toolkit calls it: the module of the model's folder `code`, with a text.
SERVE = """
import base64, json, sys
import inference
artist = inference.model_fn(sys.argv[1])
answer = inference.transform_fn(artist, sys.argv[2], "application/json", "application/json")
print(base64.b64decode(json.loads(answer)["images"][0]).hex())
"""
