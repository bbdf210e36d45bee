from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import picchu

FloatArray = NDArray[np.floating[Any]]


def video_like(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    """A walk that comes back to scenes, with exact repeats, rows of any norm."""
    rng = np.random.default_rng(seed)
    scenes = rng.standard_normal((5, columns))
    x = scenes[rng.integers(0, 5, rows)] + 0.25 * rng.standard_normal((rows, columns))
    x[rows // 2] = x[rows // 3]
    return (x * rng.uniform(0.01, 100, (rows, 1))).astype(np.float32)


def cosines(x: FloatArray) -> NDArray[np.float64]:
    exact = x.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=1))
    return np.asarray(np.clip(exact @ exact.T / np.outer(norms, norms), -1, 1))


def oracle(x: FloatArray, min_similarity: float, order: NDArray[np.int64] | None = None) -> list[int]:
    """Greedy selection in float64."""
    similar = cosines(x) >= min_similarity
    kept: list[int] = []
    for row in range(len(x)) if order is None else order:
        if not similar[row, kept].any():
            kept.append(int(row))
    return sorted(kept)


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("min_similarity", [0.5, 0.8, 0.9, 0.97])
def test_selection_is_that_of_float64(min_similarity: float, threads: int | None) -> None:
    x = video_like(400, 48, seed=1)
    selection = picchu.dedupe(x, min_similarity=min_similarity, threads=threads)
    assert selection.kept.tolist() == oracle(x, min_similarity)
    assert selection.kept.dtype == selection.covered_by.dtype == np.dtype(np.int64)
    covers = selection.covered_by
    assert (covers[selection.kept] == selection.kept).all()
    assert np.isin(covers, selection.kept).all()
    expected = cosines(x)[np.arange(len(x)), covers]
    np.testing.assert_allclose(selection.similarity, expected, atol=1e-6)


def test_the_best_of_similar_rows_is_kept() -> None:
    x = video_like(300, 32, seed=2)
    quality = np.round(np.random.default_rng(3).random(300), 1)  # with ties
    order = np.argsort(-quality, kind="stable")
    best = picchu.dedupe(x, min_similarity=0.9, quality=quality)
    assert best.kept.tolist() == oracle(x, 0.9, order)
    assert picchu.dedupe(x, min_similarity=0.9, order=order).kept.tolist() == best.kept.tolist()


@pytest.mark.parametrize("kind", ["float64", "float16", ">f4", "int32"])
def test_other_types_are_converted(kind: str) -> None:
    x = video_like(100, 16, seed=4)
    x = np.round(x * 100).astype(kind) if kind == "int32" else x.astype(kind)
    expected = picchu.dedupe(x.astype(np.float32), min_similarity=0.9)
    assert picchu.dedupe(x, min_similarity=0.9).kept.tolist() == expected.kept.tolist()


def test_other_layouts_are_converted() -> None:
    x = video_like(100, 16, seed=5)
    expected = picchu.dedupe(x, min_similarity=0.9).kept.tolist()
    wide = np.zeros((200, 40), np.float32)
    wide[::2, 3:35:2] = x
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    unaligned[:] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (
        np.asfortranarray(x),
        wide[::2, 3:35:2],
        unaligned,
        read_only,
        x.tolist(),
        np.flip(np.flip(x)),
    ):
        assert picchu.dedupe(same, min_similarity=0.9).kept.tolist() == expected


