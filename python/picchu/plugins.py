"""Detectors, embedders, captioners, reviewers of your own: plain Python objects with the right methods.

A detector needs `Detector`'s attributes and its method, and nothing else: no base class, no registration. It
goes where picchu's own goes:

>>> class Middle:
...     version = "1"
...
...     def __init__(self, cast):
...         self.cast = cast
...
...     def detect(self, frames):
...         box = picchu.BoundingBox(0.25, 0.0, 0.5, 1.0)
...         return [[picchu.Detection(box, "Nilo", 0.9)] for frame in frames]
>>> plan = picchu.film("film.mp4").detect(Middle(picchu.Cast.load("cast.toml")))

Methods are called in the thread that runs the plan, with as many items at once as ``max_batch`` says, and may
be coroutine functions. What they raise ends the run and reaches the caller with its traceback; what is done
is kept. A `picchu.PicchuError` is told apart: `picchu.ContentFiltered`, for example, concerns its item alone.

Answers are kept between runs, by the object's ``name``, ``version`` and ``settings``: change one of them when
the answers change.
"""

from __future__ import annotations

import inspect
import json
import math
import time
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from picchu.cast import Cast
from picchu.dataset import Alternative, BoundingBox, Record, Review, Subject
from picchu.exceptions import ConfigError, PicchuError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from picchu._picchu import Frame
    from picchu.customize import Finding, TrainingJob

