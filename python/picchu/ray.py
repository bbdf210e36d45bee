"""Many films on many machines, with Ray Data: the dataset of one machine, byte for byte.

>>> import picchu.ray
>>> plan = picchu.film("film.mp4").sample(fps=1).detect("cast.toml").caption()
>>> dataset = picchu.ray.build(plan, films, "s3://bucket/all", films_at="s3://bucket/films")  # doctest: +SKIP

What `build` makes is what this makes, on one machine and one film after the other:

>>> parts = [plan.for_film(film).run(place) for film, place in zip(films, places)]  # doctest: +SKIP
>>> dataset = picchu.merge(parts, "all")  # doctest: +SKIP

Each film is worked on by one actor from its frames to its captions: its frames settle one another's boxes,
and its captions are varied over the whole film, so a film is the smallest part that can be moved without
changing a byte. An actor that dies leaves its finished work; the next one goes on from there. Then
near-duplicates across all films are found side by side, by cells around centroids (`near_pairs`), and the
datasets are merged.

Ray is installed with ``pip install "picchu[ray]"``.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from picchu import _picchu
from picchu.dataset import Dataset
from picchu.exceptions import AlreadyExists, ConfigError, InvalidInput, PicchuError
from picchu.places import Place, place, shown
from picchu.vectors import join

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from picchu.pipeline import Plan

__all__ = ["build", "name_of", "near_pairs"]

_SLACK = 1e-6
"""Radians that a cell is wider than the proof asks for: more than float64 loses in an angle."""
_BUSY_WAITS = 36
_BUSY_WAIT = 5.0
"""A film whose actor died on another machine is free after 15 seconds."""


def build(
    plan: Plan,
    films: Sequence[Place],
    out: Place,
    *,
    films_at: Place,
    min_similarity: float | None = None,
    workers: int | None = None,
    cpus: float = 1.0,
    rows_per_cell: int = 20_000,
    on_error: Literal["raise", "skip"] = "raise",
) -> Dataset:
    """Makes one dataset of many films, on the Ray cluster that is connected or on this machine's cores.

    A film whose dataset is finished is not made again, so the same call goes on where an earlier one stopped.

    Args:
        plan: What to do with each film; its own film is not looked at.
        films: The films, each once: paths or addresses that every machine can read. Two or more.
        out: Where the merged dataset goes: an empty place.
        films_at: Below where each film's own dataset goes, under `name_of`; every machine must reach it, so
            on several machines an address on S3 or a shared folder.
        min_similarity: From which crops of different films are near-duplicates; the embedder's own unless
            given.
        workers: Films worked on at once; as many as there are processors for unless given.
        cpus: Processors of one film's actor. More films at once use them better than more threads on one
            film.
        rows_per_cell: Crops in a cell of the search across films, about. The result does not depend on it.
        on_error: ``"skip"`` leaves films out that fail, with a warning that names them; ``"raise"`` finishes
            the others and then raises.

    Raises:
        InvalidInput: For fewer than two films, or one that comes twice.
        ConfigError: If Ray is not installed.
        AlreadyExists: If something is in ``out``.
        PicchuError: The first film's that failed.
    """
    ray = _ray()
    paths = [place(film) for film in films]
    if len(paths) < 2 or len(set(paths)) != len(paths):
        raise InvalidInput(
            f"{len(paths)} films were given, {len(set(paths))} different ones; give two or more, each once",
            stage="dataset",
        )
    below = place(films_at).rstrip("/")
    jobs = [{"number": n, "film": film, "at": f"{below}/{name_of(film)}"} for n, film in enumerate(paths)]
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1) // cpus))
    done = (
        # A block is what is done again when an actor dies: one film.
        ray.data.from_items(jobs, override_num_blocks=len(jobs))
        .map_batches(
            _Films,
            fn_constructor_args=(plan,),
            batch_size=1,
            num_cpus=cpus,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(jobs))),
        )
        .take_all()
    )
    done.sort(key=lambda row: row["number"])
    failed = [row for row in done if row["error"] is not None]
    if failed and on_error == "raise":
        raise failed[0]["error"]
    if failed:
        names = "; ".join(f"{shown(paths[row['number']])}: {row['error']}" for row in failed)
        warnings.warn(f"{len(failed)} of {len(paths)} films failed and are left out: {names}", stacklevel=2)
    parts = [row for row in done if row["error"] is None]
    if len(parts) < 2:
        raise InvalidInput(f"{len(parts)} films are left; a merge needs two or more", stage="dataset")
    places = [jobs[row["number"]]["at"] for row in parts]
    threshold = min_similarity
    if threshold is None:
        default = Dataset(places[0]).header.get("default_min_similarity")
        threshold = 1.0 if default is None else float(default)
    first_rows, rows = [], 0
    for row in parts:
        first_rows.append(rows)
        rows += row["kept"]
    vectors = ray.data.from_items(
        [{"at": at, "first": first} for at, first in zip(places, first_rows, strict=True)],
        override_num_blocks=len(places),
    ).flat_map(_vectors)
    pairs = near_pairs(vectors, rows, min_similarity=threshold, rows_per_cell=rows_per_cell)
    _picchu.merge(places, place(out), min_similarity, pairs)
    return Dataset(out)


def name_of(film: Place) -> str:
    """What a film's dataset is called below ``films_at``: always the same for the same path."""
    text = place(film)
    stem = PurePosixPath(shown(text)).stem.lower()
    slug = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:40] or "film"
    return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def near_pairs(
    vectors: Any, rows: int, *, min_similarity: float, rows_per_cell: int = 20_000
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All near-duplicate pairs among the rows of a Ray dataset, each once: those that `picchu.join` finds.

    Rows belong to the cell of the nearest of some centroids, which are rows themselves. Let a pair be at an
    angle of at most ``t = acos(min_similarity)``, the first of it at home in cell ``c``, within its radius
    ``r`` (the largest angle of its own rows to the centroid), the second at home in ``d``. Then the second is
    at most ``r + t`` away from the centroid ``c``, and at most ``2 t`` farther from ``c`` than from ``d``,
    both by the triangle inequality of angles. So every row is also given to the cells for which both hold,
    and the pair is found in the cell of its earlier row: no pair is missed wherever the centroids are. They
    only decide how many rows are given twice. Rows that fit into one cell are searched here, without Ray's
    exchange of rows.

    Args:
        vectors: A Ray dataset of the columns ``row`` (each number from 0 on once) and ``vector``.
        rows: How many rows there are.
        min_similarity: Cosine from which two rows are near-duplicates, above -1 to 1.
        rows_per_cell: Rows of a cell, about.

    Returns:
        The earlier rows, the later rows and their similarities, by earlier row, then by later row.
    """
    import numpy as np

    if rows_per_cell < 1:
        raise InvalidInput(f"rows_per_cell is {rows_per_cell}; it must be at least 1", stage="dedupe")
    none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64)
    if rows < 2:
        return none
    cells = math.ceil(rows / rows_per_cell)
    if cells == 1:
        found = join(_in_order(vectors), min_similarity=min_similarity).pairs()
        return found.a.astype(np.int64), found.b.astype(np.int64), found.similarity
    # Used again for the centroids, the radii and the cells.
    vectors = vectors.materialize()
    chosen = np.unique(np.linspace(0, rows - 1, cells).astype(np.int64))
    found = vectors.map_batches(
        _rows_of, fn_kwargs={"rows": chosen}, batch_format="numpy", zero_copy_batch=True
    ).take_all()
    found.sort(key=lambda row: row["row"])
    centroids = _unit(np.stack([row["vector"] for row in found]))
    radii = np.zeros(len(centroids))
    for batch in vectors.map_batches(
        _radii, fn_kwargs={"centroids": centroids}, batch_format="numpy", zero_copy_batch=True
    ).iter_batches(batch_format="numpy"):
        np.maximum.at(radii, batch["cell"], batch["radius"])
    angle = math.acos(max(-1.0, min(1.0, min_similarity)))
    pairs = (
        vectors.map_batches(
            _cells,
            fn_kwargs={"centroids": centroids, "radii": radii, "angle": angle},
            batch_format="numpy",
            zero_copy_batch=True,
        )
        .groupby("cell")
        .map_groups(_pairs, fn_kwargs={"min_similarity": min_similarity}, batch_format="numpy")
    )
    batches = pairs.iter_batches(batch_format="numpy", batch_size=None)
    batches = [batch for batch in batches if len(batch["a"])]
    if not batches:
        return none
    names = "a", "b", "similarity"
    a, b, similarity = (np.concatenate([batch[name] for batch in batches]) for name in names)
    order = np.lexsort((b, a))
    return a[order], b[order], similarity[order]


class _Films:
    """Works on films, from their frames to their captions."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        answers = [
            self._film(str(film), str(at)) for film, at in zip(batch["film"], batch["at"], strict=True)
        ]
        return {
            "number": batch["number"],
            "kept": [kept for kept, _ in answers],
            "error": [error for _, error in answers],
        }

    def _film(self, film: str, at: str) -> tuple[int, PicchuError | None]:
        for waited in range(_BUSY_WAITS + 1):
            try:
                with warnings.catch_warnings():
                    # A film in which nobody of the cast is seen is none of the cluster's business.
                    warnings.simplefilter("ignore")
                    dataset = self.plan.for_film(film).run(at, progress=False)
                return len(_kept(dataset)), None
            except AlreadyExists as error:
                if not error.retryable or waited == _BUSY_WAITS:
                    return 0, error
                time.sleep(_BUSY_WAIT)
            except PicchuError as error:
                return 0, error
        raise AssertionError("the last attempt returns")


