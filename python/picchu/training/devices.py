"""Where to compute, and how exactly."""

from __future__ import annotations

from typing import Any

from .failures import BadInputError


def device_of(wanted: str) -> Any:
    """The device that is wanted; ``auto`` takes a GPU where there is one.

    Raises:
        BadInputError: Where it is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, is_there in there.items() if is_there)
    if not there[wanted]:
        raise BadInputError(f"device is {wanted!r}, which this machine or this build of torch does not have")
    return torch.device(wanted)


def precision_of(wanted: str, device: Any) -> tuple[str, Any]:
    """The mixed precision's name, and the type that frozen weights are held in."""
    import torch

    if wanted == "auto":
        wanted = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "no"
    return wanted, {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[wanted]
