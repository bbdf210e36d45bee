"""Fine-tuning and serving on Amazon Bedrock; `picchu.aws` shows this."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from picchu import _picchu, display
from picchu.aio import in_thread, twin
from picchu.progress import Waiting

__all__ = [
    "CustomModel",
    "Deployment",
    "Finding",
    "Standing",
    "Training",
    "TrainingJob",
    "deploy",
    "hyperparameters",
    "status",
    "sweep",
    "train",
    "training_job",
    "wait",
    "wait_async",
]

Preset = Literal["service", "characters"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about a job before anything is created or paid.

    Attributes:
        severity: How much it matters; an ``"error"`` stands in the way.
        message: What was found.
        mend: What to do about it.
    """

    severity: Literal["note", "warning", "error"]
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class CustomModel:
    """What a job made.

    Attributes:
        id: Its ARN.
        base_model: What it was made from.
    """

    id: str
    base_model: str


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A job, which outlives this process; `training_job` finds it again by its id or its name.

    Attributes:
        id: Its ARN.
        name: Its name.
        status: Where it stands.
        model: What came out, once it is completed.
        failure: The service's words about a failure, with the likely mend.
        phases: Bedrock's word for each phase; empty right after the start.
        loss: The training loss, once there is one.
    """

    id: str
    name: str
    status: Literal["pending", "in_progress", "completed", "failed", "stopping", "stopped"]
    model: CustomModel | None = None
    failure: str | None = None
    phases: Mapping[str, str] = field(default_factory=dict, hash=False)
    loss: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, whatever the end was."""
        return self.status in ("completed", "failed", "stopped")

    @classmethod
    def _read(cls, job: Mapping[str, Any]) -> TrainingJob:
        model = job.get("model")
        return cls(
            job["id"],
            job["name"],
            job["status"],
            CustomModel(model["id"], model["base_model"]) if model else None,
            job.get("failure"),
            dict(job.get("phases", ())),
            job.get("loss"),
        )


@dataclass(frozen=True, slots=True)
class Training:
    """What is to be trained, on what, and how. Creates nothing; `train` does.

    Args:
        dataset: The folder on S3 with an export for ``nova``.
        output: The folder on S3 for results.
        role: ARN of the role that Bedrock takes on. Without one, `train` makes a role for this dataset and
            this output, which `clean` deletes.
        base_model: The model to start from.
        name: Name of the job and of the model.
        preset: Where the hyperparameters come from; by the size of the dataset unless given.
        hyperparameters: Single ones over those, as exact decimal strings.
        kms_key: Key that the model is encrypted with.
        subnets: Subnets of the job's network.
        security_groups: Security groups of the job's network.
        allow_unreviewed: Whether images may be trained on that no person looked at; `check` refuses them
            otherwise, and the ledger says so of the job.

    >>> training = picchu.aws.Training("s3://bucket/film", output="s3://bucket/model")
    >>> [f.message for f in training.check() if f.severity == "error"]  # doctest: +SKIP
    []
    """

    dataset: str
    output: str
    role: str | None = None
    base_model: str = "amazon.nova-canvas-v1:0"
    name: str = "picchu"
    preset: Preset | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    allow_unreviewed: bool = False

    def _json(self) -> str:
        return json.dumps({**asdict(self), "hyperparameters": dict(self.hyperparameters)})

    def check(self) -> tuple[Finding, ...]:
        """Everything that would make the job fail or waste money. Creates nothing and costs nothing.

        Raises:
            ConfigError: For a model that cannot be trained, before anything else is read; it says what trains
                instead.
            NotFound: If there is no manifest.
        """
        return tuple(Finding(**finding) for finding in json.loads(_picchu.check_training(self._json())))

    def request(self) -> dict[str, Any]:
        """The request that starts the job, as ``create_model_customization_job`` of boto3 takes it.

        Raises:
            ConfigError: For a model that cannot be trained.
            NotFound: If there is no manifest.
        """
        request: dict[str, Any] = json.loads(_picchu.training_request(self._json()))
        return request


