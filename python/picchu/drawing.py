"""Storyboards drawn by models of Amazon Bedrock; `picchu.aws` shows this."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

from picchu import _picchu, display
from picchu.aio import twin
from picchu.customize import Deployment

__all__ = ["Drawing", "DrawnImage", "DrawnPanel", "Panel", "Storyboard", "generate", "generate_async"]


@dataclass(frozen=True, slots=True)
class Panel:
    """What is to be drawn.

    Args:
        prompt: What to draw; the name of a character stands for its looks.
        seed: Seed of the first image; the panel's number unless given.
        count: How many images to choose from.
    """

    prompt: str
    seed: int | None = None
    count: int = 1


def board(
    panels: Iterable[str | Panel], negative_prompt: str | None, width: int, height: int
) -> dict[str, Any]:
    """A storyboard as the crate reads it."""
    whole = [Panel(panel) if isinstance(panel, str) else panel for panel in panels]
    return {
        "panels": [asdict(panel) for panel in whole],
        "negative_prompt": negative_prompt,
        "width": width,
        "height": height,
    }


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """An image, with what draws it again.

    Attributes:
        path: The file.
        seed: Its seed.
        model: Who drew it.
    """

    path: Path
    seed: int
    model: str

    def _thumbnail(self, max_side: int) -> bytes:
        return _picchu.thumbnail(self.path.read_bytes(), max_side)


@dataclass(frozen=True, slots=True)
class DrawnPanel:
    """A panel that was drawn, or not.

    Attributes:
        panel: What was asked.
        images: Its images.
        failure: Why there are fewer than asked for.
    """

    panel: Panel
    images: tuple[DrawnImage, ...]
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Storyboard(Sequence[DrawnPanel]):
    """What was drawn: a sequence of its panels. Shows itself as a sheet in a notebook.

    Attributes:
        panels: The panels, in order.
        folder: Where the images, ``storyboard.html`` and ``storyboard.png`` lie.
        usd: What drawing cost now in US dollars, as far as prices are known.
        unpriced_requests: Requests whose price is not known, and not in ``usd``.
    """

    panels: tuple[DrawnPanel, ...]
    folder: Path
    usd: float
    unpriced_requests: int = 0

    @classmethod
    def _read(cls, panels: Iterable[Mapping[str, Any]], folder: Path, usage: Mapping[str, Any]) -> Storyboard:
        drawn = tuple(
            DrawnPanel(
                Panel(panel["prompt"], panel["seed"], panel["count"]),
                tuple(
                    DrawnImage(folder / image["image"], image["seed"], image["model"])
                    for image in panel["images"]
                ),
                panel.get("failure"),
            )
            for panel in panels
        )
        return cls(drawn, folder, usage["usd"], usage.get("unpriced_requests", 0))

    @classmethod
    def _drawn(
        cls, draw: Callable[[str, Path], str], asked: Mapping[str, Any], out: str | os.PathLike[str]
    ) -> Storyboard:
        """Has a machine draw that bills by the hour or not at all, an image nothing."""
        folder = Path(out)
        return cls._read(json.loads(draw(json.dumps(asked), folder)), folder, {"usd": 0.0})

    def __len__(self) -> int:
        return len(self.panels)

    @overload
    def __getitem__(self, index: int) -> DrawnPanel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[DrawnPanel, ...]: ...
    def __getitem__(self, index: int | slice) -> DrawnPanel | tuple[DrawnPanel, ...]:
        return self.panels[index]

    def _repr_html_(self) -> str:
        return display.storyboard(self)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Panels, who draws them, and how. Draws nothing; `draw` does.

    Args:
        panels: What to draw, in order.
        model: Who draws: a deployment, its ARN, or a model's id.
        negative_prompt: What is kept out of all images; the usual faults unless given.
        width: Pixels of an image, 320 to 4096 in steps of 16.
        height: Pixels of an image.
        cfg_scale: How closely prompts are followed, 1.1 to 10.
        premium: Whether the better, dearer quality is drawn.
        style: A look that the model knows by name, for example ``"FLAT_VECTOR_ILLUSTRATION"``.

    >>> drawing = picchu.aws.Drawing(["Mayu waves"], model="amazon.nova-canvas-v1:0")
    >>> drawing.estimate("board")  # doctest: +SKIP
    (1, 0.06)
    """

    panels: tuple[Panel, ...]
    model: str
    negative_prompt: str | None
    width: int
    height: int
    cfg_scale: float
    premium: bool
    style: str | None

    def __init__(
        self,
        panels: Iterable[str | Panel],
        *,
        model: str | Deployment,
        negative_prompt: str | None = None,
        width: int = 1024,
        height: int = 1024,
        cfg_scale: float = 8.0,
        premium: bool = True,
        style: str | None = None,
    ) -> None:
        whole = tuple(Panel(panel) if isinstance(panel, str) else panel for panel in panels)
        object.__setattr__(self, "panels", whole)
        object.__setattr__(self, "model", model.id if isinstance(model, Deployment) else model)
        object.__setattr__(self, "negative_prompt", negative_prompt)
        object.__setattr__(self, "width", width)
        object.__setattr__(self, "height", height)
        object.__setattr__(self, "cfg_scale", cfg_scale)
        object.__setattr__(self, "premium", premium)
        object.__setattr__(self, "style", style)

    def _json(self, budget: float | None = None) -> str:
        return json.dumps(
            {
                "board": board(self.panels, self.negative_prompt, self.width, self.height),
                "model": self.model,
                "cfg_scale": self.cfg_scale,
                "premium": self.premium,
                "style": self.style,
                "budget": budget,
            }
        )

    def requests(self) -> tuple[dict[str, Any], ...]:
        """The requests, one an image, as ``aws bedrock-runtime invoke-model`` takes them: the body in base64.

        Raises:
            InvalidInput: For settings out of range.
        """
        return tuple(json.loads(_picchu.drawing_requests(self._json())))

    def estimate(self, out: str | os.PathLike[str]) -> tuple[int, float | None]:
        """How many images are not in a folder yet, and what drawing them costs in US dollars, about.

        The price is None where it is not known, and 0 for a deployment, which bills by the hour.
        """
        return _picchu.estimate_drawing(self._json(), os.fspath(out))

    def draw(self, out: str | os.PathLike[str], *, budget: float | None = None) -> Storyboard:
        """Draws what is not in the folder yet. It costs money.

        Args:
            out: The folder.
            budget: Most US dollars to spend; a panel that would pass it is not drawn and says so.

        Raises:
            InvalidInput: For settings out of range.
        """
        folder = Path(out)
        panels, usage = json.loads(_picchu.generate(self._json(budget), folder))
        return Storyboard._read(panels, folder, usage)

    draw_async = twin(draw)


