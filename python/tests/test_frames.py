from __future__ import annotations

import gc
import os
import pickle
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import picchu
from children import child


def decoders() -> int:
    """How many decoders this process has started that still run."""
    own = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
            command = (process / "cmdline").read_bytes()  # empty for what has ended
        except OSError:
            continue
        own += int(parent) == os.getpid() and command.startswith(b"picchu-decode")
    return own


def test_a_film_tells_about_itself(film_path: Path) -> None:
    film = picchu.film(film_path)
    info = film.info
    assert (info.codec, info.width, info.height, info.duration) == ("h264", 1280, 720, 59.5)
    assert film.fingerprint.startswith("sha256:")
    assert pickle.loads(pickle.dumps(film)) == film
    assert "1280×720" in film._repr_html_()
    assert repr(film) == f"picchu.film({str(film_path)!r})"


def test_frames_come_at_their_times(film_path: Path) -> None:
    film = picchu.film(film_path)
    assert [f.time for f in film.frames(every=10.0)] == [0, 10, 20, 30, 40, 50]
    assert [f.time for f in film.frames(fps=2, start=1, end=3)] == [1.0, 1.5, 2.0, 2.5]
    assert [f.time for f in film.frames(at=[7, 3.5, 7.0])] == [3.5, 7.0]
    assert [f.index for f in film.frames(limit=3)] == [0, 1, 2]
    assert len(list(film.frames(every="frame", end=1.0))) == 24
    assert all(f.keyframe for f in film.frames(every="keyframe", limit=3))


def test_pixels_are_not_copied(film_path: Path) -> None:
    frame = next(picchu.film(film_path).frames(start=5.0))
    array = frame.to_numpy()
    base: object = array.base
    assert base is frame
    del base
    assert (array.dtype.name, array.shape) == ("uint8", (720, 1280, 3))
    assert array.flags.c_contiguous
    assert not array.flags.writeable
    assert not array.flags.owndata
    # Equal addresses: both views are of the same memory.
    assert frame.to_numpy().ctypes.data == array.ctypes.data
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    before = array.copy()
    del frame
    gc.collect()
    assert (array == before).all()
    assert array.std() > 10


def test_frames_are_arrays_and_pictures(film_path: Path) -> None:
    frame = next(picchu.film(film_path).frames(start=5.0, max_side=320))
    assert (frame.width, frame.height) == (320, 180)
    assert np.asarray(frame).shape == (180, 320, 3)
    assert np.asarray(frame, dtype=np.float32).dtype == np.float32
    image = frame.to_pil()
    assert (image.size, image.mode) == ((320, 180), "RGB")
    assert (np.asarray(image) == frame.to_numpy()).all()
    assert frame._repr_jpeg_().startswith(b"\xff\xd8")
    assert repr(frame) == "Frame(5.000 s, 320×180)"


def bytes_read() -> int:
    """What this process has read since it began, pipes included."""
    fields = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(dict(fields)["rchar"])


def bytes_read_at_rest() -> int:
    """The same, once nothing has come for half a second."""
    before, quiet = bytes_read(), 0
    while quiet < 10:
        time.sleep(0.05)
        now = bytes_read()
        # Reading the counter reads a few bytes itself.
        quiet, before = (quiet + 1 if now - before < 4096 else 0), now
    return before


def test_reading_is_lazy_and_a_slow_reader_slows_the_decoder(film_path: Path) -> None:
    frames = picchu.film(film_path).frames(every="frame")
    assert decoders() == 0
    begin = bytes_read()
    size = next(frames).to_numpy().nbytes
    assert decoders() == 1
    taken = 1
    for more in [0, 1, 4, 14]:
        taken += len(list(islice(frames, more)))
        # One frame waits, one is on its way; the rest of the film's 1428 are not decoded yet.
        ahead = (bytes_read_at_rest() - begin) / size - taken
        assert ahead < 4, f"{ahead:.1f} frames ahead of {taken}"
    assert decoders() == 1
    frames.close()
    assert decoders() == 0
    assert list(frames) == []


