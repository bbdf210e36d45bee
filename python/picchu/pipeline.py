"""The lazy chain from a film to a dataset."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from picchu import _picchu, display, plugins
from picchu.aio import twin
from picchu.aws import NovaCaptioner, NovaEmbedder, TitanEmbedder
from picchu.cast import Cast
from picchu.dataset import Dataset, gap_of, open_dataset
from picchu.exceptions import ConfigError, GapWarning, InvalidInput
from picchu.local import (
    LayoutEmbedder,
    MeasuredCaptioner,
    OnnxDetector,
    OnnxEmbedder,
    OpenAiCaptioner,
    PaletteDetector,
)
from picchu.places import Place, place
from picchu.progress import Progress
from picchu.rekognition import Rekognition
from picchu.sampling import Every, Sampling

if TYPE_CHECKING:
    from picchu.frames import Film

__all__ = ["CropOptions", "Explanation", "Keep", "Plan", "StageExplanation", "Stages"]

_OwnDetector: TypeAlias = PaletteDetector | OnnxDetector | Rekognition
_OwnEmbedder: TypeAlias = LayoutEmbedder | OnnxEmbedder | TitanEmbedder | NovaEmbedder
_OwnCaptioner: TypeAlias = MeasuredCaptioner | NovaCaptioner | OpenAiCaptioner

Detector: TypeAlias = _OwnDetector | plugins.Detector
"""Who finds and names the characters: one of picchu's, or an object of your own."""

Embedder: TypeAlias = _OwnEmbedder | plugins.Embedder
"""Who turns crops into vectors."""

Captioner: TypeAlias = _OwnCaptioner | plugins.Captioner
"""Who describes crops."""

_OWN = _OwnDetector | _OwnEmbedder | _OwnCaptioner


def chosen(stages: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, plugins.Plugged]]:
    """Those who do stages: picchu's own as the native module reads them, and objects of the user's."""
    own = {name: who.to_dict() if isinstance(who, _OWN) else None for name, who in stages.items()}
    plugged = {name: plugins.Plugged(who) for name, who in stages.items() if not isinstance(who, _OWN)}
    return own, plugged


Keep = Literal["best", "first"]
"""Which of several near-duplicates stays: the one of the best quality, or the first in the film."""


@dataclass(frozen=True, slots=True)
class CropOptions:
    """How characters are cut from frames; what ``crop`` is given. What is None takes the default."""

    pad: float | None = None
    max_aspect: float | None = None
    min_side: int | None = None
    max_side: int | None = None
    max_pixels: int | None = None
    min_character_side: int | None = None

    def __post_init__(self) -> None:
        _picchu.check_crop(json.dumps(self.given()))

    def given(self) -> dict[str, Any]:
        """The options that say something."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class StageExplanation:
    """One stage of a run to come.

    Attributes:
        stage: Its verb.
        by: Who does it, with the settings that matter.
        state: ``"done"``, ``"to_do"``, or how many frames are done.
        requests: Paid requests that are left, about; 0 for what costs nothing.
        tokens: Tokens that they read and write.
        usd: What they cost in US dollars; None where the price is not known.
    """

    stage: str
    by: str
    state: str | int
    requests: int = 0
    tokens: int = 0
    usd: float | None = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What a run would do. Prints as a table.

    Attributes:
        expected_frames: How many frames the sampling gives, if that can be told.
        stages: The stages, in order.
    """

    expected_frames: int | None
    stages: tuple[StageExplanation, ...]
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return display.explanation(self)


