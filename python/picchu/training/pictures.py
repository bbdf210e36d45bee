"""The dataset as the trainer reads it: pictures with captions, by size, in an order that a step tells."""

from __future__ import annotations

import hashlib
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .failures import BadInputError

# Proportions beyond this are cropped.
WIDEST = 2.0


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        path: Its file.
        caption: What it shows.
        size: Width and height in pixels to which it is scaled and cropped.
        scaled: Width and height before the crop.
    """

    path: Path
    caption: str
    size: tuple[int, int]
    scaled: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top of the crop, which is centred."""
        return (self.scaled[0] - self.size[0]) // 2, (self.scaled[1] - self.size[1]) // 2

    def load(self) -> Any:
        """The pixels, float32 in -1 to 1, shape (3, height, width)."""
        import numpy as np
        import torch
        from PIL import Image

        left, top = self.corner
        with Image.open(self.path) as image:
            rgb = image.convert("RGB").resize(self.scaled, Image.Resampling.LANCZOS)
        rgb = rgb.crop((left, top, left + self.size[0], top + self.size[1]))
        pixels = torch.from_numpy(np.asarray(rgb, dtype=np.float32) / 127.5 - 1.0)
        return pixels.permute(2, 0, 1).contiguous()


class Pictures:
    """A dataset: its pictures in the order of their lines, and a hash of what is trained on."""

    def __init__(self, folder: str, *, resolution: int, multiple: int, buckets: bool) -> None:
        """Reads the folder; each image's header is looked at.

        Args:
            folder: With ``metadata.jsonl``.
            resolution: Side of the square with the pixels of a picture.
            multiple: What widths and heights are multiples of.
            buckets: Whether proportions are kept, near enough.

        Raises:
            BadInputError: For a line that is not understood or an image that cannot be read; says which.
        """
        root = Path(folder)
        lines = _lines(root / "metadata.jsonl")
        digest = hashlib.sha256()
        self.items: list[Picture] = []
        for number, (file_name, caption) in enumerate(lines, 1):
            path = root / file_name
            if not path.resolve().is_relative_to(root.resolve()):
                raise BadInputError(f"metadata.jsonl line {number}: {file_name!r} is outside of the dataset")
            width, height = _size(path)
            digest.update(json.dumps([file_name, caption]).encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
            size = bucket(width, height, resolution, multiple) if buckets else _square(resolution, multiple)
            scale = max(size[0] / width, size[1] / height)
            scaled = max(size[0], round(width * scale)), max(size[1], round(height * scale))
            self.items.append(Picture(path, caption, size, scaled))
        if not self.items:
            raise BadInputError(f"{root / 'metadata.jsonl'}: no pictures")
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.items)


def _lines(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text("utf-8")
    except OSError as e:
        raise BadInputError(
            f"{path}: {e.strerror}; write the dataset with `picchu export --to diffusers`"
        ) from e
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            file_name, caption = values["file_name"], values["text"]
        except (ValueError, KeyError, TypeError) as e:
            raise BadInputError(f'{path} line {number}: expected {{"file_name": …, "text": …}}: {e!r}') from e
        if not isinstance(file_name, str) or not isinstance(caption, str):
            raise BadInputError(f"{path} line {number}: file_name and text must be texts")
        found.append((file_name, caption))
    return found


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError as e:
        raise BadInputError(f"{path}: cannot be read as an image: {e}") from e
    return width, height


def _square(resolution: int, multiple: int) -> tuple[int, int]:
    side = max(multiple, resolution // multiple * multiple)
    return side, side


def bucket(width: int, height: int, resolution: int, multiple: int) -> tuple[int, int]:
    """The size with about the area of a square of ``resolution`` that is nearest to a picture's proportions.

    >>> bucket(1920, 1080, 512, 64)
    (704, 384)
    """
    aspect = min(max(width / height, 1 / WIDEST), WIDEST)
    wide = max(multiple, round(resolution * math.sqrt(aspect) / multiple) * multiple)
    high = max(multiple, round(wide / aspect / multiple) * multiple)
    while wide * high > resolution * resolution and high > multiple:
        high -= multiple
    return wide, high


class Plan:
    """Which pictures each batch sees. A batch is of one size; each look at the set shuffles the batches."""

    def __init__(self, sizes: list[tuple[int, int]], batch: int, seed: int) -> None:
        """Takes the size of each picture, pictures of a batch, and the seed."""
        self._groups: dict[tuple[int, int], list[int]] = {}
        for index, size in enumerate(sizes):
            self._groups.setdefault(size, []).append(index)
        self._batch, self._seed = batch, seed
        self.batches = sum(math.ceil(len(g) / batch) for g in self._groups.values())
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def of(self, number: int) -> list[int]:
        """The pictures of a batch, counted from the first of the run. Equal numbers give equal pictures."""
        epoch, place = divmod(number, self.batches)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return self._epoch[1][place]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        chance = random.Random(f"{self._seed}/{epoch}")
        batches = []
        for size in sorted(self._groups):
            group = list(self._groups[size])
            chance.shuffle(group)
            for start in range(0, len(group), self._batch):
                part = group[start : start + self._batch]
                # A last batch that is not full takes from the front again.
                part += [group[i % len(group)] for i in range(self._batch - len(part))]
                batches.append(part)
        chance.shuffle(batches)
        return batches
