"""The examples in the docstrings are run as they stand."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import picchu

MODULES = [f"picchu.{module.name}" for module in pkgutil.iter_modules(picchu.__path__)]


@pytest.mark.parametrize("name", ["picchu", *MODULES])
def test_examples_in_docstrings(
    name: str,
    dataset: picchu.Dataset,
    film_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path, place in [
        (film_path, "film.mp4"),
        (film_path.parent / "cast.toml", "cast.toml"),
        (film_path.parent / "cast", "cast"),
        (dataset.path, "dataset"),
    ]:
        (tmp_path / place).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name), extraglobs={"picchu": picchu})
    assert results.failed == 0
    if name == "picchu.vectors":
        assert results.attempted > 5