class Stages:
    """The verbs of a plan, in the order of the work. Each gives a new `Plan`; none does any work."""

    __slots__ = ()

    def _plan(self) -> Plan:
        raise NotImplementedError

    def sample(
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
    ) -> Plan:
        """Chooses which frames to take; one a second unless this is called. Options as for `Film.frames`.

        Raises:
            InvalidInput: For options that make no sense.
        """
        sampling = Sampling.of(
            every, fps, at, start, end, limit, max_side, per_shot, sharpest, lineage, approximate
        )
        return replace(self._plan(), sampling=sampling)

    def detect(self, detector: Detector | Cast | str | os.PathLike[str], *, settle: bool = True) -> Plan:
        """Chooses who finds and names the characters. Every plan needs this.

        Args:
            detector: A detector; an object of your own, see `picchu.plugins`; or a cast or the path of a cast
                file, for a `picchu.local.PaletteDetector`.
            settle: Whether the sampled frames before and after a frame settle its boxes: name unsure ones,
                doubt lone weak names, steady edges.
        """
        if isinstance(detector, (Cast, str, os.PathLike)):
            detector = PaletteDetector(detector)
        if not isinstance(detector, _OwnDetector):
            plugins.require(detector, plugins.Detector)
        return replace(self._plan(), detector=detector, settle=bool(settle))

    def crop(
        self,
        *,
        pad: float | None = None,
        max_aspect: float | None = None,
        min_side: int | None = None,
        max_side: int | None = None,
        max_pixels: int | None = None,
        min_character_side: int | None = None,
    ) -> Plan:
        """Chooses how characters are cut from frames. What is not given obeys the strictest trainer.

        Args:
            pad: Room around the character, as a fraction of its box on each side; 0 to 4, 0.15 by default.
            max_aspect: Longest side over shortest side, at most; 4 by default.
            min_side: Fewest pixels on each side; 512 by default. Crops are widened before anything is scaled
                up.
            max_side: Most pixels on each side; 4096 by default.
            max_pixels: Most pixels of the whole picture.
            min_character_side: Characters smaller than this in the frame are left out, in pixels; 96 by
                default.

        Raises:
            InvalidInput: For options out of range.
        """
        return replace(
            self._plan(),
            cropping=CropOptions(pad, max_aspect, min_side, max_side, max_pixels, min_character_side),
        )

    def dedupe(
        self,
        embedder: Embedder | None = None,
        *,
        min_similarity: float | None = None,
        keep: Keep = "best",
    ) -> Plan:
        """Chooses what counts as a near-duplicate, and which of several stays.

        Args:
            embedder: Who turns crops into vectors; `picchu.local.LayoutEmbedder` by default. For meaning, not
                only looks: `picchu.aws.TitanEmbedder`, `picchu.aws.NovaEmbedder`, an object of your own
                (`picchu.plugins`).
            min_similarity: Cosine from which two crops are near-duplicates, above -1 to 1: higher keeps more.
                The embedder's own by default; thresholds do not carry over from one embedder to another.
            keep: ``"best"`` keeps the one of the best quality, ``"first"`` the first in the film.

        Raises:
            InvalidInput: For options out of range.
        """
        if min_similarity is not None and not -1 < min_similarity <= 1:
            raise InvalidInput(
                f"min_similarity is {min_similarity}; it must be above -1 and at most 1 (higher is stricter)",
                stage="dedupe",
            )
        if keep not in ("best", "first"):
            raise InvalidInput(f'keep is {keep!r}; it must be "best" or "first"', stage="dedupe")
        if embedder is not None and not isinstance(embedder, _OwnEmbedder):
            plugins.require(embedder, plugins.Embedder)
        return replace(
            self._plan(), embedder=embedder or LayoutEmbedder(), min_similarity=min_similarity, keep=keep
        )

    def caption(self, captioner: Captioner | None = None) -> Plan:
        """Chooses who describes the crops; `picchu.local.MeasuredCaptioner` by default.

        Whoever it is, captions pass the same gate: names, leaked looks, length, variety.
        `picchu.aws.NovaCaptioner` and `picchu.local.OpenAiCaptioner` tell actions, poses and places as well,
        and so may an object of your own (`picchu.plugins`).
        """
        if captioner is not None and not isinstance(captioner, _OwnCaptioner):
            plugins.require(captioner, plugins.Captioner)
        return replace(self._plan(), captioner=captioner or MeasuredCaptioner())


