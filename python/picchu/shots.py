"""How a film is cut: shots, transitions, flashes, and what lies over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from picchu import display
from picchu.dataset import PixelRect

__all__ = ["Drawing", "Shot", "Shots", "Transition"]


@dataclass(frozen=True, slots=True)
class Transition:
    """The way from one shot to the next.

    Attributes:
        kind: ``"cut"``, ``"dissolve"`` or ``"fade"``.
        start: Time of the first picture that is not of the earlier shot alone, in seconds.
        end: Time of the first picture of the later shot alone; for a cut the same as ``start``.
    """

    kind: Literal["cut", "dissolve", "fade"]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of film without a cut.

    Attributes:
        number: Number in the film, from 0; `Frame.shot` and `Record.shot` name it.
        start: Time of its first picture, in seconds. The middle of a dissolve.
        end: Time from which the next shot is shown.
        transition: How it comes about; None for a film's first shot, unless that fades in.
    """

    number: int
    start: float
    end: float
    transition: Transition | None

    @property
    def entered_by(self) -> str | None:
        """The kind of its transition, if it has one."""
        return None if self.transition is None else self.transition.kind


@dataclass(frozen=True, slots=True)
class Drawing:
    """A stretch in which the picture stands still.

    Attributes:
        number: Number in the film, from 0; `Frame.drawing` and `Record.drawing` name it.
        start: Time of its first picture, in seconds.
        end: Time from which another drawing is shown.
        content: ``"picture"``, ``"black"``, ``"flat"`` (one colour) or ``"writing"`` (on one colour).
        sharpness: How sharp it is, 0 to 1; drawings of one film can be compared.
    """

    number: int
    start: float
    end: float
    content: Literal["picture", "black", "flat", "writing"]
    sharpness: float


@dataclass(frozen=True, slots=True, repr=False)
class Shots(Sequence[Shot]):
    """The shots of a film, in order, without holes; made by `Film.shots`.

    Attributes:
        flashes: Start and end of each flash in seconds; a flash does not end a shot.
        drawings: The held drawings, in order, without holes.
        picture: The part of the frame that is not black bars, in pixels; None without bars.
        overlays: Places where the same lies over all shots: logos, clocks.
        pictures: How many pictures the film has.
    """

    shots: tuple[Shot, ...]
    flashes: tuple[tuple[float, float], ...]
    drawings: tuple[Drawing, ...]
    picture: PixelRect | None
    overlays: tuple[PixelRect, ...]
    pictures: int

    def __len__(self) -> int:
        return len(self.shots)

    @overload
    def __getitem__(self, index: int) -> Shot: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Shot]: ...
    def __getitem__(self, index: int | slice) -> Shot | Sequence[Shot]:
        return self.shots[index]

    def __repr__(self) -> str:
        return f"<{len(self)} shots, {len(self.drawings)} drawings, {self.pictures} pictures>"

    def _repr_html_(self) -> str:
        return display.shots(self)


def shots_of(fields: dict[str, Any]) -> Shots:
    """An analysis as the native module writes it."""

    def shot(line: dict[str, Any]) -> Shot:
        transition = Transition(**line["transition"]) if line.get("transition") else None
        return Shot(line["number"], line["start"], line["end"], transition)

    return Shots(
        shots=tuple(shot(line) for line in fields["shots"]),
        flashes=tuple((flash["start"], flash["end"]) for flash in fields["flashes"]),
        drawings=tuple(Drawing(**line) for line in fields["drawings"]),
        picture=PixelRect(**fields["picture"]) if fields["picture"] else None,
        overlays=tuple(PixelRect(**rect) for rect in fields["overlays"]),
        pictures=fields["pictures"],
    )
