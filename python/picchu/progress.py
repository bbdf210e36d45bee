"""Showing how far a run is, and how long something has been waited for."""

from __future__ import annotations

import sys
import threading
import time
from html import escape
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol

__all__ = ["Progress", "Waiting"]


class _Bar(Protocol):
    def show(self, what: str, done: int, total: int | None) -> None: ...

    def say(self, words: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """A bar in a terminal or a notebook, nothing elsewhere. Never fails a run for want of a library."""

    def __init__(self, *, visible: bool) -> None:
        self._bar = _bar() if visible else None
        self._frames: int | None = None

    def show(self, event: dict[str, Any]) -> None:
        """Shows what an event says about the progress."""
        if self._bar is None:
            return
        match event["event"]:
            case "opened":
                self._frames = event["expected_frames"]
                self._bar.show("opening", 0, self._frames)
            case "looking":
                self._bar.show("finding shots", 0, None)
            case "learning":
                self._bar.show("learning", 0, self._frames)
            case "resumed":
                self._bar.show("resumed", event["frames"], self._frames)
            case "collected":
                self._bar.show(f"{event['candidates']} found", event["frames"], self._frames)
            case "captioned":
                self._bar.show("captioning", event["done"], event["total"])

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Waiting:
    """What is waited for, how it stands and since when, in a terminal or a notebook.

    Args:
        what: Its name; of a path or an ARN the last part is shown.
        visible: Whether anything is shown at all.

    Attributes:
        status: How it stands; it may change as long as this is open.
    """

    def __init__(self, what: str, *, visible: bool = True) -> None:
        self.status = ""
        self._what = what.rsplit("/", 1)[-1]
        self._bar = _bar() if visible else None
        self._over = threading.Event()
        self._shower = threading.Thread(target=self._show, name="picchu-waiting", daemon=True)

    def _show(self) -> None:
        begun = time.monotonic()
        while self._bar is not None:
            minutes, seconds = divmod(int(time.monotonic() - begun), 60)
            status = f": {self.status}" if self.status else ""
            self._bar.say(f"{self._what}{status}, {minutes} min {seconds:02} s")
            if self._over.wait(1.0):
                break

    def __enter__(self) -> Waiting:
        if self._bar is not None:
            self._shower.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._over.set()
            self._shower.join()
            self._bar.close()


def _bar() -> _Bar | None:
    """What is looked at: a notebook's cell, a terminal, or nothing."""
    if "ipykernel" in sys.modules:
        try:
            return _Cell()
        except ImportError:
            return _Line()
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return _Line()
    return _Tqdm(tqdm)


class _Tqdm:
    def __init__(self, tqdm: Any) -> None:
        self._bar = tqdm(leave=False, unit="frame")

    def show(self, what: str, done: int, total: int | None) -> None:
        self._bar.total = total
        self._bar.n = done
        self._bar.set_description(what, refresh=False)
        self._bar.refresh()

    def say(self, words: str) -> None:
        self._bar.bar_format = "{desc}"
        self._bar.set_description_str(words)

    def close(self) -> None:
        self._bar.close()


class _Cell:
    """A bar in a notebook's cell: HTML that is replaced, needs no widget, and is gone at the end."""

    def __init__(self) -> None:
        shown: Any = import_module("IPython.display")
        self._html = shown.HTML
        self._last = 0.0
        self._handle = shown.display(shown.HTML(""), display_id=True)

    def show(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last < 0.1:
            return
        self._last = now
        ends = f' value="{min(done, total)}" max="{total}"' if total else ""
        words = f"{what}: {done}{f' of {total}' if total else ''}"
        self._update(f'<progress style="width:20rem"{ends}></progress> {escape(words)}')

    def say(self, words: str) -> None:
        self._update(escape(words))

    def close(self) -> None:
        self._update("")

    def _update(self, html: str) -> None:
        if self._handle is not None:
            self._handle.update(self._html(html))


class _Line:
    """One line on standard error that is written over."""

    def __init__(self) -> None:
        self._last = 0.0

    def show(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last >= 0.1:
            self._last = now
            self.say(f"{what}: {done}{f' of {total}' if total else ''}")

    def say(self, words: str) -> None:
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
