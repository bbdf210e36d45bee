"""Many films on a local Ray cluster: the dataset of one process, byte for byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import picchu
import picchu.ray

FILMS = 20


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is not installed; pip install 'picchu[ray]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        import ray.data

        # Ray's processes find this package where the tests do.
        paths = [str(Path(picchu.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, paths))}}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def films(film_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Short cuts of the project's film. They overlap, so that films share near-duplicates."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed: the film cannot be cut")
    folder = tmp_path_factory.mktemp("films")
    cuts = []
    for n in range(FILMS):
        cut = folder / f"cut {n:02}.mp4"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-ss",
            str(1.7 * n),
            "-i",
            str(film_path),
            "-t",
            "6",
            "-c:v",
            "libx264",
        ]
        subprocess.run([*command, "-preset", "ultrafast", "-crf", "20", "-an", str(cut)], check=True)
        cuts.append(cut)
    return cuts


@pytest.fixture(scope="module")
def many(film_path: Path, cast_path: Path) -> picchu.Plan:
    """Quick for each film: it learns from few frames."""
    detector = picchu.local.PaletteDetector(cast_path, learn_frames=6)
    return picchu.film(film_path).sample(fps=0.5).detect(detector).dedupe(min_similarity=0.94).caption()


@pytest.fixture(scope="module")
def alone(many: picchu.Plan, films: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the films: one after the other, and then merged."""
    folder = tmp_path_factory.mktemp("alone")
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for film in films:
            part = many.for_film(film).run(folder / picchu.ray.name_of(film), progress=False)
            parts.append(part)
        picchu.merge(parts, folder / "all")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.filterwarnings("ignore")
def test_twenty_films_equal_the_dataset_of_one_process(
    ray: Any, many: picchu.Plan, films: list[Path], alone: Path, tmp_path: Path
) -> None:
    # Small cells: most pairs lie across their borders.
    dataset = picchu.ray.build(many, films, tmp_path / "all", films_at=tmp_path / "films", rows_per_cell=5)
    assert len(dataset.kept) > 10
    across = sum(record.outcome == "duplicate" for record in dataset)
    assert across > 10, "the films share what they show"
    assert content(tmp_path / "all") == content(alone / "all")
    for film in films:
        name = picchu.ray.name_of(film)
        assert content(tmp_path / "films" / name) == content(alone / name)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_is_survived(
    ray: Any, many: picchu.Plan, films: list[Path], alone: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill() -> None:
        """Kills the process that works on the first film that has begun and is not finished."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and len(killed) < 2:
            begun = [
                p.parent
                for p in (tmp_path / "films").glob("*/work")
                if not (p.parent / "picchu.json").exists()
            ]
            for pid in workers() if begun else []:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                time.sleep(3)
                break
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        picchu.ray.build(many, films, tmp_path / "all", films_at=tmp_path / "films")
    finally:
        killer.join()
    assert killed
    assert content(tmp_path / "all") == content(alone / "all")


def workers() -> list[int]:
    """The processes of the actors that work on films."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and command.startswith(b"ray::") and b"_Films" in command:
            found.append(int(entry.name))
    return found


@pytest.mark.filterwarnings("ignore")
def test_pairs_across_cells_are_those_of_one_search(ray: Any) -> None:
    random = np.random.default_rng(5)
    directions = random.standard_normal((12, 24))
    x = directions[random.integers(0, 12, 400)] + random.standard_normal((400, 24)) * 0.25
    x = (x * random.uniform(0.1, 9, (400, 1))).astype(np.float32)
    vectors = ray.data.from_items(
        [{"row": n, "vector": row} for n, row in enumerate(x)], override_num_blocks=7
    )
    for min_similarity, rows_per_cell in ((0.3, 40), (0.9, 1000), (0.9, 9), (1.0, 40)):
        expected = picchu.join(x, min_similarity=min_similarity).pairs()
        found = picchu.ray.near_pairs(
            vectors, 400, min_similarity=min_similarity, rows_per_cell=rows_per_cell
        )
        for part, whole in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, whole)
    assert len(picchu.ray.near_pairs(vectors.limit(1), 1, min_similarity=0.9)[0]) == 0

    def rows(part: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"row": n, "vector": x[n]} for n in range(part["first"], min(part["first"] + 200, 400))]

    # The last film has nothing that was kept.
    films = ray.data.from_items([{"first": n} for n in (0, 200, 400)], override_num_blocks=3).flat_map(rows)
    for part, whole in zip(picchu.ray.near_pairs(films, 400, min_similarity=1.0), expected, strict=True):
        np.testing.assert_array_equal(part, whole)


@pytest.mark.filterwarnings("ignore")
def test_a_film_that_fails_is_named_and_the_others_are_finished(
    ray: Any, many: picchu.Plan, films: list[Path], tmp_path: Path
) -> None:
    poison = tmp_path / "poison.mp4"
    poison.write_bytes(b"\x07" * 10_000)
    some = [films[7], poison, films[9]]
    with pytest.raises(picchu.PicchuError, match="poison"):
        picchu.ray.build(many, some, tmp_path / "all", films_at=tmp_path / "films")
    with pytest.warns(UserWarning, match=r"1 of 3 films failed.*poison"):
        dataset = picchu.ray.build(many, some, tmp_path / "all", films_at=tmp_path / "films", on_error="skip")
    assert len({record.film for record in dataset}) == 2


def test_films_come_once_and_have_names(many: picchu.Plan, films: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed; pip install 'picchu[ray]'")
    with pytest.raises(picchu.InvalidInput, match="each once"):
        picchu.ray.build(many, [films[0], films[0]], tmp_path / "all", films_at=tmp_path / "films")
    assert picchu.ray.name_of("s3://b/Épisode 1.mp4?X=1").startswith("pisode-1-")
    assert picchu.ray.name_of("a/x.mp4") != picchu.ray.name_of("b/x.mp4")
