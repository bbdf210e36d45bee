"""Interpreters of their own."""

from __future__ import annotations

import os
import subprocess
import sys


def child(
    code: str, *arguments: str | os.PathLike[str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs code in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