def train(training: Training, *, ledger: str | os.PathLike[str] = ".") -> TrainingJob:
    """Checks a job and starts it, or finds the one that the same dataset and settings started before.

    It costs money.

    Args:
        training: What to train.
        ledger: The folder whose ``ledger.jsonl`` remembers the job for `status` and `clean`.

    Raises:
        ConfigError: For what stands in the way, before anything is created.

    >>> job = picchu.aws.train(training)  # doctest: +SKIP
    >>> picchu.aws.training_job(job.id).status  # doctest: +SKIP
    'in_progress'
    """
    return TrainingJob._read(json.loads(_picchu.train(training._json(), os.fspath(ledger))))


def training_job(job: str) -> TrainingJob:
    """How far a job is: of Bedrock by its ARN or its whole name, of SageMaker by its ARN.

    Raises:
        NotFound: For an unknown job.
    """
    asked = _picchu.sagemaker_job if ":sagemaker:" in job else _picchu.training_progress
    return TrainingJob._read(json.loads(asked(job)))


def wait(job: str | TrainingJob, *, poll: float = 60.0, progress: bool = True) -> TrainingJob:
    """Waits for the end of a job, whatever that is. Ctrl-C ends the waiting, not the job.

    Args:
        job: A job, or what `training_job` takes.
        poll: Seconds between looks.
        progress: Shows in a notebook or a terminal how the job stands.

    Raises:
        NotFound: For an unknown job.

    >>> job = picchu.aws.wait(job)  # doctest: +SKIP
    """
    with Waiting(_id(job), visible=progress) as shown:
        while not _over(found := training_job(_id(job)), shown):
            time.sleep(poll)
    return found


async def wait_async(job: str | TrainingJob, *, poll: float = 60.0, progress: bool = True) -> TrainingJob:
    """`wait` for an event loop; cancelling the task ends the waiting, not the job."""
    import asyncio

    with Waiting(_id(job), visible=progress) as shown:
        while not _over(found := await in_thread(training_job, _id(job)), shown):
            await asyncio.sleep(poll)
    return found


def _id(job: str | TrainingJob) -> str:
    return job.id if isinstance(job, TrainingJob) else job


def _over(found: TrainingJob, shown: Waiting) -> bool:
    loss = "" if found.loss is None else f", loss {found.loss:.4f}"
    shown.status = f"{found.status.replace('_', ' ')}{loss}"
    return found.is_over


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, or what else a ledger has open. Shows the curve of a job's loss in a notebook.

    Attributes:
        kind: What it is, for example ``"training_job"``.
        id: The service's name for it.
        job: How far a job is.
        deployment: ARN of a deployment.
        status: Where a deployment stands, for example ``"in_service"``.
        problem: Why the service did not tell.
        losses: The training loss at each step so far, as pairs of step and loss.
    """

    kind: str
    id: str
    job: TrainingJob | None = None
    deployment: str | None = None
    status: str | None = None
    problem: str | None = None
    losses: tuple[tuple[float, float], ...] = ()

    @classmethod
    def _read(cls, entry: Mapping[str, Any]) -> Standing:
        job = entry.get("job")
        state, arn = entry.get("deployment") or (None, None)
        return cls(
            entry["kind"],
            entry["id"],
            TrainingJob._read(job) if job else None,
            arn,
            state,
            entry.get("problem"),
            tuple((point["step"], point["loss"]) for point in entry.get("losses", ())),
        )

    def _repr_html_(self) -> str:
        return display.standing(self)


def status(place: str | os.PathLike[str] = ".") -> tuple[Standing, ...]:
    """Where the training jobs and the deployments of a ledger stand. Costs nothing.

    >>> for standing in picchu.aws.status():  # doctest: +SKIP
    ...     print(standing.kind, standing.job and standing.job.status)
    training_job completed
    """
    found = json.loads(_picchu.training_status(os.fspath(place)))
    return tuple(Standing._read(entry) for entry in found)


def hyperparameters(preset: Preset | None = None, *, pictures: int = 0) -> dict[str, str]:
    """Numbers for Nova Canvas, as exact decimal strings.

    Args:
        preset: ``"service"`` for the service's defaults, ``"characters"`` for a long, careful run.
        pictures: Without a preset, the size of the dataset that they are for.

    >>> picchu.aws.hyperparameters("characters")
    {'batchSize': '64', 'learningRate': '0.000001', 'stepCount': '14000'}
    >>> picchu.aws.hyperparameters(pictures=60)["stepCount"]
    '1500'
    """
    numbers: dict[str, str] = json.loads(_picchu.hyperparameters(preset, pictures))
    return numbers


def sweep(base: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """Further tries around numbers, each with one change, in the order in which they are worth their money.

    >>> [tried["stepCount"] for tried in picchu.aws.sweep(picchu.aws.hyperparameters("characters"))][:2]
    ['7000', '20000']
    """
    return tuple(json.loads(_picchu.sweep_hyperparameters(json.dumps(dict(base)))))


class Bills:
    """What bills until it is deleted. As a context manager it waits, and deletes itself at the end."""

    __slots__ = ()

    def wait(self) -> None:
        """Waits until it serves."""
        raise NotImplementedError

    def delete(self) -> None:
        """Ends it, and with it the bill."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.wait()
        except BaseException:
            # Python calls no exit for what was not entered, and it bills.
            self.delete()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()


