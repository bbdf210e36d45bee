"""Captions and pictures as the denoiser takes them, made once and kept on the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .family import Family, Tensors
from .pictures import Picture, Pictures


class Encoded:
    """Everything that is encoded of a dataset, by content: what another run left is taken."""

    def __init__(self, family: Family, folder: Path, base: str, *, device: Any, keep_latents: bool) -> None:
        """Takes a folder of its own; ``base`` tells which weights encode."""
        self._family, self._folder, self._base = family, folder, base
        self._device, self._keep_latents = device, keep_latents
        folder.mkdir(parents=True, exist_ok=True)

    def texts(self, captions: list[str], tokens: int) -> None:
        """Encodes captions, then lets go of what only they need."""
        import torch

        names = [n for n in self._family.text_parts if isinstance(part(self._family, n), torch.nn.Module)]
        missing = [c for c in dict.fromkeys(captions) if not self._path("text", c, tokens).exists()]
        if missing:
            for name in names:
                part(self._family, name).to(self._device).requires_grad_(False)
        with torch.no_grad():
            for caption in missing:
                states = self._family.encode_text(caption, tokens)
                self._keep(self._path("text", caption, tokens), states)
        self._tokens = tokens
        for name in self._family.text_parts:
            setattr(self._family.pipeline, name, None)

    def pictures(self, pictures: Pictures) -> None:
        """Encodes pictures, where latents are kept."""
        if self._keep_latents:
            for picture in pictures.items:
                self._latents(picture)

    def batch(self, chosen: list[Picture], dropped: list[bool]) -> Tensors:
        """Tensors of some pictures of one size, on the device; the captions of some are dropped."""
        import torch

        texts = [self.text("" if drop else p.caption) for p, drop in zip(chosen, dropped, strict=True)]
        batch = {name: torch.cat([t[name] for t in texts]) for name in texts[0]}
        batch["latents"] = torch.cat([self._latents(p) for p in chosen]).to(self._device)
        geometry = [(*p.scaled[::-1], p.corner[1], p.corner[0], *p.size[::-1]) for p in chosen]
        batch["geometry"] = torch.tensor(geometry, device=self._device)
        return batch

    def text(self, caption: str) -> Tensors:
        """An encoded caption, on the device."""
        from safetensors.torch import load_file

        return dict(load_file(self._path("text", caption, self._tokens), device=str(self._device)))

    def _latents(self, picture: Picture) -> Any:
        import torch

        def encode() -> Tensors:
            vae = self._family.pipeline.vae
            with torch.no_grad():
                return {"latents": self._family.encode_picture(picture.load()[None].to(vae.device))}

        if not self._keep_latents:
            return encode()["latents"]
        content = hashlib.sha256(picture.path.read_bytes()).hexdigest()
        path = self._path("latents", content, picture.size, picture.scaled)
        if not path.exists():
            self._keep(path, encode())
        from safetensors.torch import load_file

        return load_file(path, device=str(self._device))["latents"]

    def _path(self, *what: object) -> Path:
        key = hashlib.sha256(repr((self._base, *what)).encode()).hexdigest()[:32]
        return self._folder / f"{what[0]}-{key}.safetensors"

    def _keep(self, path: Path, tensors: Tensors) -> None:
        from safetensors.torch import save_file

        beside = path.with_suffix(".new")
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, beside)
        beside.replace(path)


def part(family: Family, name: str) -> Any:
    """A part of the pipeline."""
    return getattr(family.pipeline, name, None)
