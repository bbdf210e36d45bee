"""What differs between kinds of base models: how text and pictures become numbers, and what the loss is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from .failures import BadInputError

Tensors = dict[str, Any]


class Family(Protocol):
    """A kind of model, with its weights loaded as a diffusers pipeline.

    Tensors of one picture or caption have a first dimension of 1, so that a batch is their concatenation.
    """

    pipeline: Any
    """The diffusers pipeline."""
    denoiser: str
    """Name of the pipeline's part that is trained: ``transformer`` or ``unet``."""
    multiple: int
    """What the width and height of a picture are multiples of, in pixels."""
    text_parts: tuple[str, ...]
    """Names of the parts that only captions need."""

    def lora_targets(self) -> list[str]:
        """Names of the layers that get a LoRA."""
        ...

    def encode_text(self, caption: str, tokens: int) -> Tensors:
        """A caption as the denoiser takes it."""
        ...

    def encode_picture(self, pixels: Any) -> Any:
        """Latents of pixels in -1 to 1, shape (1, 3, height, width)."""
        ...

    def loss(self, denoiser: Any, batch: Tensors, noise: Any, level: Any) -> Any:
        """The mean squared error of each picture.

        Args:
            denoiser: The trained part, perhaps wrapped.
            batch: ``latents``, ``geometry`` (scaled height and width, top, left, height, width), and what
                `encode_text` gave.
            noise: Of the latents' shape.
            level: How far each picture is gone in noise, 0 to 1, shape (batch,).
        """
        ...

    def conditions(self, text: Tensors, empty: Tensors) -> dict[str, Any]:
        """What a call of the pipeline takes instead of a prompt and a negative prompt."""
        ...


def open_family(place: str, revision: str, dtype: Any) -> Family:
    """Loads weights from a folder, from the hub, or makes random ones.

    Raises:
        BadInputError: For a kind of pipeline that is not known, or weights that cannot be read.
    """
    import diffusers

    from .flux2 import Flux2Klein
    from .sdxl import StableDiffusionXL

    families: dict[str, Any] = {
        "Flux2KleinPipeline": Flux2Klein,
        "StableDiffusionXLPipeline": StableDiffusionXL,
    }
    if place.startswith("random:"):
        from .random_weights import make

        pipeline = make(place.removeprefix("random:"))
        if pipeline.dtype != dtype:
            pipeline.to(dtype)
    else:
        kind = pipeline_class(place, revision)
        if kind not in families:
            raise BadInputError(f"{place}: a {kind} cannot be trained here; {', '.join(families)} can")
        try:
            pipeline = getattr(diffusers, kind).from_pretrained(
                place, torch_dtype=dtype, **({"revision": revision} if revision else {})
            )
        except (OSError, ValueError) as e:
            raise BadInputError(f"{place}: the weights cannot be read: {e}") from e
    pipeline.set_progress_bar_config(disable=True)
    return families[type(pipeline).__name__](pipeline)  # type: ignore[no-any-return]


def pipeline_class(place: str, revision: str) -> str:
    """The class that ``model_index.json`` names."""
    index = Path(place) / "model_index.json"
    try:
        if not Path(place).is_dir():
            from huggingface_hub import hf_hub_download

            index = Path(hf_hub_download(place, "model_index.json", revision=revision or None))
        return str(json.loads(index.read_text("utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError) as e:
        raise BadInputError(
            f"{place}: no model_index.json can be read ({type(e).__name__}); give a folder with a diffusers "
            "pipeline, or an id of the hub that this machine reaches"
        ) from e
