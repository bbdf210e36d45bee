"""What a dataset looks like as a whole: its captions, and what another threshold would keep."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FittedThreshold", "LintReport", "PairNearCut", "Threshold", "ThresholdReport"]


@dataclass(frozen=True, slots=True, repr=False)
class LintReport:
    """How long, how varied and how true to the rules captions are. Prints as text.

    Attributes:
        captions: Captions looked at.
        names: Captions that use each name.
        findings: Every broken rule: dicts with ``"record"``, ``"rule"`` and ``"message"``.
        near_identical: Captions that nearly repeat another: dicts with ``"record"``, ``"like"`` and
            ``"similarity"``.
        data: Everything, with lengths, openers and phrases.
    """

    captions: int
    names: dict[str, int]
    findings: list[dict[str, str]]
    near_identical: list[dict[str, Any]]
    data: dict[str, Any]
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


class Threshold(NamedTuple):
    """A threshold and how many images stay there."""

    min_similarity: float
    kept: int


class PairNearCut(NamedTuple):
    """A pair of records next to the cut, by their ids; ``duplicate`` says on which side."""

    a: str
    b: str
    similarity: float
    duplicate: bool


class FittedThreshold(NamedTuple):
    """The threshold that contradicts the fewest answers, with the interval in which it lies with 95 %."""

    min_similarity: float
    low: float
    high: float
    answers: int
    contradicted: int


@dataclass(frozen=True, slots=True, repr=False)
class ThresholdReport:
    """What each threshold does to a dataset. Shows itself as a page in a notebook.

    Attributes:
        model: Model of the embeddings; thresholds do not carry over to another.
        candidates: Named candidates with an embedding.
        min_similarity: The threshold that is judged.
        kept: Images that stay there.
        histogram: How many candidates have their nearest other one between two similarities: from, until,
            count.
        thresholds: Images that stay at each threshold, rising.
        pairs: The pairs next to the cut on both sides: look at these.
        wanted: The threshold at which the number of images comes closest to the wanted one.
        fitted: The threshold that fits the answers.
    """

    model: str
    candidates: int
    min_similarity: float
    kept: int
    histogram: tuple[tuple[float, float, int], ...]
    thresholds: tuple[Threshold, ...]
    pairs: tuple[PairNearCut, ...]
    wanted: Threshold | None
    fitted: FittedThreshold | None
    page: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page, which needs nothing else, and gives its path."""
        path = Path(path)
        path.write_text(self.page, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"ThresholdReport({self.kept} of {self.candidates} stay at {self.min_similarity:.4f})"

    def _repr_html_(self) -> str:
        # A document of its own: its style and its script stay inside.
        from html import escape

        page = escape(self.page)
        return f'<iframe srcdoc="{page}" width="100%" height="700" sandbox="allow-scripts"></iframe>'


def threshold_report(fields: dict[str, Any], page: str) -> ThresholdReport:
    """From the native module's JSON."""
    wanted, fitted = fields.get("wanted"), fields.get("fitted")
    return ThresholdReport(
        fields["model"],
        fields["candidates"],
        fields["min_similarity"],
        fields["kept"],
        tuple((b["from"], b["until"], b["candidates"]) for b in fields["histogram"]),
        tuple(Threshold(**point) for point in fields["thresholds"]),
        tuple(PairNearCut(**pair) for pair in fields["pairs"]),
        None if wanted is None else Threshold(**wanted),
        None if fitted is None else FittedThreshold(**fitted),
        page,
    )
