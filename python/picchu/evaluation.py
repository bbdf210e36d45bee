"""Whether the characters held: `evaluate`, and what it finds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from picchu import _picchu, display
from picchu.aio import twin
from picchu.dataset import Dataset
from picchu.drawing import Panel
from picchu.local import LayoutEmbedder
from picchu.lora import Lora
from picchu.pipeline import Detector, Embedder, chosen
from picchu.places import Place, place

__all__ = ["CharacterScore", "Contestant", "Evaluation", "evaluate", "evaluate_async"]


@dataclass(frozen=True, slots=True)
class CharacterScore:
    """How well one character held.

    Attributes:
        asked: Images that should show the character.
        appeared: Those of them in which the character was found.
        score: The mean over those that were asked for; see `Contestant.score`.
        likeness: Mean likeness where the character appeared: 1 is that of the film's own crops. None where it
            never did, or where the embedder does not tell the character from others.
        mistaken_for: Whom images of this character alone showed instead, and how often.
    """

    asked: int
    appeared: int
    score: float
    likeness: float | None
    mistaken_for: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One generator's images, judged.

    Attributes:
        name: Its name.
        score: The mean over the characters: 1 for images as consistent as the film, 0 for ones that show
            others, below for ones that show nobody.
        characters: By character.
        copies: Images that are nearly training images.
        images: How many were judged.
    """

    name: str
    score: float
    characters: Mapping[str, CharacterScore] = field(hash=False)
    copies: int
    images: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found. Shows itself as a table in a notebook.

    Attributes:
        contestants: Those who were judged, the best first.
        notes: What a reader should know.
        folder: Where ``evaluation.html``, with every image, and ``evaluation.json`` lie.
    """

    contestants: tuple[Contestant, ...]
    notes: tuple[str, ...]
    folder: Path

    def _repr_html_(self) -> str:
        return display.evaluation(self)


def evaluate(
    dataset: Dataset | Place,
    *,
    detector: Detector,
    out: str | os.PathLike[str],
    artists: Mapping[str, Lora] | None = None,
    images: Mapping[str, Place] | None = None,
    panels: Iterable[str | Panel] = (),
    embedder: Embedder | None = None,
    film: Place | None = None,
    captions: int = 24,
    side: int = 768,
    copy_similarity: float | None = None,
) -> Evaluation:
    """Judges images by a dataset: do they show who was asked for, as the film does?

    Args:
        dataset: What was trained on. What is held out of it (`Dataset.split`) is compared with.
        detector: Who looks for the characters; the one that made the dataset judges best.
        out: The folder for images and report.
        artists: Who draws the captions of held-out images and ``panels``, by their names.
        images: Folders of images that are there, by the names of who drew them: with captions in
            ``metadata.jsonl`` or in text files, or with a folder for each character.
        panels: Prompts of one's own that are drawn too.
        embedder: Who measures likeness; `picchu.local.LayoutEmbedder` unless given.
        film: The film, from which a local detector learns; from the dataset's images without it.
        captions: Most captions of held-out images to draw.
        side: Width and height of what is drawn, in pixels.
        copy_similarity: From which similarity to a training image an image is a copy; the dataset's own
            threshold unless given.

    Raises:
        InvalidInput: For a dataset without images of named characters.

    >>> lora = picchu.local.Lora(job)  # doctest: +SKIP
    >>> found = picchu.evaluate(
    ...     "dataset",
    ...     detector=picchu.local.PaletteDetector("cast.toml"),
    ...     artists={"base": lora.base(), "lora": lora},
    ...     out="evaluation",
    ... )  # doctest: +SKIP
    >>> found.contestants[0].name  # doctest: +SKIP
    'lora'
    """
    folder = Path(out)
    choices, plugged = chosen({"detector": detector, "embedder": embedder or LayoutEmbedder()})
    asked = {
        "dataset": dataset.place if isinstance(dataset, Dataset) else place(dataset),
        "cast": detector.cast.to_dict(),
        **choices,
        "film": None if film is None else place(film),
        "images": {name: place(where) for name, where in (images or {}).items()},
        "panels": [asdict(Panel(panel) if isinstance(panel, str) else panel) for panel in panels],
        "options": {"captions": captions, "side": side, "copy_similarity": copy_similarity},
        "out": os.fspath(folder),
    }
    drawing = [(name, artist._artist) for name, artist in (artists or {}).items()]
    report = json.loads(_picchu.evaluate(json.dumps(asked), plugged, drawing))
    judged = [
        Contestant(
            one["name"],
            one["score"],
            {name: CharacterScore(**score) for name, score in one["characters"].items()},
            one["copies"],
            len(one["images"]),
        )
        for one in report["contestants"]
    ]
    judged.sort(key=lambda one: -one.score)
    return Evaluation(tuple(judged), tuple(report["notes"]), folder)


evaluate_async = twin(evaluate)
