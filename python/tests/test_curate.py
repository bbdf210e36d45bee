from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import picchu


@pytest.fixture
def copy(dataset: picchu.Dataset, tmp_path: Path) -> Path:
    shutil.copytree(dataset.path, tmp_path / "copy")
    return tmp_path / "copy"


def test_lineage_leads_back_to_the_film(dataset: picchu.Dataset, film_path: Path) -> None:
    kept = next(record for record in dataset.kept if dataset.lineage(record).covers)
    lineage = dataset.lineage(kept)
    assert lineage.part == "train"
    assert dataset[lineage.covers[0][0]].covered_by == kept.id
    assert kept.film in str(lineage)
    recut = dataset.recut(kept, film_path)
    assert recut.identical
    assert recut.body == kept.image_bytes()
    with pytest.raises(picchu.NotFound, match="nobody"):
        dataset.lineage("nobody")


def test_validation_mends_what_needs_no_judgement(copy: Path) -> None:
    dataset = picchu.open_dataset(copy)
    kept = dataset.kept[0]
    edit = {"record": kept.id, "decision": "edit", "caption": f" {kept.character}\nwaits.", "reviewer": "me"}
    (copy / "reviews.jsonl").write_text(json.dumps({**edit, "time_ms": 1}) + "\n")
    lines = (copy / "records.jsonl").read_bytes().splitlines(keepends=True)
    skipped = next((n for n, line in enumerate(lines) if b'"duplicate"' in line), 0)
    lines[skipped] = lines[skipped][:40] + b"\n"
    (copy / "records.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(picchu.InvalidInput, match=f"line {skipped + 1}"):
        picchu.open_dataset(copy)
    validation = picchu.validate(copy, "kohya", images=True)
    assert not validation
    assert {v.rule for v in validation.violations} == {"broken-line", "caption-lines", "caption-margins"}
    assert all(v.fixable and v.source and v.mend for v in validation.violations)
    mended = picchu.validate(copy, "kohya", images=True, fix=True)
    assert mended
    assert mended.mended >= 2
    dataset = picchu.open_dataset(copy)
    assert len(dataset) == len(lines) - 1
    assert dataset[kept.id].caption == f"{kept.character} waits."


def test_stats_and_splits(copy: Path) -> None:
    dataset = picchu.open_dataset(copy)
    stats = dataset.stats()
    assert stats.images == len(dataset.kept)
    assert set(stats.characters) <= {"Nilo", "Wara"}
    assert "images for training" in str(stats)
    capped = dataset.split(cap=1)
    assert len(capped.train) == sum(1 for c in stats.characters.values() if c.images)
    assert len(capped.train) + len(capped.left_out) == stats.images
    with pytest.raises(picchu.InvalidInput, match="held_out"):
        dataset.split(held_out=0.9)


def test_merging_refuses_a_film_that_comes_twice(dataset: picchu.Dataset, tmp_path: Path) -> None:
    with pytest.raises(picchu.InvalidInput, match="comes twice"):
        picchu.merge([dataset, dataset.path], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_unknown_formats_are_refused(dataset: picchu.Dataset, tmp_path: Path) -> None:
    with pytest.raises(picchu.InvalidInput, match="kohya"):
        dataset.export("excel", out=tmp_path / "x")  # type: ignore[arg-type]
    with pytest.raises(picchu.AlreadyExists, match="something else"):
        dataset.export("kohya", out=dataset.path)