def generate(
    panels: Iterable[str | Panel],
    *,
    model: str | Deployment,
    out: str | os.PathLike[str],
    negative_prompt: str | None = None,
    width: int = 1024,
    height: int = 1024,
    cfg_scale: float = 8.0,
    premium: bool = True,
    style: str | None = None,
    budget: float | None = None,
) -> Storyboard:
    """Draws a storyboard: images, ``storyboard.html`` and ``storyboard.png`` in a folder. It costs money.

    What is there already is not drawn again: the same call draws only what failed. `Drawing` tells the price
    and the requests before.

    Args:
        panels: What to draw, in order.
        model: Who draws: a deployment, its ARN, or a model's id.
        out: The folder.
        negative_prompt: What is kept out of all images; the usual faults unless given.
        width: Pixels of an image, 320 to 4096 in steps of 16.
        height: Pixels of an image.
        cfg_scale: How closely prompts are followed, 1.1 to 10.
        premium: Whether the better, dearer quality is drawn.
        style: A look that the model knows by name, for example ``"FLAT_VECTOR_ILLUSTRATION"``.
        budget: Most US dollars to spend; a panel that would pass it is not drawn and says so.

    Raises:
        InvalidInput: For settings out of range.

    >>> picchu.aws.generate(["Mayu waves"], model=deployment, out="board")[0].images  # doctest: +SKIP
    (DrawnImage(path=PosixPath('board/panels/001-0-5f6d2f9c1c3e.png'), seed=0, model='arn:…'),)
    """
    drawing = Drawing(
        panels,
        model=model,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        cfg_scale=cfg_scale,
        premium=premium,
        style=style,
    )
    return drawing.draw(out, budget=budget)


generate_async = twin(generate)