def _kept(dataset: Dataset) -> list[int]:
    """The rows of the vectors that take part in a merge, in its order."""
    return [
        record.embedding_row
        for record in dataset
        if record.outcome == "kept" and record.embedding_row is not None
    ]


def _vectors(job: dict[str, Any]) -> list[dict[str, Any]]:
    dataset = Dataset(str(job["at"]))
    embeddings = dataset.embeddings
    return [
        {"row": int(job["first"]) + number, "vector": embeddings[row]}
        for number, row in enumerate(_kept(dataset))
    ]


def _in_order(vectors: Any) -> NDArray[np.float32]:
    """The vectors of a Ray dataset, by their rows."""
    import numpy as np

    batches = [
        b for b in vectors.iter_batches(batch_format="numpy", batch_size=None) if len(b.get("row", ()))
    ]
    order = np.argsort(np.concatenate([batch["row"] for batch in batches]))
    return np.concatenate([_matrix(batch["vector"]) for batch in batches])[order]


def _unit(vectors: Any) -> NDArray[np.float64]:
    import numpy as np

    rows = np.asarray(vectors, np.float64)
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _angles(vectors: Any, centroids: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.arccos(np.clip(_unit(vectors) @ centroids.T, -1.0, 1.0))


def _rows_of(batch: dict[str, Any], rows: NDArray[np.int64]) -> dict[str, Any]:
    import numpy as np

    chosen = np.isin(batch["row"], rows)
    return {"row": batch["row"][chosen], "vector": _matrix(batch["vector"])[chosen]}


def _radii(batch: dict[str, Any], centroids: NDArray[np.float64]) -> dict[str, Any]:
    import numpy as np

    angles = _angles(_matrix(batch["vector"]), centroids)
    home = angles.argmin(axis=1)
    radii = np.zeros(len(centroids))
    np.maximum.at(radii, home, angles[np.arange(len(home)), home])
    return {"cell": np.arange(len(centroids)), "radius": radii}


def _cells(
    batch: dict[str, Any], centroids: NDArray[np.float64], radii: NDArray[np.float64], angle: float
) -> dict[str, Any]:
    import numpy as np

    vectors = _matrix(batch["vector"])
    angles = _angles(vectors, centroids)
    home = angles.argmin(axis=1)
    nearest = angles[np.arange(len(home)), home]
    given = (angles <= radii + angle + _SLACK) & (angles <= nearest[:, None] + 2 * angle + _SLACK)
    given[np.arange(len(home)), home] = True
    row, cell = np.nonzero(given)
    return {"cell": cell, "row": batch["row"][row], "home": home[row] == cell, "vector": vectors[row]}


def _pairs(group: dict[str, Any], min_similarity: float) -> dict[str, Any]:
    import numpy as np

    order = np.argsort(group["row"], kind="stable")
    rows, home = group["row"][order], group["home"][order]
    # One cell has one processor: the others have cells of their own.
    found = join(_matrix(group["vector"])[order], min_similarity=min_similarity, threads=1).pairs()
    # In the cell of its earlier row, and nowhere else.
    own = home[found.a]
    return {
        "a": rows[found.a][own].astype(np.int64),
        "b": rows[found.b][own].astype(np.int64),
        "similarity": found.similarity[own],
    }


def _matrix(vectors: Any) -> NDArray[np.float32]:
    """A column of vectors, which comes as one array or as an array of arrays."""
    import numpy as np

    if vectors.dtype == object:
        return np.stack(list(vectors)) if len(vectors) else np.zeros((0, 0), np.float32)
    return np.asarray(vectors, np.float32)


def _ray() -> Any:
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ConfigError(
            "Ray Data is not installed; install it with: pip install 'picchu[ray]'", stage="dataset"
        ) from error
    if not ray.is_initialized():
        ray.init()
    return ray
