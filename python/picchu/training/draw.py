"""Drawing with a base model and a LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .checkpoints import WEIGHTS
from .devices import device_of, precision_of
from .failures import BadInputError
from .family import open_family
from .settings import Drawing, Panel
from .weights import locate


def pixels_of(
    pipeline: Any,
    what: dict[str, Any],
    *,
    seed: int,
    size: tuple[int, int],
    steps: int,
    guidance: float,
) -> Any:
    """One image, by what a pipeline takes for a prompt. A seed draws the same noise on every device."""
    import torch

    with torch.no_grad():
        return pipeline(
            **what,
            width=size[0],
            height=size[1],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]


class Artist:
    """A model in memory."""

    def __init__(self, drawing: Drawing) -> None:
        """Loads it.

        Raises:
            BadInputError: For weights that cannot be read, or that do not fit each other.
        """
        self._drawing = drawing
        device = device_of(drawing.device)
        _, dtype = precision_of("auto", device)
        self._family = open_family(
            locate(drawing.base_model, Path(drawing.cache or ".")), drawing.revision, dtype
        )
        pipeline = self._family.pipeline
        if drawing.lora:
            self._load(Path(drawing.lora))
        if drawing.offload and device.type != "cpu":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)

    def _load(self, lora: Path) -> None:
        pipeline = self._family.pipeline
        folder, name = (lora.parent, lora.name) if lora.is_file() else (lora, WEIGHTS)
        if not (folder / name).is_file():
            raise BadInputError(f"{folder / name}: there is no LoRA")
        try:
            pipeline.load_lora_weights(str(folder), weight_name=name, adapter_name="picchu")
            # Where no weight fits, loading only warns, and this finds no adapter.
            pipeline.set_adapters(["picchu"], [self._drawing.lora_scale])
        except (ValueError, RuntimeError, KeyError) as e:
            raise BadInputError(f"{folder / name} does not fit {self._drawing.base_model}: {e}") from e

    def draw(self, panel: Panel, number: int) -> Any:
        """An image of a panel, counted from 0."""
        # SDXL and FLUX.2 take a negative prompt; what a pipeline does not know it must not get.
        what = {"prompt": panel.prompt}
        if panel.negative_prompt:
            what["negative_prompt"] = panel.negative_prompt
        multiple = self._family.multiple
        size = tuple(max(multiple, side // multiple * multiple) for side in (panel.width, panel.height))
        image = pixels_of(
            self._family.pipeline,
            what,
            seed=panel.seed + number,
            size=(size[0], size[1]),
            steps=self._drawing.steps,
            guidance=self._drawing.guidance,
        )
        return (
            image if image.size == (panel.width, panel.height) else image.resize((panel.width, panel.height))
        )
