"""Near-duplicates among the rows of any array: exact, on every core, without copying the array.

Rows are vectors (embeddings) of any norm but zero. Their similarity is the cosine, from -1 to 1;
``min_similarity`` is the value from which two rows count as near-duplicates, so higher is stricter. Results
are those of a float64 computation of every pair of the float32 rows, and depend neither on the number of
threads nor on the processor.

float32 arrays in C order are used where they lie. Other layouts and types (float16, float64, integers) are
converted once, to float32. Do not change the array from another thread meanwhile.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from picchu import _picchu
from picchu.exceptions import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Calibration",
    "Components",
    "Covers",
    "Index",
    "Join",
    "Pairs",
    "Selection",
    "calibrate",
    "components",
    "dedupe",
    "join",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Selection:
    """Which rows are kept, and which kept row covers each of the others.

    Attributes:
        kept: Numbers of the kept rows, ascending. int64, shape (kept,).
        covered_by: For each row the kept row that covers it; a kept row covers itself. int64, shape (rows,).
        similarity: For each row its similarity with the row that covers it; 1 for a kept row. float32, shape
            (rows,).
    """

    kept: NDArray[np.int64]
    covered_by: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Selection({len(self.kept)} of {len(self.covered_by)} rows kept)"


class Pairs(NamedTuple):
    """Pairs of similar rows, by earlier row, then by later row.

    Attributes:
        a: The earlier row of each pair. int64, shape (pairs,).
        b: The later row of each pair. int64, shape (pairs,).
        similarity: Their similarity. float64, shape (pairs,).
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    similarity: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The groups that similar rows form, however long the chain.

    Attributes:
        labels: For each row the smallest member of its group. int64, shape (rows,).
        count: Number of groups.
    """

    labels: NDArray[np.int64]
    count: int


class Covers(NamedTuple):
    """Which kept row of an `Index` covers each row that was asked about.

    Attributes:
        covered_by: Number of the kept row, -1 where none does. int64, shape (rows,).
        similarity: Similarity with it, NaN where there is none. float32, shape (rows,).
    """

    covered_by: NDArray[np.int64]
    similarity: NDArray[np.float32]


class Join:
    """All pairs of rows that reach a threshold; made by `join`."""

    def __init__(self, native: _picchu.Join) -> None:
        self._native = native

    @property
    def min_similarity(self) -> float:
        """The threshold that the pairs reach."""
        return self._native.min_similarity

    @property
    def rows(self) -> int:
        """How many rows were searched."""
        return self._native.rows

    def __len__(self) -> int:
        """How many pairs were found."""
        return len(self._native)

    @cached_property
    def components(self) -> NDArray[np.int64]:
        """For each row the smallest member of its group. int64, shape (rows,).

        Groups chain: two members may be less similar than the threshold, if others connect them.
        """
        return self._native.components()

    def pairs(self) -> Pairs:
        """The pairs, by earlier row, then by later row."""
        return Pairs(*self._native.pairs())

    def rethreshold(self, min_similarity: float) -> Join:
        """The pairs that reach a higher threshold, without a new search.

        Raises:
            InvalidInput: For a threshold above 1, or below that of the search.
        """
        return Join(self._native.rethreshold(min_similarity))

    def select(self, min_similarity: float | None = None) -> Selection:
        """The same selection as `dedupe` in source order, from the pairs alone.

        Raises:
            InvalidInput: For a threshold above 1, or below that of the search.
        """
        threshold = self.min_similarity if min_similarity is None else min_similarity
        return Selection(*self._native.select(threshold))

    def __repr__(self) -> str:
        return f"Join({len(self)} pairs among {self.rows} rows from {self.min_similarity} on)"


class Calibration:
    """What each threshold does to some rows; made by `calibrate`. Every answer is exact and at once."""

    def __init__(self, native: _picchu.Calibration) -> None:
        self._native = native

    @property
    def floor(self) -> float:
        """The lowest threshold that can be asked for: 0.8, or more where the memory budget ends."""
        return self._native.floor

    @cached_property
    def nearest(self) -> NDArray[np.float32]:
        """For each row the similarity with the nearest other row; NaN if there is none. Shape (rows,)."""
        return self._native.nearest()

    @cached_property
    def nearest_earlier(self) -> NDArray[np.float32]:
        """For each row the similarity with the nearest earlier row; NaN for the first. Shape (rows,)."""
        return self._native.nearest_earlier()

    @cached_property
    def join(self) -> Join:
        """All pairs that reach the floor."""
        return Join(self._native.join())

    def kept_at(self, min_similarity: float) -> int:
        """How many rows `dedupe` keeps at a threshold, in source order.

        Raises:
            InvalidInput: For a threshold below the floor or above 1.
        """
        return self._native.kept_at(min_similarity)

    def threshold_for(self, count: int) -> tuple[float, int]:
        """The threshold at which the number of kept rows comes closest to ``count``, and that number."""
        return self._native.threshold_for(count)

    def pairs_near(self, min_similarity: float, count: int = 10) -> Pairs:
        """The pairs closest to a threshold, on either side of it, the closest first: look at these.

        Raises:
            InvalidInput: For a threshold below the floor or above 1.
        """
        return Pairs(*self._native.pairs_near(min_similarity, count))

    def __repr__(self) -> str:
        return f"Calibration({len(self.nearest)} rows, from {self.floor} on)"


class Index:
    """A selection that goes on, for rows that arrive in parts.

    Adding rows in parts keeps exactly what `dedupe` keeps of all of them at once. Only kept rows are stored.
    Rows are numbered as they come, from 0 on, over all parts.

    Args:
        dimensions: Values of a row.
        min_similarity: Cosine from which two rows are near-duplicates, above -1 to 1.
        threads: How many threads work; every core if None.

    >>> index = picchu.Index(2, min_similarity=0.9)
    >>> index.add([[1.0, 0.0], [0.0, 1.0]]).kept
    array([0, 1])
    >>> index.add([[3.0, 0.0]]).covered_by
    array([0])
    >>> index.query([[1.0, 1.0], [0.0, 2.0]]).covered_by
    array([-1,  1])
    """

    def __init__(self, dimensions: int, *, min_similarity: float, threads: int | None = None) -> None:
        self._native = _picchu.Index(dimensions, min_similarity, _threads(threads))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> Index:
        """Loads an index that was saved.

        Raises:
            NotFound: If the file does not exist.
            InvalidInput: If it is not a saved index.
        """
        index = cls.__new__(cls)
        index._native = _picchu.Index.load(os.fspath(path), _threads(threads))
        return index

    def save(self, path: str | os.PathLike[str]) -> None:
        """Saves the index, whole or not at all."""
        self._native.save(os.fspath(path))

    def add(
        self, x: ArrayLike, *, order: ArrayLike | None = None, quality: ArrayLike | None = None
    ) -> Selection:
        """Admits rows, as `dedupe` does. Kept rows of earlier parts stay.

        Returns:
            The numbers of the rows of this part that are kept, and which row covers each row of this part, by
            the numbers that go on over all parts.

        Raises:
            InvalidInput: As `dedupe`, or for rows of another length. Then no row is added.
        """
        rows = _rows(x)
        return Selection(*self._native.add(rows, _order(len(rows), order, quality)))

    def query(self, x: ArrayLike) -> Covers:
        """Which kept row covers each row. Nothing is added.

        Raises:
            InvalidInput: For rows of another length, or that are zero, NaN or infinite.
        """
        return Covers(*self._native.query(_rows(x)))

    @property
    def kept(self) -> NDArray[np.int64]:
        """Numbers of the kept rows, in order of admission. int64."""
        return self._native.kept()

    @property
    def seen(self) -> int:
        """How many rows were added so far, kept or not."""
        return self._native.seen

    @property
    def dimensions(self) -> int:
        """Values of a row."""
        return self._native.dimensions

    @property
    def min_similarity(self) -> float:
        """Cosine from which two rows are near-duplicates."""
        return self._native.min_similarity

    def __len__(self) -> int:
        """How many rows are kept."""
        return len(self._native)

    def __repr__(self) -> str:
        return f"Index({len(self)} of {self.seen} rows kept at {self.min_similarity})"


def dedupe(
    x: ArrayLike,
    *,
    min_similarity: float,
    threads: int | None = None,
    order: ArrayLike | None = None,
    quality: ArrayLike | None = None,
) -> Selection:
    """Keeps rows such that no two kept rows are near-duplicates, and every dropped row is one of a kept row.

    Rows are admitted one after the other, and a row is kept unless a row that was kept before it reaches the
    threshold. So there is no chaining: a row is only ever dropped for a kept row.

    Args:
        x: One vector a row, shape (rows, dimensions).
        min_similarity: Cosine from which two rows are near-duplicates, above -1 to 1.
        threads: How many threads work; every core if None. The result does not depend on it.
        order: Numbers of the rows in the order in which they are admitted; source order if None.
        quality: One number a row, instead of ``order``: rows of higher quality are admitted first, equal ones
            in source order. So the best of similar rows is kept.

    Returns:
        The kept rows, and which of them covers each row.

    Raises:
        InvalidInput: For rows that are zero, NaN or infinite (the message names the first), for an array that
            is not two-dimensional, and for a threshold out of range.
        TypeError: For values that are not real numbers.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.99, 0.05], [0.0, 2.0]], dtype=np.float32)
    >>> picchu.dedupe(x, min_similarity=0.94).kept
    array([0, 2])
    >>> picchu.dedupe(x, min_similarity=0.94, quality=[0.1, 0.9, 0.5]).covered_by
    array([1, 1, 2])
    """
    rows = _rows(x)
    return Selection(
        *_picchu.select(rows, min_similarity, _order(len(rows), order, quality), _threads(threads))
    )


def join(
    x: ArrayLike,
    *,
    min_similarity: float,
    threads: int | None = None,
    memory_budget_bytes: int | None = None,
) -> Join:
    """Finds all pairs of near-duplicate rows.

    Args:
        x: One vector a row, shape (rows, dimensions).
        min_similarity: Cosine from which two rows are near-duplicates, above -1 to 1.
        threads: How many threads work; every core if None. The result does not depend on it.
        memory_budget_bytes: What the pairs may take, 28 bytes for each while they are sorted; 2 GiB if None.

    Returns:
        The pairs. If only the groups are of interest, `components` is faster.

    Raises:
        InvalidInput: As for `dedupe`.
        QuotaExceeded: If there are more pairs than fit into the budget.
        TypeError: For values that are not real numbers.

    >>> pairs = picchu.join([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], min_similarity=0.5)
    >>> pairs.components
    array([0, 0, 0])
    >>> pairs.rethreshold(0.7).components
    array([0, 0, 2])
    """
    return Join(_picchu.join(_rows(x), min_similarity, _threads(threads), memory_budget_bytes))


def components(x: ArrayLike, *, min_similarity: float, threads: int | None = None) -> Components:
    """Finds the groups that near-duplicate rows form, without keeping the pairs.

    Args:
        x: One vector a row, shape (rows, dimensions).
        min_similarity: Cosine from which two rows are near-duplicates, above -1 to 1.
        threads: How many threads work; every core if None. The result does not depend on it.

    Raises:
        InvalidInput: As for `dedupe`.
        TypeError: For values that are not real numbers.

    >>> picchu.components([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], min_similarity=0.7)
    Components(labels=array([0, 0, 2]), count=2)
    """
    return Components(*_picchu.components(_rows(x), min_similarity, _threads(threads)))


def calibrate(
    x: ArrayLike, *, threads: int | None = None, memory_budget_bytes: int | None = None
) -> Calibration:
    """Finds what is needed to choose a threshold: what every choice would do, from one search.

    Args:
        x: One vector a row, shape (rows, dimensions).
        threads: How many threads work; every core if None. The result does not depend on it.
        memory_budget_bytes: What the pairs may take; 2 GiB if None. The floor rises where they do not fit.

    Raises:
        InvalidInput: For rows that are zero, NaN or infinite, and for an array that is not two-dimensional.
        TypeError: For values that are not real numbers.

    >>> calibration = picchu.calibrate([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6]])
    >>> calibration.kept_at(0.95), calibration.kept_at(0.97)
    (2, 3)
    >>> calibration.pairs_near(0.95, 1).similarity.round(3)
    array([0.96])
    """
    return Calibration(_picchu.calibrate(_rows(x), _threads(threads), memory_budget_bytes))


def _rows(x: Any) -> NDArray[np.float32]:
    import numpy as np

    array = np.asarray(x)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"x holds {array.dtype}; rows of real numbers are needed")
    if array.ndim != 2:
        raise InvalidInput(
            f"x has shape {array.shape}; one vector a row is needed: (rows, dimensions)", stage="dedupe"
        )
    with np.errstate(over="ignore"):  # beyond float32's range: infinite, which is refused by row
        return np.require(array, np.float32, ["C", "A"])


def _order(rows: int, order: Any, quality: Any) -> NDArray[np.uint32] | None:
    import numpy as np

    if order is None and quality is None:
        return None
    if order is not None and quality is not None:
        raise InvalidInput("order and quality exclude each other; give one of them", stage="dedupe")
    name = "order" if quality is None else "quality"
    values = np.asarray(order if quality is None else quality)
    if values.shape != (rows,):
        raise InvalidInput(
            f"{name} has shape {values.shape}; one number a row is needed: ({rows},)", stage="dedupe"
        )
    if quality is not None:
        if np.isnan(values).any():
            raise InvalidInput("quality holds a NaN", stage="dedupe")
        return np.argsort(-values.astype(np.float64), kind="stable").astype(np.uint32)
    if values.size and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= rows):
        raise InvalidInput("order must hold the number of each row once", stage="dedupe")
    return values.astype(np.uint32)


def _threads(threads: int | None) -> int:
    if threads is None:
        return 0
    if threads < 1:
        raise InvalidInput(f"threads is {threads}; it must be at least 1", stage="dedupe")
    return threads
