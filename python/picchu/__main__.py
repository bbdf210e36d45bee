"""The command line: ``picchu``, or ``python -m picchu``."""

from __future__ import annotations

import signal
import sys

from picchu import _picchu


def main() -> int:
    """Runs it with this process's arguments, and gives its exit code."""
    # Ctrl-C is the command line's own: it ends what is under way, and keeps what is done.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _picchu.main(["picchu", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
