"""The notebooks are run from the first cell to the last, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from fake_aws import FakeAws
from fake_s3 import FakeS3

NOTEBOOKS = ROOT / "examples" / "notebooks"

RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def run(name: str, folder: Path, **environment: str) -> list[Any]:
    """The cells of a notebook after a run in a folder that lies beside the film's."""
    pytest.importorskip("nbclient")
    shutil.copytree(ROOT / "examples" / "film", folder / "film")
    (folder / "notebooks").mkdir()
    copy = folder / "notebooks" / name
    shutil.copy(NOTEBOOKS / name, copy)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(copy)],
        cwd=copy.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    cells: list[Any] = json.loads(copy.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def shown(cell: Any) -> str:
    """Everything that a cell shows."""
    assert not [output for output in cell["outputs"] if output.get("name") == "stderr"]
    parts = [
        part
        for output in cell["outputs"]
        for part in (output.get("text", ""), *output.get("data", {}).values())
    ]
    return "\n".join("".join(part) if isinstance(part, list) else str(part) for part in parts)


def test_notebooks_are_kept_without_what_they_showed() -> None:
    found = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert found
    for name in found:
        for cell in json.loads((NOTEBOOKS / name).read_text())["cells"]:
            assert not cell.get("outputs"), name
            assert cell.get("execution_count") is None, name


def test_from_film_to_dataset_without_an_account(tmp_path: Path) -> None:
    network = {f"{scheme}_proxy": "http://127.0.0.1:1" for scheme in ("http", "https")}
    cells = run("1-film-to-dataset.ipynb", tmp_path, **network)
    everything = [shown(cell) for cell in cells]
    assert "data:image/jpeg;base64," in everything[0]
    assert any("near-duplicates" in words and "<figure" in words for words in everything)
    assert (tmp_path / "notebooks" / "out" / "diffusers" / "metadata.jsonl").exists()


@pytest.fixture
def aws(aws_keys: None, monkeypatch: pytest.MonkeyPatch, film_path: Path) -> Iterator[FakeAws]:
    with FakeS3() as s3, FakeAws(s3) as aws:
        s3.objects["my-bucket/two_friends.mp4"] = film_path.read_bytes()
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.address)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.address)
        yield aws


def test_the_whole_path_on_aws_and_back_to_nothing(aws: FakeAws, tmp_path: Path) -> None:
    pytest.importorskip("boto3")
    cells = run("2-on-aws.ipynb", tmp_path, PICCHU_POLL="0.1")
    everything = "\n".join(shown(cell) for cell in cells)
    assert "US dollars" in everything
    assert "training loss, step by step" in everything
    assert "Wara runs over a bridge" in everything
    assert (len(aws.jobs), len(aws.sent("POST provisioned-model-throughput"))) == (1, 1)
    left = (aws.roles, aws.models, aws.throughput, aws.collections)
    assert not any(left), left


def test_a_lora_from_the_dataset_to_a_verdict(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the extra `train` is not installed")
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    cells = run("3-train-a-lora.ipynb", tmp_path, PICCHU_BASE_MODEL="random:flux2-klein", HF_HUB_OFFLINE="1")
    everything = [shown(cell) for cell in cells]
    assert any("training loss, step by step" in words for words in everything)
    assert any("Nilo holds a lantern" in words and "data:image/jpeg" in words for words in everything)
    assert any("appears in" in words and "base" in words for words in everything)
    assert 'base_model: "random:flux2-klein"' in everything[-1]
