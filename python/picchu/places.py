"""Where films and datasets lie."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import TypeAlias

from picchu.exceptions import InvalidInput

__all__ = ["Place", "place", "shown"]

Place: TypeAlias = str | os.PathLike[str]
"""A path, or an address such as ``"s3://bucket/film"``."""


def place(path: Place) -> str:
    """A place as the native module takes it.

    Raises:
        InvalidInput: For an address that went through `pathlib`, which takes one of its two slashes away.
    """
    text = os.fspath(path)
    if "://" in text:
        return text
    if isinstance(path, PurePath) and re.match(r"(s3|https?):/", text):
        raise InvalidInput(f"{text!r} was an address; give addresses as text, not as paths", stage="sample")
    return str(Path(text))


def shown(text: str) -> str:
    """A place as people see it: what stands behind an address may be a signature."""
    return text.split("?", 1)[0] if "://" in text else text