__all__ = ["CaptionRequest", "Captioner", "Detection", "Detector", "Embedder", "Reviewer", "Trainer"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Detection:
    """A box in a frame, with the character it shows, or the honest answer that this is unsure.

    Attributes:
        bounding_box: Where, in ratios of the frame; `BoundingBox.from_pixels` makes one of pixels.
        character: Who, by the name in the cast; None where somebody is there and it is unsure who.
        confidence: How sure, 0 to 1.
        label: What was seen in general terms, for example ``"person"``.
        alternatives: Other characters it could be, best first.
    """

    bounding_box: BoundingBox
    character: str | None = None
    confidence: float = 1.0
    label: str | None = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """What a caption is wanted for.

    Attributes:
        record: Id of the record.
        image: The crop: (height, width, 3), uint8 RGB, read-only, not copied.
        subjects: The named characters in it, the crop's own first; a caption names them.
        attempt: 0 at first; one more each time that it has to be worded anew.
        refusal: Why the last wording was refused.
    """

    record: str
    image: NDArray[np.uint8] = field(repr=False, compare=False)
    subjects: tuple[Subject, ...]
    attempt: int = 0
    refusal: str | None = None


@runtime_checkable
class Detector(Protocol):
    """Who finds characters in frames.

    Optional attributes: ``name``, the class's unless given; ``settings``, anything that JSON can hold;
    ``max_batch``, how many frames at once, 8 unless given; ``price`` of a frame in US dollars, 0 unless
    given.

    Attributes:
        cast: Who is looked for.
        version: The version of its answers.
    """

    cast: Cast
    version: str

    def detect(
        self, frames: Sequence[Frame], /
    ) -> Sequence[Sequence[Detection]] | Awaitable[Sequence[Sequence[Detection]]]:
        """What is in each frame, in the order of the frames."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Who turns crops into vectors. Optional attributes as `Detector`'s.

    Attributes:
        version: The version of its answers.
        dimensions: Length of a vector.
        default_min_similarity: Cosine from which two crops are near-duplicates.
    """

    version: str
    dimensions: int
    default_min_similarity: float

    def embed(self, crops: Sequence[NDArray[np.uint8]], /) -> ArrayLike | Awaitable[ArrayLike]:
        """A row for each crop, (crops, dimensions), of any length but 0. Crops are (height, width, 3) RGB."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """Who describes crops. Optional attributes as `Detector`'s.

    Attributes:
        version: The version of its answers.
    """

    version: str

    def caption(
        self, requests: Sequence[CaptionRequest], /
    ) -> Sequence[str | PicchuError] | Awaitable[Sequence[str | PicchuError]]:
        """A caption for each request, or the error that concerns it alone."""
        ...


@runtime_checkable
class Reviewer(Protocol):
    """Who decides about images instead of a person, or before one; `picchu.Dataset.review_by` asks it.

    Attributes:
        name: Stands beside each decision.
    """

    name: str

    def review(
        self, records: Sequence[Record], /
    ) -> Sequence[Review | None] | Awaitable[Sequence[Review | None]]:
        """A decision about each record; None for none."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """What is to be trained, by whom: `picchu.local.LoraTraining`, `picchu.aws.SageMakerTraining`, yours."""

    def check(self) -> Sequence[Finding]:
        """Everything that would make the job fail or waste money. Creates nothing."""
        ...

    def train(self) -> TrainingJob:
        """Starts the job, or finds the one that the same training started before."""
        ...


def settled(answer: T | Awaitable[T]) -> T:
    """An answer, or what a coroutine comes to, also in a thread whose event loop runs, as in notebooks."""
    if not inspect.isawaitable(answer):
        return answer
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def wait() -> T:
        return await answer

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, wait()).result()


def require(plugged: object, protocol: type) -> None:
    """Refuses what is not what it is plugged in as.

    Raises:
        ConfigError: It names what is missing.
    """
    missing = sorted(name for name in _members(protocol) if not hasattr(plugged, name))
    if missing:
        raise ConfigError(
            f"{type(plugged).__name__} is no {protocol.__name__.lower()}: it has no {', '.join(missing)}; "
            f"see picchu.plugins.{protocol.__name__}"
        )
    cast = getattr(plugged, "cast", None)
    if protocol is Detector and not isinstance(cast, Cast):
        raise ConfigError(
            f"{type(plugged).__name__} is no detector: its cast is a {type(cast).__name__}, not a picchu.Cast"
        )


def _members(protocol: type) -> set[str]:
    methods = {name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"}
    return methods | set(protocol.__annotations__)


def decisions(reviewer: Reviewer, records: Sequence[Record], batch: int) -> list[dict[str, Any]]:
    """What a reviewer decides, as the lines of a dataset's log."""
    require(reviewer, Reviewer)
    lines: list[dict[str, Any]] = []
    for first in range(0, len(records), batch):
        asked = records[first : first + batch]
        answers = whole(settled(reviewer.review(asked)), len(asked), reviewer.name)
        for record, answer in zip(asked, answers, strict=True):
            now = {"record": record.id, "reviewer": reviewer.name, "time_ms": time.time_ns() // 1_000_000}
            lines += [{**decision, **now} for decision in _decisions(answer)]
    return lines


def _decisions(answer: Review | None) -> list[dict[str, str]]:
    if answer is None:
        return []
    if answer.rejected is not None:
        return [{"decision": "reject", "reason": answer.rejected}]
    found = []
    if answer.character is not None:
        found.append({"decision": "rename", "character": answer.character})
    if answer.caption is not None:
        found.append({"decision": "edit", "caption": answer.caption})
    return found or [{"decision": "accept"}]


def whole(answers: Any, asked: int, name: str) -> list[Any]:
    """Answers, as many as were asked for."""
    found = list(answers)
    if len(found) != asked:
        raise ConfigError(f"{name} gave {len(found)} answers; {asked} are wanted")
    return found


class Plugged:
    """An object as the native module asks it: by plain values, each answer checked."""

    def __init__(self, plugged: Any) -> None:
        self.plugged = plugged
        self.name = str(getattr(plugged, "name", type(plugged).__name__))
        self.version = str(plugged.version)
        self.max_batch = int(getattr(plugged, "max_batch", 8))
        self.price = float(getattr(plugged, "price", 0.0))
        try:
            settings = json.dumps(getattr(plugged, "settings", None), sort_keys=True)
        except (TypeError, ValueError) as e:
            raise ConfigError(f"the settings of {self.name} are not what JSON can hold: {e}") from e
        import hashlib

        self.settings = hashlib.sha256(settings.encode()).hexdigest()[:16]

    @property
    def dimensions(self) -> int:
        return int(self.plugged.dimensions)

    @property
    def default_min_similarity(self) -> float:
        return float(self.plugged.default_min_similarity)

    def detect(self, frames: list[Frame]) -> str:
        """What is in each frame, as JSON."""
        answers = whole(settled(self.plugged.detect(frames)), len(frames), self.name)
        return json.dumps([[self._detection(one) for one in answer] for answer in answers])

    def embed(self, crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        import numpy as np

        rows = np.ascontiguousarray(settled(self.plugged.embed(crops)), dtype=np.float32)
        if rows.shape != (len(crops), self.dimensions):
            wanted = (len(crops), self.dimensions)
            raise self._fault("embed", f"an array of shape {rows.shape}; {wanted} is wanted")
        return rows

    def caption(self, requests: list[tuple[str, NDArray[np.uint8]]]) -> list[str | PicchuError]:
        asked = []
        for body, image in requests:
            fields = json.loads(body)
            subjects = tuple(Subject._read(subject) for subject in fields.pop("subjects"))
            asked.append(CaptionRequest(image=image, subjects=subjects, **fields))
        answers = whole(settled(self.plugged.caption(asked)), len(asked), self.name)
        for answer in answers:
            if not isinstance(answer, (str, PicchuError)):
                raise self._fault("caption", f"{answer!r} for a caption; a text is wanted")
        return answers

    def _fault(self, stage: str, what: str) -> ConfigError:
        return ConfigError(f"{self.name} gave {what}", stage=stage)

    def _detection(self, found: Any) -> dict[str, Any]:
        if not isinstance(found, Detection):
            raise self._fault("detect", f"{found!r}; a picchu.Detection is wanted")
        names = [found.character] if found.character is not None else []
        names += [other.character for other in found.alternatives]
        strange = [name for name in names if name not in self.plugged.cast.names]
        if strange:
            raise self._fault("detect", f"the name {strange[0]!r}, which is not in the cast")
        numbers = [found.confidence, *(other.confidence for other in found.alternatives)]
        if not all(0 <= number <= 1 for number in numbers):
            raise self._fault("detect", f"a confidence of {found.confidence}; 0 to 1 is wanted")
        box = asdict(found.bounding_box)
        if not all(math.isfinite(edge) for edge in box.values()) or box["width"] <= 0 or box["height"] <= 0:
            raise self._fault("detect", f"the box {found.bounding_box}, which is empty")
        return {
            "bounding_box": {edge: float(value) for edge, value in box.items()},
            "character": found.character,
            "confidence": float(found.confidence),
            "label": found.label,
            "alternatives": [
                {"character": other.character, "confidence": float(other.confidence)}
                for other in found.alternatives
            ],
            "decided_by": self.name,
        }
