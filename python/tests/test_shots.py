from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import picchu


def test_a_film_shows_how_it_is_cut(film_path: Path) -> None:
    film = picchu.film(film_path)
    shots = film.shots()
    assert [shot.number for shot in shots] == list(range(len(shots)))
    assert (shots[0].start, shots[0].transition) == (0.0, None)
    assert all(before.end == after.start for before, after in pairwise(shots))
    assert {shot.entered_by for shot in shots} == {None, "cut", "dissolve", "fade"}
    assert len(shots.flashes) == 1
    assert (shots.picture, shots.overlays) == (None, ())
    assert "shots" in repr(shots)
    assert "<table>" in shots._repr_html_()
    assert len(shots.drawings) < shots.pictures

    # The film was looked at already.
    frames = list(film.frames(per_shot=1, max_side=64))
    assert [frame.shot for frame in frames] == sorted({frame.shot for frame in frames})
    for frame in frames:
        assert frame.shot is not None
        assert frame.drawing is not None
        assert shots[frame.shot].start <= frame.time < shots[frame.shot].end
    marked = list(film.frames(every=5.0, limit=3, max_side=64, lineage=True))
    assert [frame.shot for frame in marked] == [0, 1, 2]
    assert next(film.frames(every=5.0, max_side=64)).shot is None
    once = list(film.frames(every="drawing", end=5.0, max_side=64))
    assert len({frame.drawing for frame in once}) == len(once) < 5 * 24
    assert len(list(film.frames(sharpest=2.0, end=12.0, max_side=64))) in range(5, 9)


def test_plans_choose_by_what_the_film_shows(film_path: Path) -> None:
    plan = picchu.film(film_path).sample(per_shot=2, lineage=True)
    assert ".sample(per_shot=2, lineage=True)" in repr(plan)


@pytest.mark.parametrize(
    "options",
    [{"per_shot": 0}, {"sharpest": 0.0}, {"sharpest": -1.0}, {"sharpest": float("nan")}, {"sharpest": 1e9}],
)
def test_options_out_of_range_are_refused(film_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(picchu.InvalidInput):
        picchu.film(film_path).sample(**options)  # type: ignore[arg-type]
    with pytest.raises(picchu.InvalidInput, match="exclude each other"):
        picchu.film(film_path).sample(every=1.0, per_shot=3)
