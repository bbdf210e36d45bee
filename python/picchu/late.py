"""Names that are imported when they are first asked for, so that ``import picchu`` is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def late(module: str, *homes: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A module's ``__getattr__`` and ``__dir__``: what it names in ``__all__`` and has not comes from others.

    Args:
        module: Its name.
        homes: The modules of picchu that its names come from, each with an ``__all__``.
    """

    def names() -> list[str]:
        return list(sys.modules[module].__all__)

    def get(name: str) -> Any:
        if name in names():
            for home in homes:
                found = importlib.import_module(f"picchu.{home}")
                if name in found.__all__:
                    setattr(sys.modules[module], name, getattr(found, name))
                    return getattr(found, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get, names
