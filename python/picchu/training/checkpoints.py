"""Checkpoints: written whole or not at all; a run goes on from the newest as if it had never stopped."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .failures import BadInputError

WEIGHTS = "pytorch_lora_weights.safetensors"
"""Diffusers' name of a LoRA's file."""
_NAME = re.compile(r"step-(\d{6,})")


class Checkpoints:
    """The checkpoints of a run, by their step."""

    def __init__(self, folder: Path, identity: dict[str, Any], keep: int) -> None:
        """``identity`` is what a checkpoint's numbers depend on; ``keep`` the newest stay, or all for 0."""
        self._folder, self._identity, self._keep = folder, identity, keep

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, the oldest first."""
        if not self._folder.is_dir():
            return []
        return sorted(int(m[1]) for p in self._folder.iterdir() if (m := _NAME.fullmatch(p.name)))

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self._folder / f"step-{step:06}"

    def newest(self) -> tuple[int, Any] | None:
        """The newest checkpoint's step and state.

        Raises:
            BadInputError: Where it is of other settings or another dataset.
        """
        import torch

        steps = self.steps()
        if not steps:
            return None
        path = self.path(steps[-1])
        found = json.loads((path / "state.json").read_text("utf-8"))["identity"]
        # Through JSON, as what was found.
        wanted = json.loads(json.dumps(self._identity))
        other = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
        if other:
            raise BadInputError(
                f"{self._folder}: the checkpoints there were made with other {', '.join(other)}; "
                "give another place, or delete them"
            )
        return steps[-1], torch.load(path / "resume.pt", map_location="cpu", weights_only=True)

    def write(self, step: int, state: Any, save_lora: Callable[[Path], None]) -> None:
        """Writes one, and forgets those that are not to be kept."""
        import torch

        if step in self.steps():
            return
        beside = self._folder / f".step-{step:06}.new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_lora(beside)
        torch.save(state, beside / "resume.pt")
        (beside / "state.json").write_text(json.dumps({"step": step, "identity": self._identity}), "utf-8")
        beside.replace(self.path(step))
        if self._keep:
            for old in self.steps()[: -self._keep]:
                shutil.rmtree(self.path(old))


def order_metadata(weights: Path) -> None:
    """Puts a safetensors file's metadata in one order; its writer's is another each time."""
    with weights.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        if len(ordered) == length:
            file.seek(8)
            file.write(ordered)
