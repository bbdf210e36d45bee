"""Films and their frames."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from picchu import _picchu, display
from picchu._picchu import Frame
from picchu.cast import Cast
from picchu.exceptions import DecodeError, Gap, GapWarning, InvalidInput
from picchu.pipeline import Plan, Stages
from picchu.places import Place, place, shown
from picchu.sampling import Every, Sampling
from picchu.shots import Shots, shots_of

__all__ = ["Film", "Frame", "Frames", "MediaInfo", "OnGap", "film"]

OnGap = Literal["warn", "raise", "skip"]
"""What a stretch that cannot be decoded does: a `GapWarning`, a `DecodeError`, or nothing."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a film says of itself.

    Attributes:
        name: A short name for people, for example the file's name.
        container: Container format, for example ``"mov"``.
        codec: Codec of the pictures, for example ``"h264"``.
        width: Width of the delivered pictures in pixels (upright, square pixels).
        height: Height of the delivered pictures in pixels.
        duration: Length in seconds, if the film tells it.
        frame_rate: Average pictures per second, if the film tells it. Times never come from it.
        notes: Remarks, for example that the film is interlaced.
    """

    name: str
    container: str
    codec: str
    width: int
    height: int
    duration: float | None
    frame_rate: float | None
    notes: tuple[str, ...]


def film(path: Place) -> Film:
    """Begins with a film: a video file, a folder of pictures, or a video at an address.

    Args:
        path: Where it lies. The film is looked at, not read. Of a film at ``"s3://bucket/key"`` or
            ``"https://…"``, only what the samples need is ever fetched; S3 is reached as the environment and
            the AWS files say (``AWS_REGION``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``).

    Returns:
        The film: the beginning of a plan, and a source of frames.

    Raises:
        NotFound: If nothing is there (also a FileNotFoundError).
        PermissionDenied: If it may not be read.
        Unsupported: For another kind of address.

    >>> picchu.film("film.mp4").info.duration
    59.5
    """
    return Film(path)


class Film(Stages):
    """A film; made by `film`. Pickles by its place."""

    __slots__ = ("_native", "_place")

    def __init__(self, path: Place) -> None:
        self._place = place(path)
        self._native = _picchu.Film(self._place)

    @property
    def place(self) -> str:
        """Where the film lies: a path, or an address."""
        return self._place

    @property
    def path(self) -> Path:
        """The path. Of a film at an address, use `place`."""
        return Path(self._place)

    @property
    def info(self) -> MediaInfo:
        """What the film says of itself. Decodes nothing.

        Raises:
            InvalidInput: If it is not a film.
            Unsupported: If its codec cannot be read.
        """
        fields: dict[str, Any] = json.loads(self._native.probe())
        return MediaInfo(**{**fields, "notes": tuple(fields["notes"])})

    @property
    def fingerprint(self) -> str:
        """The film's identity, whatever it is called: ``sha256:`` and a hash of its bytes.

        Of a film at an address, ``sampled:`` and a hash of its length and of blocks all over it.
        """
        return self._native.fingerprint()

    def frames(
        self,
        *,
        every: Every | None = None,
        fps: float | None = None,
        at: Iterable[float] | None = None,
        start: float | None = None,
        end: float | None = None,
        limit: int | None = None,
        max_side: int | None = None,
        per_shot: int | None = None,
        sharpest: float | None = None,
        lineage: bool = False,
        approximate: bool = False,
        on_gap: OnGap = "warn",
    ) -> Frames:
        """Reads frames, one at a time, in the film's order.

        Nothing is decoded before the first frame is asked for, and little ahead of the reader: memory does
        not depend on the film's length, and a slow reader slows the decoder down. ``every="drawing"``,
        ``per_shot``, ``sharpest`` and ``lineage`` look at the whole film once before the first frame comes.

        Args:
            every: Seconds between samples, 1 by default: the frame shown at each multiple. ``"frame"`` gives
                every frame, ``"keyframe"`` those at which the decoder can start, ``"drawing"`` each held
                drawing once.
            fps: Samples per second, instead of ``every``.
            at: Times in seconds, instead of ``every``: the frames shown then, in order, equal times once.
            start: Nothing before this time, in seconds. The first sample of ``every`` and ``fps`` is here.
            end: Nothing at or after this time, in seconds.
            limit: At most so many frames; decoding stops there.
            max_side: Scales frames down so that the longer side has at most so many pixels.
            per_shot: So many frames of each shot, spread over it, instead of ``every``.
            sharpest: The sharpest frame of each stretch of so many seconds, instead of ``every``; stretches
                begin anew with each shot.
            lineage: Gives each frame the numbers of its shot and its drawing, also where frames are not
                chosen by them.
            approximate: Takes the nearest frame before each time at which the decoder can start, instead of
                the one shown: many times faster, seconds off. ``time`` is the frame's own.
            on_gap: What a stretch that cannot be decoded does: ``"warn"`` warns with a `GapWarning`,
                ``"raise"`` raises a `DecodeError` (the next call of ``next`` goes on behind the gap),
                ``"skip"`` does nothing. `Frames.gaps` lists them in any case.

        Returns:
            An iterator over `Frame`.

        Raises:
            InvalidInput: For options that make no sense, and while reading what is not a film.
            DecodeError: While reading, when nothing more can be decoded.

        >>> frames = picchu.film("film.mp4").frames(every=20.0, max_side=640)
        >>> [(frame.time, frame.to_numpy().shape) for frame in frames]
        [(0.0, (360, 640, 3)), (20.0, (360, 640, 3)), (40.0, (360, 640, 3))]
        """
        if on_gap not in ("warn", "raise", "skip"):
            raise InvalidInput(f'on_gap is {on_gap!r}; it must be "warn", "raise" or "skip"', stage="sample")
        sampling = Sampling.of(
            every, fps, at, start, end, limit, max_side, per_shot, sharpest, lineage, approximate
        )
        return Frames(self._native.frames(sampling.to_json()), on_gap)

    def shots(self) -> Shots:
        """Looks at the whole film, once: how it is cut, and what lies over it.

        Returns:
            The shots, a sequence of `Shot`, with flashes, black bars and logos.

        Raises:
            InvalidInput: If it is not a film.

        >>> shots = picchu.film("film.mp4").shots()
        >>> [(shot.start, shot.entered_by) for shot in shots][:3]
        [(0.0, None), (3.5, 'cut'), (6.5, 'dissolve')]
        """
        return shots_of(json.loads(self._native.analyse()))

    def suggest_cast(
        self, path: str | os.PathLike[str], *, groups: int = 8, frames: int = 96, pictures: int = 5
    ) -> Cast:
        """Looks for whoever comes again and again in the film, without any reference.

        Writes pictures, a page to look at (``cast.html``) and ``cast.toml`` into a folder. Give the groups
        that show a character a name there, and delete the others.

        Args:
            path: The folder; made if it does not exist.
            groups: At most so many groups.
            frames: In how many frames, spread over the film, to look.
            pictures: At most so many pictures of each group.

        Returns:
            The draft, with made-up names.

        Raises:
            AlreadyExists: If the folder has a ``cast.toml``: it may hold names by now.
            InvalidInput: If nobody comes again, for options out of range, and for what is not a film.
        """
        return Cast.load(_picchu.suggest_cast(self._place, Path(path), groups, frames, pictures))

    def _plan(self) -> Plan:
        return Plan(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Film) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Film, (self._place,))

    def __repr__(self) -> str:
        return f"picchu.film({shown(self._place)!r})"

    def _repr_html_(self) -> str:
        return display.film(self)


class Frames(Iterator[Frame]):
    """The frames of one reading, made by `Film.frames`. Dropping it stops the decoder.

    Attributes:
        gaps: The stretches that could not be decoded, as far as they were met.
    """

    def __init__(self, native: _picchu.Frames, on_gap: OnGap) -> None:
        self._native = native
        self._on_gap = on_gap
        self.gaps: list[Gap] = []

    def __next__(self) -> Frame:
        while True:
            try:
                return next(self._native)
            except DecodeError as error:
                if error.gap is None:
                    raise
                self.gaps.append(error.gap)
                if self._on_gap == "raise":
                    raise
                if self._on_gap == "warn":
                    warnings.warn(str(error), GapWarning, stacklevel=2)

    def close(self) -> None:
        """Stops the decoder; no more frames come."""
        self._native.close()

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
