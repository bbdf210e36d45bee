"""How picchu lives and dies in a process: imports, interrupts, exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import picchu
from children import child


def test_importing_pulls_nothing_that_it_does_not_need() -> None:
    code = """
import sys, picchu
heavy = {"numpy", "pandas", "PIL", "tqdm", "asyncio", "hashlib"} & set(sys.modules)
assert not heavy, heavy
late = {f"picchu.{name}" for name in ("batch", "customize", "drawing", "evaluation", "lora", "sagemaker")}
assert not late & set(sys.modules), late & set(sys.modules)
for module in (picchu, picchu.aws, picchu.local):
    for name in module.__all__:
        assert getattr(module, name) is not None and name in dir(module), name
assert late <= set(sys.modules)
try:
    picchu.no_such_name
except AttributeError as error:
    print(error)
"""
    assert child(code).stdout == "module 'picchu' has no attribute 'no_such_name'\n"


def test_interpreters_exit_cleanly_after_use(film_path: Path) -> None:
    code = """
import asyncio, sys, numpy as np, picchu
frames = picchu.film(sys.argv[1]).frames(max_side=64)
next(frames)
x = np.random.default_rng(0).standard_normal((2000, 64))
picchu.dedupe(x, min_similarity=0.9, threads=2)
asyncio.run(picchu.in_thread(next, frames))
"""
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda _: child(code, film_path), range(100)))
    assert [(end.returncode, end.stderr) for end in ends] == [(0, "")] * 100


def start(code: str, *arguments: str | os.PathLike[str]) -> subprocess.Popen[str]:
    # Started in the background, tests may run where Ctrl-C is ignored, which children take over.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", listen + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def interrupt(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Sends Ctrl-C as a terminal does, to the children too; how long it took, and what was said."""
    before = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "KeyboardInterrupt" in err, err
    return time.monotonic() - before, out


def test_ctrl_c_ends_a_search() -> None:
    code = """
import numpy as np, picchu
x = np.random.default_rng(0).standard_normal((30_000, 512), dtype=np.float32)
print("ready")
while True:
    picchu.join(x, min_similarity=0.3, threads=1)
"""
    process = start(code)
    time.sleep(0.5)
    took, said = interrupt(process)
    assert said == ""
    assert took < 3


def test_ctrl_c_ends_a_reading(film_path: Path) -> None:
    code = """
import sys, picchu
frames = picchu.film(sys.argv[1]).frames(every="frame")
next(frames)
print("ready")
for frame in frames:
    pass
print("finished")
"""
    process = start(code, film_path)
    time.sleep(0.3)
    took, said = interrupt(process)
    assert said == ""
    assert took < 1.5


def test_ctrl_c_ends_a_run_that_goes_on_later(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    code = """
import sys, picchu
def told(event):
    if event["event"] == "collected":
        print("ready")
plan = picchu.film(sys.argv[1]).sample(fps=2, limit=40, max_side=640).detect(sys.argv[2])
plan.run(sys.argv[3], progress=False, on_event=told)
print("finished")
"""
    process = start(code, film_path, cast_path, tmp_path / "dataset")
    took, said = interrupt(process)
    assert "finished" not in said
    assert took < 1.5

    events: list[dict[str, Any]] = []
    plan = picchu.film(film_path).sample(fps=2, limit=40, max_side=640).detect(cast_path)
    explained = plan.explain(tmp_path / "dataset").stages[0].state
    assert isinstance(explained, int)
    assert explained > 0
    resumed = plan.run(tmp_path / "dataset", progress=False, on_event=events.append)
    assert [e["event"] for e in events[:2]] == ["opened", "resumed"]
    assert events[1]["frames"] == explained
    whole = plan.run(tmp_path / "whole", progress=False)
    for name in ("picchu.json", "records.jsonl", "embeddings.npy"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def command(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "picchu", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_command_line_comes_with_the_wheel(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    assert command("--version").stdout == f"picchu {picchu.__version__}\n"
    helped = command("train", "--help")
    assert helped.returncode == 0
    assert "--on <ON>" in helped.stdout
    nothing = command("stats", tmp_path / "none")
    assert (nothing.returncode, nothing.stdout) == (3, "")
    assert nothing.stderr.startswith("error: ")
    assert command("no-such-command").returncode == 2
    out = tmp_path / "dataset"
    made = command("build", film_path, "--cast", cast_path, "--fps", "1", "--limit", "12", "--out", out)
    assert made.returncode == 0, made.stderr
    assert picchu.open_dataset(out).counts.frames == 12


def test_ctrl_c_ends_the_command_line_with_its_own_word(
    film_path: Path, cast_path: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "picchu", "build", film_path, "--cast", cast_path, "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "work").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
