"""What is done with finished datasets: validate, split, merge, count, and trace where an image comes from."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from picchu import _picchu
from picchu.places import Place, place

__all__ = [
    "Advice",
    "CharacterStats",
    "Format",
    "Lineage",
    "Recut",
    "Split",
    "Stats",
    "Validation",
    "Violation",
    "validate",
]

Format = Literal["nova", "diffusers", "kohya", "ai-toolkit", "webdataset", "hf"]
"""What trainers read."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a dataset breaks.

    Attributes:
        record: Id of the record; None when it is about the dataset as a whole.
        rule: The rule's short name.
        message: What is wrong and what the rule asks.
        source: Where the rule is written down.
        mend: What to do about it.
        fixable: Whether ``validate(..., fix=True)`` mends it.
    """

    record: str | None
    rule: str
    message: str
    source: str
    mend: str
    fixable: bool


@dataclass(frozen=True, slots=True)
class Validation:
    """What is wrong with a dataset. True when nothing is.

    Attributes:
        violations: Every broken rule, at once.
        mended: How many were mended by ``fix=True``; they are not among the violations.
    """

    violations: tuple[Violation, ...]
    mended: int

    def __bool__(self) -> bool:
        return not self.violations


@dataclass(frozen=True, slots=True)
class Split:
    """Which images are for what, by the ids of their records."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that a character's images lack.

    Attributes:
        view: Size ``"close"``, ``"medium"``, ``"wide"``; place ``"left"``, ``"middle"``, ``"right"``; light
            ``"dark"``, ``"lit"``, ``"bright"``; company ``"alone"``, ``"together"``.
        images: How many images show it.
        more: Ids of candidates that show it and are not among the images, best first, from different shots.
    """

    view: str
    images: int
    more: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CharacterStats:
    """What a dataset shows of one character.

    Attributes:
        images: Images for training that were cut for it.
        reviewed: Of those, decided about by a person.
        views: Of those, by view: size, place in the frame, light, company. Front and back are not measured.
        shots: Shots that they come from.
        quality: Mean quality, 0 to 1.
        duplicates: Candidates that an image covers.
        skipped: Candidates that a rule left out.
        advice: What is missing.
    """

    images: int
    reviewed: int
    views: Mapping[str, int]
    shots: int
    quality: float
    duplicates: int
    skipped: int
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """What a dataset shows of each character. Shows itself as text."""

    images: int
    characters: Mapping[str, CharacterStats]
    _text: str = field(compare=False)

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


@dataclass(frozen=True, slots=True, repr=False)
class Lineage:
    """Where an image comes from and what became of it. Shows itself as text.

    Attributes:
        data: All of it, as the command ``picchu show --json`` prints it: ``record``, ``film``, ``settings``,
            ``image``, ``covers``, ``chosen_by``, ``reviews``, ``caption``, ``part``.
    """

    data: Mapping[str, Any]
    _text: str = field(compare=False)

    @property
    def covers(self) -> tuple[tuple[str, float], ...]:
        """The ids of the records that it covers with their similarity, most alike first."""
        return tuple((id, similarity) for id, similarity in self.data["covers"])  # noqa: A001

    @property
    def part(self) -> Literal["train", "held_out"] | None:
        """What it is for; None if it is not good for training."""
        part: Literal["train", "held_out"] | None = self.data["part"]
        return part

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Recut:
    """A crop that was cut from the film again: the PNG file, and whether it is the dataset's to the bit."""

    body: bytes
    identical: bool


def validate(
    path: Place,
    format: Format | None = None,  # noqa: A002
    *,
    images: bool = False,
    fix: bool = False,
) -> Validation:
    """Says everything that is wrong with a dataset, also with one that `open_dataset` refuses.

    Args:
        path: The dataset.
        format: Whose rules, besides the dataset's own.
        images: Look at every image file too; reads the whole dataset.
        fix: Mend what needs no judgement: broken lines are dropped, captions put right by a review.

    >>> validation = picchu.validate("dataset/", "kohya")
    >>> bool(validation), validation.violations
    (True, ())
    """
    now = int(time.time() * 1000) if fix else None
    found, mended = _picchu.validate(place(path), format, images, now)
    violations = tuple(
        Violation(fixable=fields.pop("fix") is not None, **fields) for fields in json.loads(found)
    )
    return Validation(violations, mended)


def stats(path: Place) -> Stats:
    """The statistics of a dataset; `picchu.Dataset.stats` is the door to it."""
    answer, text = _picchu.stats(place(path))
    fields = json.loads(answer)
    return Stats(fields["images"], {name: _character(c) for name, c in fields["characters"].items()}, text)


def _character(fields: dict[str, Any]) -> CharacterStats:
    advice = tuple(
        Advice(a["view"], a["images"], tuple(more["record"] for more in a["more"]))
        for a in fields.pop("advice")
    )
    return CharacterStats(advice=advice, **fields)


def split(path: Place, held_out: float, cap: int | None) -> Split:
    """Splits a dataset; `picchu.Dataset.split` is the door to it."""
    chosen, left_out = json.loads(_picchu.split(place(path), held_out, cap))

    def of(part: str) -> tuple[str, ...]:
        return tuple(record for record, its in chosen if its == part)

    return Split(of("train"), of("held_out"), tuple(left_out))


def lineage(path: Place, record: str) -> Lineage:
    """The lineage of a record; `picchu.Dataset.lineage` is the door to it."""
    answer, text = _picchu.lineage(place(path), record)
    return Lineage(json.loads(answer), text)


def recut(path: Place, record: str, film: Place) -> Recut:
    """Cuts a crop again; `picchu.Dataset.recut` is the door to it."""
    return Recut(*_picchu.recut(place(path), record, place(film)))


def merge_into(paths: Sequence[Place], out: Place, min_similarity: float | None) -> int:
    """Merges datasets; `picchu.merge` is the door to it."""
    return _picchu.merge([place(path) for path in paths], place(out), min_similarity)
