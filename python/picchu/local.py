"""What runs on this machine: no account, no model download, no service.

These classes only hold options; the work is done in `Plan.run`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from picchu.cast import Cast

__all__ = ["LayoutEmbedder", "MeasuredCaptioner", "PaletteDetector"]


@dataclass(frozen=True, slots=True, repr=False)
class PaletteDetector:
    """Finds characters by their colours and the vertical order of their colours.

    It learns from the film and from one to five reference pictures a character, and answers "unsure" rather
    than guess. Best for drawn characters with distinct clothes.

    Args:
        cast: Who to look for: a `Cast`, or the path of a cast file.

    Raises:
        NotFound: If the cast file does not exist.
        InvalidInput: If it is not a cast.
    """

    cast: Cast

    def __init__(self, cast: Cast | str | os.PathLike[str]) -> None:
        object.__setattr__(self, "cast", cast if isinstance(cast, Cast) else Cast.load(cast))

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"palette": {}}

    def __repr__(self) -> str:
        return f"PaletteDetector({', '.join(self.cast.names)})"


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
