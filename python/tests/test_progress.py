from __future__ import annotations

import io
import sys
import time
from contextlib import redirect_stderr

import pytest

from picchu.progress import Progress, Waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["tqdm", "plain"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    else:
        pytest.importorskip("tqdm")
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    return Terminal()


def shown(terminal: Terminal, words: str) -> bool:
    end = time.monotonic() + 10
    while words not in terminal.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    return words in terminal.getvalue()


def test_a_wait_says_what_it_is_for_how_that_stands_and_since_when(terminal: Terminal) -> None:
    with redirect_stderr(terminal), Waiting("two-friends") as waiting:
        assert shown(terminal, "two-friends, 0 min 00 s")
        waiting.status = "in progress, loss 0.1250"
        assert shown(terminal, "two-friends: in progress, loss 0.1250, 0 min 01 s")
    kept = terminal.getvalue()
    time.sleep(1.2)
    assert terminal.getvalue() == kept, "it is over"


def test_a_run_shows_its_frames(terminal: Terminal) -> None:
    with redirect_stderr(terminal), Progress(visible=True) as progress:
        progress.show({"event": "opened", "expected_frames": 24})
        time.sleep(0.2)
        progress.show({"event": "collected", "frames": 12, "candidates": 7})
    assert "7 found" in terminal.getvalue()


@pytest.mark.parametrize("watched", [True, False])
def test_nothing_is_shown_where_nobody_looks(
    terminal: Terminal, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not watched:
        monkeypatch.setattr(terminal, "isatty", lambda: False)
    with redirect_stderr(terminal), Waiting("two-friends", visible=not watched):
        pass
    with redirect_stderr(terminal), Progress(visible=not watched) as progress:
        progress.show({"event": "opened", "expected_frames": 24})
    assert not terminal.getvalue()