def test_memory_does_not_depend_on_how_many_frames_are_read(film_path: Path) -> None:
    code = """
import resource, sys, picchu
for frame in picchu.film(sys.argv[1]).frames(every="frame", limit=int(sys.argv[2])):
    frame.to_numpy()
for who in [resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN]:
    print(resource.getrusage(who).ru_maxrss // 1024)
"""
    few, many = (child(code, film_path, limit, timeout=120).stdout.split() for limit in (60, 600))
    # 540 frames more are 1,424 MiB more, in this process or in the decoder.
    for here, there in zip(few, many, strict=True):
        assert int(there) < int(here) + 64, f"{few} and {many} MiB"


def test_a_dropped_reading_stops_its_decoder(film_path: Path) -> None:
    frames = picchu.film(film_path).frames(every="frame")
    next(frames)
    del frames
    gc.collect()
    assert decoders() == 0


def test_two_readings_at_once(film_path: Path) -> None:
    film = picchu.film(film_path)
    pairs = zip(film.frames(limit=3), film.frames(limit=3), strict=True)
    assert all((a.to_numpy() == b.to_numpy()).all() for a, b in pairs)


def test_folders_of_pictures_are_films(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (64, 48), (number * 80, 0, 0)).save(tmp_path / f"{number}.png")
    frames = list(picchu.film(tmp_path).frames(every="frame"))
    assert [frame.to_numpy()[0, 0, 0] for frame in frames] == [0, 80, 160]


def test_gaps_are_told_and_passed(film_path: Path, tmp_path: Path) -> None:
    body = bytearray(film_path.read_bytes())
    middle = len(body) // 2
    body[middle : middle + 40_000] = bytes(40_000)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(body)
    around: dict[str, Any] = {"start": 20.0, "end": 40.0, "max_side": 64}
    quiet = picchu.film(broken).frames(**around, on_gap="skip")
    times = [frame.time for frame in quiet]
    if not quiet.gaps:
        pytest.skip("this damage left no gap")
    assert times[-1] > quiet.gaps[0].start
    with pytest.warns(picchu.GapWarning, match="nothing can be decoded"):
        assert [frame.time for frame in picchu.film(broken).frames(**around)] == times
    frames = picchu.film(broken).frames(**around, on_gap="raise")
    seen: list[float] = []
    with pytest.raises(picchu.DecodeError) as caught:
        seen.extend(frame.time for frame in frames)
    assert caught.value.gap == frames.gaps[0]
    assert [*seen, *(frame.time for frame in frames)] == times


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every": 0}, "0 s"),
        ({"every": -1.0}, "-1 s"),
        ({"every": float("nan")}, "must be a number"),
        ({"every": "shot"}, "keyframe"),
        ({"fps": 0}, "frames a second"),
        ({"fps": 1, "every": 1}, "exclude each other"),
        ({"start": -2}, "start is -2 s"),
        ({"limit": -1}, "limit is -1"),
        ({"limit": 1.5}, "limit is 1.5"),
        ({"max_side": 0}, "max_side is 0"),
        ({"on_gap": "ask"}, "on_gap"),
    ],
)
def test_options_without_sense_are_refused(film_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(picchu.InvalidInput, match=words):
        picchu.film(film_path).frames(**options)  # type: ignore[arg-type]


def test_what_is_not_a_film(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.mp4") as missing:
        picchu.film(tmp_path / "none.mp4")
    assert isinstance(missing.value, picchu.NotFound)
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(picchu.InvalidInput) as caught:
        next(picchu.film(text).frames())
    assert (caught.value.kind, caught.value.stage) == ("invalid_input", "sample")
    assert caught.value.context["film"] == str(text)
    (tmp_path / "zero.mp4").touch()
    with pytest.raises(ValueError, match="empty"):
        picchu.film(tmp_path / "zero.mp4").info  # noqa: B018
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.context) == (str(caught.value), caught.value.context)


def test_a_fork_can_read_films_and_leaves_the_parents_alone(film_path: Path) -> None:
    code = """
import os, sys, numpy as np, picchu
film = picchu.film(sys.argv[1])
frames = film.frames(fps=4)
first = next(frames).to_numpy()
picchu.dedupe(np.eye(3), min_similarity=0.9)
child = os.fork()
if child == 0:
    same = next(film.frames(fps=4)).to_numpy()
    assert (same == first).all()
    assert len(picchu.dedupe(np.eye(3), min_similarity=0.9).kept) == 3
    try:
        next(frames)
    except picchu.InvalidInput:
        del frames
        sys.exit(7)
    sys.exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print(len(list(frames)))
"""
    done = child(code, film_path, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "237\n", "")
