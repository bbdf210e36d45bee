"""Names that are imported when they are first asked for, so that ``import picchu`` is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def late(module: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """A module's ``__getattr__``.

    Args:
        module: Its name.
        homes: Where names come from: modules of picchu, and the names that each has.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"picchu.{home_of[name]}"), name)
        setattr(sys.modules[module], name, found)
        return found

    return get
