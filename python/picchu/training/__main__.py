"""``python -m picchu.training``: ``train``, ``draw``, ``serve`` and ``check``, each with a JSON file."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from .failures import BadInputError, describe
from .folder import BusyError, RunFolder, write_whole
from .settings import Drawing, Panel, Settings, read_object

NEEDS = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "PIL", "numpy")


def main() -> int:
    """Runs what the command line says; 0 for done or stopped, 1 for failed."""
    # Neither tells anybody how the program is used.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DISABLE_TELEMETRY", "1")
    parser = argparse.ArgumentParser(prog="picchu.training", description=__doc__)
    commands = {"train": _train, "draw": _draw, "serve": _serve, "check": _check}
    parser.add_argument("command", choices=commands)
    parser.add_argument("file", type=Path, help="a JSON file; what check knows is written there")
    arguments = parser.parse_args()
    return commands[arguments.command](arguments.file)


def _check(path: Path) -> int:
    """Writes what this machine has for training: which packages are missing, and the devices."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    devices: list[dict[str, Any]] = []
    if not missing:
        import torch

        for number in range(torch.cuda.device_count()):
            seen = torch.cuda.get_device_properties(number)
            devices.append({"kind": "cuda", "name": seen.name, "bytes": seen.total_memory})
        if torch.backends.mps.is_available():
            devices.append({"kind": "mps", "name": "Apple GPU", "bytes": 0})
    write_whole(
        path, json.dumps({"python": sys.version.split()[0], "missing": missing, "devices": devices}) + "\n"
    )
    return 0


def _train(path: Path) -> int:
    # Out of the group of whoever began it, which may be ended as a whole.
    with contextlib.suppress(AttributeError, OSError):
        os.setsid()
    folder = None
    try:
        settings = Settings.read(path)
        folder = RunFolder(settings.output)
        with folder.heeding_signals():
            folder.status("running", doing="starting", step=0, steps=settings.steps)
            from .train import train

            state = train(settings, folder)
        folder.status(state, steps=settings.steps, step=_last_step(folder))
        return 0
    except BusyError as e:
        print(e, file=sys.stderr)
        return 3
    # Whatever it was, it must be told.
    except BaseException as e:
        traceback.print_exc()
        failure = describe(e)
        print(f"{failure['message']}; {failure['advice']}", file=sys.stderr)
        if folder:
            folder.status("failed", failure=failure)
        return 1


def _last_step(folder: RunFolder) -> int:
    found = json.loads((folder.path / "status.json").read_text("utf-8"))
    return int(found["step"])


def _draw(path: Path) -> int:
    """Draws ``panels`` into the folder ``out``: ``000-0.png`` and so on; ``drawn.json`` lists them."""
    try:
        values = read_object(path)
        panels = values.pop("panels", None)
        out = values.pop("out", None)
        if not isinstance(panels, list) or not isinstance(out, str):
            raise BadInputError(f"{path}: panels or out is missing")
        wanted = [Panel.of(panel, f"{path}, panel {n}") for n, panel in enumerate(panels, 1)]
        drawing = Drawing.of(values, str(path))
        from .draw import Artist

        artist, target = Artist(drawing), Path(out)
        target.mkdir(parents=True, exist_ok=True)
        drawn = []
        for place, panel in enumerate(wanted):
            for number in range(panel.count):
                name = f"{place:03}-{number}.png"
                artist.draw(panel, number).save(target / name)
                drawn.append(
                    {"image": name, "panel": place, "prompt": panel.prompt, "seed": panel.seed + number}
                )
        write_whole(target / "drawn.json", json.dumps(drawn, ensure_ascii=False, indent=1) + "\n")
        return 0
    except Exception as e:
        traceback.print_exc()
        failure = describe(e)
        print(f"{failure['message']}; {failure['advice']}", file=sys.stderr)
        return 1


def _serve(path: Path) -> int:
    """Answers requests, a JSON object a line, with images in files; the model is loaded once."""
    # Libraries print; the answers must stay alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        drawing = Drawing.of(read_object(path), str(path))
        from .draw import Artist

        artist = Artist(drawing)
    except Exception as e:
        traceback.print_exc()
        _answer(answers, {"failure": describe(e)})
        return 1
    _answer(answers, {"ready": True})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            out = Path(request.pop("out"))
            panel = Panel.of(request, "the request")
            images = []
            for number in range(panel.count):
                image = out / f"{number}.png"
                artist.draw(panel, number).save(image)
                images.append(str(image))
            _answer(answers, {"images": images})
        except Exception as e:
            traceback.print_exc()
            _answer(answers, {"failure": describe(e)})
    return 0


def _answer(file: TextIO, values: dict[str, Any]) -> None:
    file.write(json.dumps(values, ensure_ascii=False) + "\n")
    file.flush()


if __name__ == "__main__":
    sys.exit(main())
