"""Which frames of a film to take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from picchu import _picchu
from picchu.exceptions import InvalidInput

__all__ = ["Every", "Sampling"]

Every = float | Literal["frame", "keyframe", "drawing"]
"""An interval in seconds, every frame, those at which the decoder can start, or each held drawing once."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames to take; what `Film.frames` and ``sample`` are given. Checked when it is made.

    At most one of ``every``, ``fps``, ``at``, ``per_shot`` and ``sharpest`` is given; one frame a second is
    taken if none is.
    """

    every: Every | None = None
    fps: float | None = None
    at: tuple[float, ...] | None = None
    start: float | None = None
    end: float | None = None
    limit: int | None = None
    max_side: int | None = None
    per_shot: int | None = None
    sharpest: float | None = None
    lineage: bool | None = None
    approximate: bool = False

    def __post_init__(self) -> None:
        rules = ("every", "fps", "at", "per_shot", "sharpest")
        given = [name for name in rules if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidInput(f"{' and '.join(given)} exclude each other; give one of them", stage="sample")
        if isinstance(self.every, str) and self.every not in ("frame", "keyframe", "drawing"):
            raise InvalidInput(
                f'every is {self.every!r}; it must be seconds, "frame", "keyframe" or "drawing"',
                stage="sample",
            )
        for name, least in (("limit", 0), ("max_side", 2), ("per_shot", 1)):
            value = getattr(self, name)
            if value is not None and (value != int(value) or value < least):
                raise InvalidInput(
                    f"{name} is {value}; it must be a whole number from {least} on", stage="sample"
                )
        _picchu.check_sampling(self.to_json())

    @classmethod
    def of(
        cls,
        every: Every | None,
        fps: float | None,
        at: Iterable[float] | None,
        start: float | None,
        end: float | None,
        limit: int | None,
        max_side: int | None,
        per_shot: int | None,
        sharpest: float | None,
        lineage: bool,
        approximate: bool,
    ) -> Sampling:
        """Takes options as the verbs have them."""
        times = None if at is None else tuple(float(time) for time in at)
        # What is not asked for is not shown.
        marked = True if lineage else None
        return cls(
            every, fps, times, start, end, limit, max_side, per_shot, sharpest, marked, bool(approximate)
        )

    def _rule(self) -> Any:
        if self.fps is not None:
            return {"fps": _number("fps", self.fps)}
        if self.at is not None:
            return {"at": [_number("at", time) for time in self.at]}
        if self.every == "frame":
            return "all"
        if self.every == "keyframe":
            return "keyframes"
        if self.every == "drawing":
            return "drawings"
        if self.per_shot is not None:
            return {"per_shot": int(self.per_shot)}
        if self.sharpest is not None:
            return {"sharpest": _number("sharpest", self.sharpest)}
        return {"every": 1.0 if self.every is None else _number("every", self.every)}

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {
            "rule": self._rule(),
            "start": None if self.start is None else _number("start", self.start),
            "end": None if self.end is None else _number("end", self.end),
            "limit": None if self.limit is None else int(self.limit),
            "max_side": None if self.max_side is None else int(self.max_side),
            "lineage": bool(self.lineage),
            "approximate": self.approximate,
        }

    def to_json(self) -> str:
        """As the native module reads it."""
        return json.dumps(self.to_dict())

    def given(self) -> dict[str, Any]:
        """The options that say something."""
        options = {name: getattr(self, name) for name in self.__slots__}
        given = {name: value for name, value in options.items() if value is not None and value is not False}
        return given or {"every": 1.0}


def _number(name: str, value: Any) -> float:
    # Also numpy's numbers. JSON has no NaN and no infinity.
    number = float(value)
    if number != number or abs(number) == float("inf"):
        raise InvalidInput(f"{name} is {number}; it must be a number", stage="sample")
    return number
