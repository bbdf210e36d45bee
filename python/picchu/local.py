"""What runs on this machine: no account, and no model but your own; and captions by servers of your own.

The detectors, embedders and captioners only hold options; the work is done in `Plan.run`. `LoraTraining`
trains a model on what came out, `Lora` draws with it, `picchu.evaluate` judges it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picchu.cast import Cast
from picchu.late import late

if TYPE_CHECKING:
    from picchu.drawing import Panel, Storyboard
    from picchu.lora import Lora, LoraTraining, status, stop, wait, wait_async
else:
    __getattr__, __dir__ = late(__name__, "drawing", "lora")

__all__ = [
    "LayoutEmbedder",
    "Lora",
    "LoraTraining",
    "MeasuredCaptioner",
    "OnnxDetector",
    "OnnxEmbedder",
    "OpenAiCaptioner",
    "PaletteDetector",
    "Panel",
    "Storyboard",
    "status",
    "stop",
    "wait",
    "wait_async",
]


@dataclass(frozen=True, slots=True, repr=False)
class PaletteDetector:
    """Finds characters by their colours and the vertical order of their colours.

    It learns from the film and from one to five reference pictures a character, and answers "unsure" rather
    than guess. Best for drawn characters with distinct clothes.

    Args:
        cast: Who to look for: a `Cast`, or the path of a cast file.
        learn_frames: From how many frames, spread over the film, to learn; 200 by default.
        max_per_frame: How often a character may be named in one frame; 1 by default, higher for mirrors.
        named_from: Confidence from which a box is named; 0.5, the film's own threshold, by default.
        unsure_from: Confidence from which a box is reported as unsure; 0.3 by default.
        seed: Start of the random numbers by which pixels are sampled.

    Raises:
        NotFound: If the cast file does not exist.
        InvalidInput: If it is not a cast. Options out of range are refused when the plan is explained or run.

    >>> picchu.local.PaletteDetector("cast.toml", max_per_frame=2)
    PaletteDetector(Nilo, Wara, max_per_frame=2)
    """

    cast: Cast
    options: tuple[tuple[str, int | float], ...]

    def __init__(
        self,
        cast: Cast | str | os.PathLike[str],
        *,
        learn_frames: int | None = None,
        max_per_frame: int | None = None,
        named_from: float | None = None,
        unsure_from: float | None = None,
        seed: int | None = None,
    ) -> None:
        given: dict[str, int | float | None] = {
            "learn_frames": learn_frames,
            "max_per_frame": max_per_frame,
            "named_from": named_from,
            "unsure_from": unsure_from,
            "seed": seed,
        }
        object.__setattr__(self, "cast", cast if isinstance(cast, Cast) else Cast.load(cast))
        options = tuple((name, value) for name, value in given.items() if value is not None)
        object.__setattr__(self, "options", options)

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"palette": dict(self.options)}

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in self.options]
        return f"PaletteDetector({', '.join([*self.cast.names, *options])})"


@dataclass(frozen=True, slots=True, repr=False)
class OnnxDetector:
    """Finds characters with a detector of your own: a YOLO export in an ONNX file.

    Needs ONNX Runtime: ``pip install "picchu[onnx]"``. A class with the name of a character names it. Boxes
    of other classes, such as ``person``, are named by likeness to the cast's reference pictures where the
    plan's embedder is an `OnnxEmbedder`, and are unsure otherwise.

    Args:
        model: The model file.
        cast: Who to look for: a `Cast`, or the path of a cast file.
        description: The model's description; the ``.json`` file beside the model by default.
        library: The ONNX Runtime library, or the folder that holds it; by default what ``ORT_DYLIB_PATH``
            names, or else the one in the installed ``onnxruntime`` package.
        threads: Threads of the model; one a core, at most 8, by default. The answers do not depend on it.
        min_likeness: Least cosine to a reference picture for a box to get a name; 0.5 by default.
        margin: Least lead of that cosine over the next character's; 0.03 by default.

    Raises:
        NotFound: If the cast file does not exist.
        InvalidInput: If it is not a cast.
    """

    model: Path
    cast: Cast
    description: Path | None
    library: Path | None
    threads: int | None
    min_likeness: float | None
    margin: float | None

    def __init__(
        self,
        model: str | os.PathLike[str],
        cast: Cast | str | os.PathLike[str],
        *,
        description: str | os.PathLike[str] | None = None,
        library: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        min_likeness: float | None = None,
        margin: float | None = None,
    ) -> None:
        given = {
            "model": Path(model),
            "cast": cast if isinstance(cast, Cast) else Cast.load(cast),
            "description": None if description is None else Path(description),
            "library": None if library is None else Path(library),
            "threads": threads,
            "min_likeness": min_likeness,
            "margin": margin,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        fields = _model(self.model, self.description, self.library, self.threads)
        return {"onnx": fields | {"min_likeness": self.min_likeness, "margin": self.margin}}

    def __repr__(self) -> str:
        return f"OnnxDetector({str(self.model)!r}, {', '.join(self.cast.names)})"


@dataclass(frozen=True, slots=True, repr=False)
class OnnxEmbedder:
    """Maps pictures to vectors with an image encoder of your own: CLIP, DINOv2, SigLIP in an ONNX file.

    Needs ONNX Runtime: ``pip install "picchu[onnx]"``. The model's description says from which similarity on
    two crops are near-duplicates.

    Args:
        model: The model file.
        description: The model's description; the ``.json`` file beside the model by default.
        library: The ONNX Runtime library, or the folder that holds it; by default what ``ORT_DYLIB_PATH``
            names, or else the one in the installed ``onnxruntime`` package.
        threads: Threads of the model; one a core, at most 8, by default. The answers do not depend on it.
    """

    model: Path
    description: Path | None
    library: Path | None
    threads: int | None

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        description: str | os.PathLike[str] | None = None,
        library: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> None:
        object.__setattr__(self, "model", Path(model))
        object.__setattr__(self, "description", None if description is None else Path(description))
        object.__setattr__(self, "library", None if library is None else Path(library))
        object.__setattr__(self, "threads", threads)

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"onnx": _model(self.model, self.description, self.library, self.threads)}

    def __repr__(self) -> str:
        return f"OnnxEmbedder({str(self.model)!r})"


def _model(
    model: Path, description: Path | None, library: Path | None, threads: int | None
) -> dict[str, Any]:
    library = library or _installed_library()
    return {
        "model": str(model),
        "description": None if description is None else str(description),
        "library": None if library is None else str(library),
        "threads": threads,
    }


def _installed_library() -> Path | None:
    """The folder of the library in the package ``onnxruntime``, which is not imported for it."""
    if os.environ.get("ORT_DYLIB_PATH"):
        return None
    package = find_spec("onnxruntime")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "capi"


@dataclass(frozen=True, slots=True)
class LayoutEmbedder:
    """Maps pictures to vectors by where their colours and edges lie."""

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"layout": {}}


@dataclass(frozen=True, slots=True)
class MeasuredCaptioner:
    """Describes pictures by what can be measured: who, where, framing, light, colours."""

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"measured": {}}


@dataclass(frozen=True, slots=True)
class OpenAiCaptioner:
    """Captions by a model that sees, behind a server with the OpenAI interface: Ollama, vLLM, llama.cpp.

    A key, where the server wants one, comes from the environment variable ``OPENAI_API_KEY``.

    Args:
        model: Name of the model on its server, for example ``"qwen2.5vl:7b"``.
        base_url: Address up to the version; that of Ollama on this machine unless given.
        max_tokens: Most tokens of an answer.
        timeout: Seconds until an answer has to be there.
        attempts: Attempts in all where the server is busy, slow or gone.
        tools: Whether to demand the caption through a tool, for servers and models that take tools.
        instructions: A wish to the model, for example ``"Always name the setting."``

    >>> picchu.local.OpenAiCaptioner("llava", base_url="http://localhost:8000/v1").to_dict()
    {'openai': {'model': 'llava', 'base_url': 'http://localhost:8000/v1', 'tools': False}}
    """

    model: str
    base_url: str | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    attempts: int | None = None
    tools: bool = False
    instructions: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        options = asdict(self)
        return {"openai": {name: value for name, value in options.items() if value not in (None, "")}}
