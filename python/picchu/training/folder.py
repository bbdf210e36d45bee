"""What others read of a run while it goes on: ``status.json``, ``metrics.jsonl``, ``samples/``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

STOP = "stop"
LOCK = "lock"


class BusyError(Exception):
    """Another process is at work in the folder."""


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old or the new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, "utf-8")
    beside.replace(path)


class RunFolder:
    """The output folder of a run. Only the first of several processes writes; it holds ``lock``."""

    def __init__(self, path: str) -> None:
        """Makes the folder and takes its lock, which falls with the process, however that ends.

        Raises:
            BusyError: Where another process holds it.
        """
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            self._lock = (self.path / LOCK).open("a")
            _take(self._lock)
        self._signalled = False
        self._metrics = self.path / "metrics.jsonl"

    def status(self, state: str, **more: Any) -> None:
        """Says where the run stands."""
        body = {"state": state, "pid": os.getpid(), "time": round(time.time(), 3), **more}
        write_whole(self.path / "status.json", json.dumps(body, ensure_ascii=False) + "\n")

    def metric(self, **values: Any) -> None:
        """Adds a line."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def cut_metrics(self, step: int) -> None:
        """Forgets what was measured after a step, from which the run goes on."""
        if not self._metrics.exists():
            return
        kept = []
        for line in self._metrics.read_text("utf-8").splitlines():
            # The last line of a killed run may be half a line.
            with contextlib.suppress(ValueError):
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        write_whole(self._metrics, "".join(kept))

    @contextlib.contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """While it holds, SIGTERM and SIGINT end the run at the next step, with a checkpoint."""

        def heed(*_: object) -> None:
            self._signalled = True

        before = {s: signal.signal(s, heed) for s in (signal.SIGTERM, signal.SIGINT)}
        if hangup := getattr(signal, "SIGHUP", None):
            # The terminal that began a run may be closed.
            before[hangup] = signal.signal(hangup, signal.SIG_IGN)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def asked_to_stop(self) -> bool:
        """Whether somebody wants the run to end: by a signal, or by a file ``stop``."""
        return self._signalled or (self.path / STOP).exists()


def _take(file: IO[str]) -> None:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        raise BusyError(f"{file.name}: another process trains here") from e