def test_nothing_and_one() -> None:
    assert picchu.dedupe(np.zeros((0, 8), np.float32), min_similarity=0.9).kept.tolist() == []
    assert picchu.dedupe([[3.0]], min_similarity=0.9).kept.tolist() == [0]
    assert picchu.join(np.zeros((0, 8)), min_similarity=0.9).components.tolist() == []


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        ([1.0, 2.0], {}, "shape (2,)"),
        (np.zeros((2, 2, 2)), {}, "shape (2, 2, 2)"),
        ([[1.0, 0.0], [0.0, 0.0]], {}, "row 1 is zero"),
        ([[1.0, 0.0], [np.nan, 0.0]], {}, "row 1 holds a NaN"),
        ([[1.0, 0.0], [1e300, 0.0]], {}, "row 1 holds a NaN or an infinity"),
        ([[1.0]], {"min_similarity": 1.5}, "min_similarity is 1.5"),
        ([[1.0]], {"min_similarity": float("nan")}, "min_similarity is NaN"),
        ([[1.0]], {"threads": 0}, "threads is 0"),
        ([[1.0]], {"order": [1]}, "order"),
        ([[1.0], [1.0]], {"order": [0, 0]}, "permutation"),
        ([[1.0]], {"quality": [0.5, 0.5]}, "quality has shape (2,)"),
        ([[1.0]], {"quality": [np.nan]}, "quality holds a NaN"),
        ([[1.0]], {"quality": [1], "order": [0]}, "exclude each other"),
    ],
)
def test_wrong_input_is_refused_in_words(x: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(picchu.InvalidInput) as caught:
        picchu.dedupe(x, **{"min_similarity": 0.9, **options})
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("x", [[["a", "b"]], [[1j, 0]], [[True, False]], [[None]]])
def test_what_holds_no_numbers_is_a_type_error(x: Any) -> None:
    with pytest.raises(TypeError, match="real numbers"):
        picchu.dedupe(x, min_similarity=0.9)


def test_join_finds_the_pairs_of_float64() -> None:
    x = video_like(250, 24, seed=6)
    join = picchu.join(x, min_similarity=0.8, threads=2)
    exact = cosines(x)
    a, b = np.nonzero(np.triu(exact >= 0.8, k=1))
    pairs = join.pairs()
    assert (pairs.a.tolist(), pairs.b.tolist()) == (a.tolist(), b.tolist())
    np.testing.assert_allclose(pairs.similarity, exact[a, b], atol=1e-9)
    assert len(join) == len(a)
    assert (join.rows, join.min_similarity) == (250, 0.8)


def test_groups_chain_and_thresholds_rise() -> None:
    x = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]
    join = picchu.join(x, min_similarity=0.5)
    assert join.components.tolist() == [0, 0, 0]
    assert join.rethreshold(0.7).components.tolist() == [0, 0, 2]
    assert join.select(0.7).kept.tolist() == picchu.dedupe(x, min_similarity=0.7).kept.tolist()
    groups = picchu.components(x, min_similarity=0.7)
    assert (groups.labels.tolist(), groups.count) == ([0, 0, 2], 2)
    with pytest.raises(picchu.InvalidInput, match=r"at least 0\.5"):
        join.rethreshold(0.4)


def test_calibration_tells_what_thresholds_do() -> None:
    x = video_like(300, 32, seed=8)
    calibration = picchu.calibrate(x)
    exact = cosines(x)
    np.fill_diagonal(exact, -2)
    np.testing.assert_allclose(calibration.nearest, exact.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(calibration.nearest_earlier[1:], np.tril(exact, -1)[1:].max(axis=1), atol=1e-6)
    assert np.isnan(calibration.nearest_earlier[0])
    for threshold in (0.85, 0.9, 0.95):
        assert calibration.kept_at(threshold) == len(oracle(x, threshold))
    threshold, kept = calibration.threshold_for(150)
    assert kept == len(oracle(x, threshold))
    near = calibration.pairs_near(0.9, 5)
    assert len(near.a) == 5
    assert (np.diff(np.abs(near.similarity - 0.9)) >= 0).all()
    assert calibration.join.min_similarity == calibration.floor == 0.8
    with pytest.raises(picchu.InvalidInput):
        calibration.kept_at(0.5)


def test_an_index_selects_in_parts(tmp_path: Path) -> None:
    x = video_like(300, 32, seed=9)
    index = picchu.Index(32, min_similarity=0.9)
    parts = [index.add(part) for part in np.array_split(x, 4)]
    index.save(tmp_path / "index")
    whole = picchu.dedupe(x, min_similarity=0.9)
    for one in (index, picchu.Index.load(tmp_path / "index")):
        assert one.kept.tolist() == whole.kept.tolist()
        assert (len(one), one.seen, one.dimensions) == (len(whole.kept), 300, 32)
        covers = one.query(x[whole.kept])
        assert covers.covered_by.tolist() == whole.kept.tolist()
    assert np.concatenate([part.covered_by for part in parts]).tolist() == whole.covered_by.tolist()
    lonely = index.query(-x[:1])
    assert lonely.covered_by.tolist() == [-1]
    assert np.isnan(lonely.similarity[0])
    with pytest.raises(picchu.InvalidInput, match="expected 32"):
        index.add(np.ones((1, 3)))
    with pytest.raises(FileNotFoundError):
        picchu.Index.load(tmp_path / "none")
    (tmp_path / "text").write_text("no index")
    with pytest.raises(picchu.InvalidInput, match="text: "):
        picchu.Index.load(tmp_path / "text")


def test_too_many_pairs_are_a_quota() -> None:
    with pytest.raises(picchu.QuotaExceeded, match="memory budget"):
        picchu.join(np.ones((500, 4)), min_similarity=0.9, memory_budget_bytes=1000)


def test_float32_in_c_order_is_not_copied() -> None:
    import tracemalloc

    x = video_like(2000, 256, seed=7)
    tracemalloc.start()
    picchu.dedupe(x, min_similarity=0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 10  # numpy's allocations are traced: a conversion would show
