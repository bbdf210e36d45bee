from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import picchu


def test_references_are_cut_and_named(film_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "cast.toml"
    first = picchu.Cast.add_reference(path, name="Wara", film=film_path, at=8, box=(0.3, 0.3, 0.2, 0.6))
    assert first.names == ("Wara",)
    assert first["Wara"].references[0].is_file()
    cast = picchu.Cast.add_reference(
        path, name="Wara", film=film_path, at=9, box=(10, 10, 64, 64), negative=True
    )
    assert [len(cast["Wara"].references), len(cast["Wara"].negatives)] == [1, 1]
    with pytest.raises(picchu.exceptions.InvalidInput, match="leaves the frame"):
        picchu.Cast.add_reference(path, name="Wara", film=film_path, at=9, box=(1270, 0, 64, 64))
    assert picchu.Cast.load(path) == cast


def test_a_cast_is_suggested(film_path: Path, tmp_path: Path) -> None:
    draft = picchu.film(film_path).suggest_cast(tmp_path / "draft", frames=24, groups=3)
    assert 1 <= len(draft) <= 3
    assert all(path.is_file() for character in draft for path in character.references)
    assert (tmp_path / "draft" / "cast.html").is_file()
    with pytest.raises(picchu.exceptions.AlreadyExists):
        picchu.film(film_path).suggest_cast(tmp_path / "draft")


def test_options_of_the_detector_are_checked(film_path: Path, cast_path: Path) -> None:
    detector = picchu.local.PaletteDetector(cast_path, max_per_frame=2, named_from=0.6)
    assert detector.to_dict() == {"palette": {"max_per_frame": 2, "named_from": 0.6}}
    wrong = picchu.local.PaletteDetector(cast_path, max_per_frame=0)
    with pytest.raises(picchu.exceptions.InvalidInput, match="max_per_frame"):
        picchu.film(film_path).detect(wrong).explain()


def test_corrections_become_references(dataset: picchu.Dataset, tmp_path: Path) -> None:
    place = tmp_path / "dataset"
    shutil.copytree(dataset.path, place)
    record = dataset.kept[0]
    other = next(r.character for r in dataset.kept if r.character not in (None, record.character))
    assert other is not None
    line = {"record": record.id, "decision": "rename", "character": other, "reviewer": "ann", "time_ms": 1}
    (place / "reviews.jsonl").write_text(json.dumps(line) + "\n")
    cast = picchu.Cast.learn(tmp_path / "cast.toml", place)
    assert len(cast[other].references) == 1
    assert len(cast[str(record.character)].negatives) == 1
    assert picchu.Cast.learn(tmp_path / "cast.toml", place) == cast