@dataclass(frozen=True, repr=False)
class Plan(Stages):
    """A job from a film to a dataset. Nothing happens before `run`.

    Plans are immutable; they compare and pickle by their options.

    >>> plan = picchu.film("film.mp4").detect("cast.toml").dedupe(min_similarity=0.94)
    >>> plan
    picchu.film('film.mp4')
      .sample(every=1.0)
      .detect(PaletteDetector(Nilo, Wara))
      .crop()
      .dedupe(LayoutEmbedder(), min_similarity=0.94, keep='best')
      .caption(MeasuredCaptioner())
    """

    film: Film
    sampling: Sampling = field(default_factory=Sampling)
    detector: Detector | None = None
    cropping: CropOptions = field(default_factory=CropOptions)
    embedder: Embedder = field(default_factory=LayoutEmbedder)
    min_similarity: float | None = None
    keep: Keep = "best"
    captioner: Captioner = field(default_factory=MeasuredCaptioner)
    settle: bool = True

    def _plan(self) -> Plan:
        return self

    def for_film(self, film: Film | Place) -> Plan:
        """The same for another film: a film, its path, or its address."""
        from picchu.frames import Film

        return replace(self, film=film if isinstance(film, Film) else Film(film))

    def _native(self, budget: float | None = None) -> tuple[str, dict[str, plugins.Plugged]]:
        """As the native module takes it: options as JSON, and objects of the user's."""
        if self.detector is None:
            raise ConfigError(
                "the plan has no detector; add one with .detect(picchu.local.PaletteDetector(cast))",
                stage="detect",
            )
        own, plugged = chosen(
            {"detector": self.detector, "embedder": self.embedder, "captioner": self.captioner}
        )
        options = json.dumps(
            {
                **own,
                "film": self.film.place,
                "sampling": self.sampling.to_dict(),
                "cast": self.detector.cast.to_dict(),
                "settle": self.settle,
                "crop": self.cropping.given(),
                "min_similarity": None if self.min_similarity is None else float(self.min_similarity),
                "keep": self.keep,
                "max_usd": budget,
            }
        )
        return options, plugged

    def estimate(self, path: Place | None = None) -> float | None:
        """What a run will cost in US dollars, about; None if it cannot be told.

        `explain` has it stage by stage. Raises as `explain`.
        """
        explanation = self.explain(path)
        costs = [stage.usd for stage in explanation.stages]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if explanation.expected_frames is not None and len(known) == len(costs) else None

    def explain(self, path: Place | None = None) -> Explanation:
        """Says what a run would do, and what of it is done already. Decodes and writes nothing.

        Args:
            path: The place of the dataset, to see what of it is done.

        Raises:
            ConfigError: If the plan has no detector.
            PicchuError: As `run` would before its first frame.
        """
        body, text = _picchu.explain(*self._native(), None if path is None else place(path))
        fields = json.loads(body)
        stages = tuple(
            StageExplanation(
                stage["stage"],
                stage["by"],
                stage["state"]["partly"] if isinstance(stage["state"], dict) else stage["state"],
                **stage.get("estimate", {}),
            )
            for stage in fields["stages"]
        )
        return Explanation(fields["expected_frames"], stages, text)

    def run(
        self,
        path: Place,
        *,
        budget: float | None = None,
        progress: bool = True,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> Dataset:
        """Runs the plan into a dataset, or goes on where an earlier run stopped.

        A finished dataset is not made again; another ``min_similarity`` only selects anew and decodes
        nothing. Ctrl-C raises KeyboardInterrupt at once; finished work is kept, and the same call goes on
        from there. A frame, crop or caption that fails is recorded and does not end the run.

        Args:
            path: Where the dataset goes: a folder, made if it does not exist, or ``"s3://bucket/prefix"``.
            budget: Most US dollars that this run may spend, by the price table. The run ends before it is
                passed; what is paid is kept, and the same call with a larger budget goes on from there.
            progress: Shows a progress bar in a notebook or a terminal (there with tqdm, if it is installed).
            on_event: Is called in this thread with everything that happens, as dicts with the key
                ``"event"``: opened, resumed, looking, learning, collected, gap, frame_failed, selected,
                captioned, finished. An exception from it stops the run.

        Returns:
            The dataset. It is valid and empty, with a warning, if nobody of the cast was found.

        Raises:
            ConfigError: If the plan has no detector.
            AlreadyExists: If the folder holds another film's dataset.
            InvalidInput: If the film is not a film, or a reference picture cannot be used.
            PermissionDenied: If the folder cannot be written, or a service refuses access.
            QuotaExceeded: If the disk is full or the budget is used up.
        """
        (plan, plugged), out = self._native(budget), place(path)
        with Progress(visible=progress) as shown:

            def notify(line: str) -> None:
                event: dict[str, Any] = json.loads(line)
                shown.show(event)
                if on_event is not None:
                    on_event(event)

            report = json.loads(_picchu.run(plan, plugged, out, notify))
        for gap in report["gaps"]:
            warnings.warn(_describe_gap(gap), GapWarning, stacklevel=2)
        if not report["counts"]["kept"]:
            warnings.warn(
                "the dataset is empty: nobody of the cast was found, or only too small. Are the references "
                "cut from this film, tightly around one character each?",
                stacklevel=2,
            )
        return open_dataset(out)

    run_async = twin(run)
    explain_async = twin(explain)
    estimate_async = twin(estimate)

    def __repr__(self) -> str:
        sampling = _arguments(self.sampling.given())
        dedupe = {"min_similarity": self.min_similarity, "keep": self.keep}
        options = _arguments({name: value for name, value in dedupe.items() if value is not None})
        lines = [
            repr(self.film),
            f".sample({sampling})",
            f".detect({self.detector!r}{'' if self.settle else ', settle=False'})"
            if self.detector
            else "(no detector yet)",
            f".crop({_arguments(self.cropping.given())})",
            f".dedupe({self.embedder!r}, {options})",
            f".caption({self.captioner!r})",
        ]
        return "\n  ".join(lines)


def _arguments(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def _describe_gap(fields: dict[str, Any]) -> str:
    gap = gap_of(fields)
    end = "the end" if gap.end is None else f"{gap.end:.3f} s"
    return f"nothing could be decoded from {gap.start:.3f} s to {end}: {gap.reason}"
