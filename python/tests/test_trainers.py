"""Exports, read by the trainers' own loaders where they can be installed, and by their documented rules."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import picchu


@pytest.fixture(scope="module")
def split(dataset: picchu.Dataset) -> dict[str, tuple[str, int, int]]:
    """Caption and size of each training picture, by the pixels' hash."""
    return {
        str(hash(record.to_numpy().tobytes())): (record.caption or "", *record.to_numpy().shape[1::-1])
        for record in dataset.kept
    }


def seen(image: Image.Image, caption: str) -> tuple[str, tuple[str, int, int]]:
    return str(hash(np.asarray(image.convert("RGB")).tobytes())), (caption, *image.size)


def test_datasets_reads_image_folders(
    dataset: picchu.Dataset, split: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="the extra `trainers` is not installed")
    for format in ("diffusers", "hf"):  # noqa: A001
        out = tmp_path / format
        export = dataset.export(format, out=out)
        assert export.records == len(split)
        assert sum(export.characters.values()) == len(split)
        for loaded in (
            datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "a"))["train"],
            datasets.load_dataset(str(out), cache_dir=str(tmp_path / "b"))["train"],
        ):
            assert {"image", "text"} <= set(loaded.column_names)
            assert dict(seen(row["image"], row["text"]) for row in loaded) == split


# The library leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_shards(dataset: picchu.Dataset, split: dict[str, Any], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="the extra `trainers` is not installed")
    dataset.export("webdataset", out=tmp_path / "shards")
    shards = sorted(str(path) for path in (tmp_path / "shards").glob("train-*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert dict(seen(sample["png"], sample["txt"]) for sample in samples) == split
    assert all(sample["json"]["character"] for sample in samples)


def test_kohya_finds_every_caption(dataset: picchu.Dataset, split: dict[str, Any], tmp_path: Path) -> None:
    """By the rules of sd-scripts' docs/config_README-en.md."""
    dataset.export("kohya", out=tmp_path / "kohya")
    config = tomllib.loads((tmp_path / "kohya" / "dataset_config.toml").read_text())
    extension = config["general"]["caption_extension"]
    found = {}
    for subset in config["datasets"][0]["subsets"]:
        for path in Path(subset["image_dir"]).glob("*.png"):
            caption = (
                path.with_name(path.stem + extension).read_text(encoding="utf-8").splitlines()[0].strip()
            )
            found.update([seen(Image.open(path), caption)])
    assert found == split


def test_ai_toolkit_finds_every_caption(
    dataset: picchu.Dataset, split: dict[str, Any], tmp_path: Path
) -> None:
    """By the rules of ai-toolkit's README."""
    yaml = pytest.importorskip("yaml", reason="the extra `trainers` is not installed")
    dataset.export("ai-toolkit", out=tmp_path / "kit")
    found = {}
    for folder in yaml.safe_load((tmp_path / "kit" / "datasets.yaml").read_text())["datasets"]:
        for path in Path(folder["folder_path"]).iterdir():
            if path.suffix in {".jpg", ".jpeg", ".png"}:
                caption = path.with_suffix("." + folder["caption_ext"]).read_text(encoding="utf-8").strip()
                found.update([seen(Image.open(path), caption)])
    assert found == split


def test_nova_manifests_name_every_image(dataset: picchu.Dataset, tmp_path: Path) -> None:
    if dataset.counts.kept < 5:
        with pytest.raises(picchu.InvalidInput, match="5 to 10000"):
            dataset.export("nova", uri="s3://bucket/film", out=tmp_path / "nova")
        validation = dataset.validate("nova")
        assert not validation
        assert validation.violations[0].rule == "records"
        return
    dataset.export("nova", uri="s3://bucket/film", out=tmp_path / "nova")
    lines = [json.loads(line) for line in (tmp_path / "nova" / "train.jsonl").read_text().splitlines()]
    for line in lines:
        assert (tmp_path / "nova" / line["image-ref"].removeprefix("s3://bucket/film/")).is_file()
