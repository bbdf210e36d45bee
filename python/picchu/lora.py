"""LoRA training and drawing on this machine; `picchu.local` shows this."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from picchu import _picchu
from picchu.aio import twin
from picchu.customize import Finding, Standing, TrainingJob
from picchu.drawing import Panel, Storyboard, board
from picchu.exceptions import NotFound
from picchu.progress import Waiting

__all__ = ["Lora", "LoraTraining", "status", "stop", "wait", "wait_async"]


def _interpreter(python: str | os.PathLike[str] | None) -> str:
    return sys.executable if python is None else os.fspath(python)


@dataclass(frozen=True, slots=True)
class LoraTraining:
    """What is to be trained on this machine, on what, and how. Starts nothing; its `train` does.

    Needs PyTorch and diffusers: ``pip install "picchu[train]"``. A job is a process of its own, which
    outlives this one and goes on from its last checkpoint when the same training is started again.

    Args:
        dataset: A dataset, whose export for ``diffusers`` is then written into it; or such an export.
        output: The folder in which each job has a folder.
        base_model: The model to start from: a folder, an id of the Hugging Face hub, or ``random:NAME`` for a
            small one with random weights, to try things out.
        revision: Branch, tag or commit on the hub.
        licence: Licence of the base model, where it is not known.
        name: Name of the job and of the model.
        hyperparameters: By the training program's names; how many ``steps`` is suggested by the dataset's
            size.
        sample_prompts: What sample images show that are drawn while it trains.
        python: The Python that trains; this one unless given.
        allow_unreviewed: Whether images may be trained on that no person looked at.

    >>> training = picchu.local.LoraTraining("dataset", hyperparameters={"rank": 32})
    >>> job = training.train()  # doctest: +SKIP
    >>> picchu.local.wait(job).job.status  # doctest: +SKIP
    'completed'
    """

    dataset: str | os.PathLike[str]
    output: str | os.PathLike[str] = "models"
    base_model: str = "black-forest-labs/FLUX.2-klein-base-4B"
    revision: str = ""
    licence: str = ""
    name: str = "picchu"
    hyperparameters: Mapping[str, str | float] = field(default_factory=dict, hash=False)
    sample_prompts: tuple[str, ...] = ()
    python: str | os.PathLike[str] | None = None
    allow_unreviewed: bool = False

    def _json(self) -> str:
        return json.dumps(
            {
                **{name: getattr(self, name) for name in ("base_model", "revision", "licence", "name")},
                "dataset": os.fspath(self.dataset),
                "output": os.fspath(self.output),
                "python": _interpreter(self.python),
                "hyperparameters": {name: str(value) for name, value in self.hyperparameters.items()},
                "sample_prompts": list(self.sample_prompts),
                "allow_unreviewed": self.allow_unreviewed,
            }
        )

    def check(self) -> tuple[Finding, ...]:
        """Everything that would make the job fail: settings, dataset, packages, memory, disk, licence.

        Raises:
            NotFound: If there is neither a dataset nor an export.
        """
        return tuple(Finding(**found) for found in json.loads(_picchu.check_local_training(self._json())))

    def train(self) -> TrainingJob:
        """Checks the job and starts it, goes on with it, or finds the one that is at work or done.

        Raises:
            ConfigError: For what stands in the way.
        """
        return TrainingJob._read(json.loads(_picchu.train_locally(self._json())))


def status(place: str | os.PathLike[str] = "models") -> tuple[Standing, ...]:
    """How far the jobs in a folder are, or the job of this folder, with their losses.

    >>> for standing in picchu.local.status():
    ...     print(standing.id, standing.job.status)
    """
    return tuple(
        Standing._read(entry) for entry in json.loads(_picchu.local_training_status(os.fspath(place)))
    )


def wait(job: str | os.PathLike[str] | TrainingJob, *, poll: float = 1.0, progress: bool = True) -> Standing:
    """Waits for the end of a job, whatever that is. Ctrl-C ends the waiting, not the job.

    Args:
        job: A job, or its folder.
        poll: Seconds between looks.
        progress: Shows in a notebook or a terminal how the job stands.

    Raises:
        NotFound: For an unknown job.
    """
    with Waiting(Path(_folder(job)).name, visible=progress) as shown:
        while not _over(found := _standing(job), shown):
            time.sleep(poll)
    return found


async def wait_async(
    job: str | os.PathLike[str] | TrainingJob, *, poll: float = 1.0, progress: bool = True
) -> Standing:
    """`wait` for an event loop; cancelling the task ends the waiting, not the job."""
    import asyncio

    with Waiting(Path(_folder(job)).name, visible=progress) as shown:
        while not _over(found := _standing(job), shown):
            await asyncio.sleep(poll)
    return found


def _over(found: Standing, shown: Waiting) -> bool:
    if found.job is None:
        return False
    step = f", step {found.losses[-1][0]:.0f}, loss {found.losses[-1][1]:.4f}" if found.losses else ""
    shown.status = f"{found.job.status.replace('_', ' ')}{step}"
    return found.job.is_over


def _standing(job: str | os.PathLike[str] | TrainingJob) -> Standing:
    found = status(_folder(job))
    if not found:
        raise NotFound(f"{_folder(job)} is not the folder of a training job")
    return found[0]


def stop(job: str | os.PathLike[str] | TrainingJob, *, patience: float = 600.0) -> TrainingJob:
    """Ends a job; the same training goes on from there when it is started again.

    Args:
        job: A job, or its folder.
        patience: Seconds that it may take to leave a checkpoint; then it is killed.

    Raises:
        NotFound: For an unknown job.
    """
    return TrainingJob._read(json.loads(_picchu.stop_local_job(_folder(job), patience)))


def _folder(job: str | os.PathLike[str] | TrainingJob) -> str:
    return job.id if isinstance(job, TrainingJob) else os.fspath(job)


class Lora:
    """A trained LoRA on its base model, or the base model alone, that draws on this machine.

    The model is loaded at the first image, in a process of its own, and kept until this object is gone.

    Args:
        job: A finished job, its folder, a checkpoint's folder, or a file of weights; None for the base model
            alone.
        base_model: The base model; the one that the LoRA was trained from, unless given.
        revision: Branch, tag or commit on the hub.
        lora_scale: How strongly the LoRA works.
        steps: Denoising steps.
        guidance: How closely prompts are followed.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        offload: Whether parts of the model wait in the machine's memory until their turn.
        python: The Python that draws; this one unless given.

    Raises:
        NotFound: If there is no such LoRA.

    >>> lora = picchu.local.Lora(job)  # doctest: +SKIP
    >>> lora.generate(["Nilo waves from the hill"], out="board")[0].images[0].path  # doctest: +SKIP
    PosixPath('board/panels/001-0-5f6d2f9c1c3e.png')
    """

    def __init__(
        self,
        job: str | os.PathLike[str] | TrainingJob | None = None,
        *,
        base_model: str = "",
        revision: str = "",
        lora_scale: float = 1.0,
        steps: int = 28,
        guidance: float = 4.0,
        device: str = "auto",
        offload: bool = False,
        python: str | os.PathLike[str] | None = None,
    ) -> None:
        self._job = None if job is None else _folder(job)
        self._settings: dict[str, Any] = {
            "base_model": base_model,
            "revision": revision,
            "lora_scale": lora_scale,
            "steps": steps,
            "guidance": guidance,
            "device": device,
            "offload": offload,
        }
        self._python = _interpreter(python)
        self._artist = self._of(self._job)

    def _of(self, job: str | None) -> _picchu.LocalArtist:
        return _picchu.LocalArtist(json.dumps({**self._settings, "lora": job or ""}), self._python)

    def base(self) -> Lora:
        """The same base model alone, to compare with."""
        return self._with(None, self._artist.without_lora())

    def checkpoints(self) -> dict[str, Lora]:
        """What the job's checkpoints draw, by their names, the earliest first."""
        folders = _picchu.local_checkpoints(self._job or "")
        return {
            folder.name: self._with(os.fspath(folder), self._of(os.fspath(folder)))
            for folder in map(Path, folders)
        }

    def _with(self, job: str | None, artist: _picchu.LocalArtist) -> Lora:
        other = object.__new__(type(self))
        other._job, other._artist = job, artist
        other._settings, other._python = self._settings, self._python
        return other

    def generate(
        self,
        panels: Iterable[str | Panel],
        *,
        out: str | os.PathLike[str],
        negative_prompt: str | None = None,
        width: int = 768,
        height: int = 768,
    ) -> Storyboard:
        """Draws a storyboard: images, ``storyboard.html`` and ``storyboard.png`` in a folder.

        What is there already is not drawn again: the same call draws only what failed.

        Args:
            panels: What to draw, in order.
            out: The folder.
            negative_prompt: What is kept out of all images.
            width: Pixels of an image.
            height: Pixels of an image.

        Raises:
            InvalidInput: For settings out of range.
        """
        return Storyboard._drawn(self._artist.draw, board(panels, negative_prompt, width, height), out)

    generate_async = twin(generate)

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self._settings.items() if value != _DEFAULTS[name]]
        return f"Lora({', '.join([repr(self._job), *given])})"


_DEFAULTS: dict[str, Any] = Lora.__init__.__kwdefaults__ or {}
