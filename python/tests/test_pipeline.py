from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import picchu


def test_plans_are_lazy_immutable_and_pickle(plan: picchu.Plan) -> None:
    stricter = plan.dedupe(min_similarity=0.99)
    assert (plan.min_similarity, stricter.min_similarity) == (0.94, 0.99)
    assert stricter != plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    with pytest.raises(AttributeError):
        plan.keep = "first"  # type: ignore[misc]
    lines = repr(plan).splitlines()
    assert lines[1:4] == [
        "  .sample(fps=2, start=7.0, limit=8)",
        "  .detect(PaletteDetector(Nilo, Wara))",
        "  .crop(pad=0.15)",
    ]


def test_verbs_that_are_left_out_take_defaults(film_path: Path, cast_path: Path) -> None:
    cast = picchu.Cast.load(cast_path)
    short = picchu.film(film_path).detect(cast)
    assert short == picchu.film(film_path).sample().detect(cast_path).crop().dedupe().caption()


def test_a_plan_needs_a_detector(film_path: Path, tmp_path: Path) -> None:
    with pytest.raises(picchu.ConfigError, match="no detector"):
        picchu.film(film_path).sample(every=2).run(tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_casts_are_objects(cast_path: Path, tmp_path: Path) -> None:
    cast = picchu.Cast.load(cast_path)
    assert cast.names == ("Nilo", "Wara")
    assert cast["Nilo"].description.startswith("a boy")
    assert all(path.is_file() for path in cast["Wara"].references)
    assert (len(cast), [character.name for character in cast]) == (2, ["Nilo", "Wara"])
    with pytest.raises(FileNotFoundError):
        picchu.Cast.load(tmp_path / "cast.toml")
    (tmp_path / "cast.toml").write_text("characters = 3")
    with pytest.raises(picchu.InvalidInput, match="not a valid cast"):
        picchu.local.PaletteDetector(tmp_path / "cast.toml")


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        ("sample", {"fps": 0}, "frames a second"),
        ("crop", {"pad": 9}, "pad is 9"),
        ("crop", {"min_side": -1}, "min_side|invalid value"),
        ("dedupe", {"min_similarity": 1.5}, "min_similarity is 1.5"),
        ("dedupe", {"keep": "last"}, '"best" or "first"'),
    ],
)
def test_options_are_checked_at_once(
    plan: picchu.Plan, verb: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(picchu.InvalidInput, match=words):
        getattr(plan, verb)(**options)


def test_a_run_ends_with_a_dataset(plan: picchu.Plan, dataset: picchu.Dataset) -> None:
    counts = dataset.counts
    assert counts.frames == 8
    assert counts.kept > 0
    assert counts.duplicates > 0
    assert set(counts.characters) <= {"Nilo", "Wara"}
    assert all(record.caption and record.character for record in dataset.kept)


def test_a_second_run_has_nothing_to_do(plan: picchu.Plan, dataset: picchu.Dataset) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.path.rglob("*")}
    events: list[dict[str, Any]] = []
    again = plan.run(dataset.path, progress=False, on_event=events.append)
    assert events[-1]["unchanged"]
    assert {path: path.stat().st_mtime_ns for path in dataset.path.rglob("*")} == before
    assert again.records == dataset.records


def test_another_threshold_decodes_nothing(
    plan: picchu.Plan, dataset: picchu.Dataset, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(dataset.path, tmp_path / "copy")
    events: list[dict[str, Any]] = []
    strict = plan.dedupe(min_similarity=1.0)
    assert [s.state for s in strict.explain(tmp_path / "copy").stages][:5] == ["done"] * 4 + ["to_do"]
    more = strict.run(tmp_path / "copy", progress=False, on_event=events.append)
    assert more.counts.kept > dataset.counts.kept
    assert {"learning", "collected"}.isdisjoint(event["event"] for event in events)


def test_plans_explain_themselves(plan: picchu.Plan, dataset: picchu.Dataset) -> None:
    fresh = plan.explain()
    assert fresh.expected_frames == 8
    assert [stage.stage for stage in fresh.stages] == [
        "sample",
        "detect",
        "crop",
        "embed",
        "dedupe",
        "caption",
        "store",
    ]
    assert {stage.state for stage in fresh.stages} == {"to_do"}
    assert {stage.state for stage in plan.explain(dataset.path).stages} == {"done"}
    assert "two_friends.mp4" in str(fresh)
    assert "<table>" in fresh._repr_html_()


def test_another_films_dataset_is_left_alone(
    dataset: picchu.Dataset, cast_path: Path, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (640, 640)).save(tmp_path / "0.png")
    with pytest.raises(FileExistsError, match="another film"):
        picchu.film(tmp_path).detect(cast_path).run(dataset.path, progress=False)


def test_an_exception_in_a_callback_stops_the_run(plan: picchu.Plan, tmp_path: Path) -> None:
    def refuse(event: dict[str, Any]) -> None:
        raise RuntimeError(event["event"])

    with pytest.raises(RuntimeError, match="opened"):
        plan.run(tmp_path / "dataset", progress=False, on_event=refuse)
    assert not (tmp_path / "dataset" / "picchu.json").exists()


def test_nobody_is_a_valid_empty_dataset(plan: picchu.Plan, tmp_path: Path) -> None:
    from PIL import Image

    film = tmp_path / "film"
    film.mkdir()
    for number in range(3):
        Image.new("RGB", (640, 480), (20, 20, 20 + number)).save(film / f"{number}.png")
    assert plan.detector is not None
    with pytest.warns(UserWarning, match="the dataset is empty"):
        empty = (
            picchu.film(film)
            .sample(every="frame")
            .detect(plan.detector)
            .run(tmp_path / "dataset", progress=False)
        )
    assert (empty.counts.kept, empty.kept) == (0, ())
    assert "0 kept" in empty._repr_html_()
    assert empty.embeddings.shape[0] == len([r for r in empty if r.embedding_row is not None])


def test_two_runs_at_once_do_not_meet(plan: picchu.Plan, dataset: picchu.Dataset, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        places = (tmp_path / "one", tmp_path / "two")
        runs = list(pool.map(lambda place: plan.run(place, progress=False), places))
    for run in runs:
        for name in ("picchu.json", "records.jsonl", "embeddings.npy"):
            assert (run.path / name).read_bytes() == (dataset.path / name).read_bytes()