@dataclass(frozen=True, slots=True)
class Deployment(Bills):
    """A model made callable, which bills by the hour until it is deleted.

    As a context manager it waits until it serves, and deletes itself at the end, also after an exception.

    Attributes:
        id: Its ARN, which `generate` takes.
        usd_per_hour: What it costs an hour in US dollars, where that is known.
        ledger: The folder whose ``ledger.jsonl`` remembers it.
    """

    id: str
    usd_per_hour: float | None
    ledger: Path

    def wait(self, *, poll: float = 30.0, timeout: float = 7200.0) -> None:
        """Waits until it serves.

        Args:
            poll: Seconds between looks; the first come sooner.
            timeout: Seconds until this gives up. The deployment bills on.

        Raises:
            Unavailable: If it cannot be made, in the service's words.
            Timeout: If it takes too long.
        """
        with Waiting(self.id):
            _picchu.wait_for_deployment(self.id, poll, timeout, self.ledger)

    wait_async = twin(wait)

    def update(self, model: str | CustomModel, *, name: str = "picchu") -> None:
        """Has it serve another model, instead of a second deployment that bills beside it.

        It keeps its id and its price, and serves the old model until the change is through; `wait` waits for
        that.

        Args:
            model: A model of the same base model, or its ARN.
            name: Name of the deployment with that model.

        Raises:
            NotFound: If it is gone.
        """
        arn = model.id if isinstance(model, CustomModel) else model
        _picchu.update_deployment(self.id, arn, name, self.ledger)

    def delete(self) -> None:
        """Ends it, and with it the bill. Deleting what is gone is no error."""
        _picchu.delete_deployment(self.id, self.ledger)


def deploy(
    model: str | CustomModel,
    *,
    name: str = "picchu",
    units: int = 1,
    commitment: Literal["none", "one_month", "six_months"] = "none",
    ledger: str | os.PathLike[str] = ".",
) -> Deployment:
    """Starts serving a trained model. **It bills by the hour from here to its deletion**, used or not.

    Args:
        model: A model, or its ARN.
        name: Name of the deployment. The same name and model are one deployment.
        units: Model units that serve.
        commitment: For how long is paid at least; with one, it cannot be deleted before its end.
        ledger: The folder whose ``ledger.jsonl`` remembers it for `status` and `clean`.

    >>> with picchu.aws.deploy(job.model) as deployment:  # doctest: +SKIP
    ...     picchu.aws.generate(["Mayu waves"], model=deployment, out="board")
    """
    arn = model.id if isinstance(model, CustomModel) else model
    body, usd = _picchu.deploy(arn, name, units, commitment, os.fspath(ledger))
    return Deployment(json.loads(body)["id"], usd, Path(ledger))
