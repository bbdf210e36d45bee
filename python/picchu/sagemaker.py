"""LoRA training, serving and drawing on Amazon SageMaker; `picchu.aws` shows this."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from picchu import _picchu
from picchu.aio import twin
from picchu.customize import Bills, Finding, TrainingJob
from picchu.drawing import Panel, Storyboard, board
from picchu.progress import Waiting

__all__ = ["SageMakerEndpoint", "SageMakerServing", "SageMakerTraining", "training_log"]


@dataclass(frozen=True, slots=True)
class SageMakerTraining:
    """What is to be trained on SageMaker, on what, and how. Creates nothing; its `train` does.

    Args:
        dataset: The folder on S3 with an export for ``diffusers``.
        output: The folder on S3 for results.
        role: ARN of the role that SageMaker takes on. Without one, `train` makes a role for these folders,
            which `picchu.aws.clean` deletes.
        base_model: The model to start from: an id of the Hugging Face hub, or a folder on S3.
        revision: Branch, tag or commit on the hub.
        licence: Licence of the base model, where it is not known.
        name: Name of the job and of the model.
        hyperparameters: By the training program's names, as strings; how many ``steps`` is suggested by the
            dataset's size.
        sample_prompts: What sample images show that are drawn while it trains.
        storyboard: Panels that the job draws with its model, so that no endpoint is needed.
        instances: Types of machines that will do, the preferred first.
        volume_gib: The machine's disk.
        spot: Whether spare capacity is used, which is cheaper and may be taken back: the job goes on from its
            last checkpoint then.
        max_hours: The longest that the job may run; its price cannot pass this.
        max_wait_hours: The longest that it may run and wait for spare capacity; twice ``max_hours`` unless
            given.
        retries: How often SageMaker starts the job again after an error of its own.
        image: The container, where it is not that of Hugging Face.
        isolated: Whether the container is cut off from every network.
        wheels: A folder on S3 with the packages that the program needs.
        kms_key: Key that results and disks are encrypted with.
        subnets: Subnets of the job's network.
        security_groups: Security groups of the job's network.
        allow_unreviewed: Whether images may be trained on that no person looked at.

    >>> training = picchu.aws.SageMakerTraining("s3://bucket/film", output="s3://bucket/model", spot=True)
    >>> job = training.train()  # doctest: +SKIP
    >>> picchu.aws.training_job(job.id).status  # doctest: +SKIP
    'in_progress'
    """

    dataset: str
    output: str
    role: str | None = None
    base_model: str = "black-forest-labs/FLUX.2-klein-base-4B"
    revision: str = ""
    licence: str = ""
    name: str = "picchu"
    hyperparameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    sample_prompts: tuple[str, ...] = ()
    storyboard: tuple[Panel, ...] = ()
    instances: tuple[str, ...] = ("ml.g5.2xlarge",)
    volume_gib: int = 100
    spot: bool = False
    max_hours: float = 12.0
    max_wait_hours: float | None = None
    retries: int | None = None
    image: str | None = None
    isolated: bool = False
    wheels: str | None = None
    kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    allow_unreviewed: bool = False

    def _json(self) -> str:
        values = {**asdict(self), "hyperparameters": dict(self.hyperparameters)}
        panels = values.pop("storyboard")
        return json.dumps({**values, "storyboard": {"panels": panels} if panels else None})

    def check(self) -> tuple[Finding, ...]:
        """Everything that would make the job fail or waste money. Creates nothing and costs nothing.

        Raises:
            NotFound: If there is no ``metadata.jsonl``.
        """
        found = json.loads(_picchu.check_sagemaker_training(self._json()))
        return tuple(Finding(**finding) for finding in found)

    def request(self) -> dict[str, Any]:
        """The request that starts the job, as ``create_training_job`` of boto3 takes it.

        Raises:
            NotFound: If there is no ``metadata.jsonl``.
        """
        request: dict[str, Any] = json.loads(_picchu.sagemaker_training_request(self._json()))
        return request

    def train(self, *, ledger: str | os.PathLike[str] = ".") -> TrainingJob:
        """Checks the job and starts it, or finds the one that the same dataset and settings started before.

        It costs money.

        Args:
            ledger: The folder whose ``ledger.jsonl`` remembers the job for `status` and `clean`.

        Raises:
            ConfigError: For what stands in the way, before anything is created.
        """
        return TrainingJob._read(json.loads(_picchu.train_on_sagemaker(self._json(), os.fspath(ledger))))


def training_log(job: str | TrainingJob, *, lines: int = 50) -> tuple[str, ...]:
    """The last lines of a SageMaker job's log; none where it has not run yet.

    Args:
        job: A job, its ARN or its name.
        lines: How many.
    """
    name = job.id if isinstance(job, TrainingJob) else job
    return tuple(json.loads(_picchu.sagemaker_log(name, lines)))


@dataclass(frozen=True, slots=True)
class SageMakerServing:
    """What is to be served on SageMaker, and how. Creates nothing; its `deploy` does.

    Args:
        model: The job that made the model, its ARN or its name; or the folder on S3 of a model.
        base_model: What a model was made from that is given as a folder.
        name: Name of the endpoint. The same name and model are one endpoint.
        role: ARN of the role that SageMaker takes on; the job's own unless given.
        output: The folder on S3 for requests and images; ``board`` in the job's output unless given.
        instance: Type of machine.
        keep_awake: Whether a machine is kept, and billed, when there is nothing to draw.
        steps: Denoising steps of an image.
        guidance: How closely prompts are followed.
        image: The container, where it is not that of Hugging Face.
        isolated: Whether the container is cut off from every network.
        kms_key: Key that images and disks are encrypted with.
        subnets: Subnets of the endpoint's network.
        security_groups: Security groups of the endpoint's network.

    >>> with picchu.aws.SageMakerServing(job).deploy() as endpoint:  # doctest: +SKIP
    ...     endpoint.generate(["Mayu waves"], out="board")
    """

    model: str | TrainingJob
    base_model: str | None = None
    name: str = "picchu"
    role: str = ""
    output: str = ""
    instance: str = "ml.g5.2xlarge"
    keep_awake: bool = False
    steps: int = 28
    guidance: float = 4.0
    image: str | None = None
    isolated: bool = False
    kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    def _json(self) -> str:
        name = self.model.id if isinstance(self.model, TrainingJob) else self.model
        return json.dumps(asdict(replace(self, model=name)))

    def requests(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The requests that `deploy` sends, each with the command of the AWS CLI that takes it."""
        found = json.loads(_picchu.sagemaker_serving_requests(self._json()))
        return tuple((one["call"], one["request"]) for one in found)

    def deploy(self, *, ledger: str | os.PathLike[str] = ".") -> SageMakerEndpoint:
        """Starts serving. **It bills by the hour** until it is in service and has nothing to draw.

        Args:
            ledger: The folder whose ``ledger.jsonl`` remembers it for `status` and `clean`.

        Raises:
            ConfigError: For what stands in the way, before anything is created.
        """
        body, usd, output = _picchu.deploy_on_sagemaker(self._json(), os.fspath(ledger))
        return SageMakerEndpoint(json.loads(body)["id"], usd, output, Path(ledger), self)


@dataclass(frozen=True, slots=True)
class SageMakerEndpoint(Bills):
    """A model made callable, which bills by the hour while it has a machine.

    As a context manager it waits until it serves, and deletes itself at the end, also after an exception.

    Attributes:
        id: Its ARN.
        usd_per_hour: What a machine of it costs an hour in US dollars, where that is known.
        output: The folder on S3 for requests and images.
        ledger: The folder whose ``ledger.jsonl`` remembers it.
        plan: What it was made from.
    """

    id: str
    usd_per_hour: float | None
    output: str
    ledger: Path
    plan: SageMakerServing = field(repr=False)

    def wait(self, *, poll: float = 30.0, timeout: float = 7200.0) -> None:
        """Waits until it serves, and lets its machines come and go.

        Args:
            poll: Seconds between looks; the first come sooner.
            timeout: Seconds until this gives up. The endpoint bills on.

        Raises:
            Unavailable: If it cannot be made, in the service's words.
            Timeout: If it takes too long.
        """
        with Waiting(self.id):
            _picchu.wait_for_sagemaker_endpoint(self.id, self.plan._json(), poll, timeout, self.ledger)

    wait_async = twin(wait)

    def delete(self) -> None:
        """Ends it, and with it the bill. Deleting what is gone is no error."""
        _picchu.delete_sagemaker_endpoint(self.id, self.ledger)

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

        What is there already is not drawn again: the same call draws only what failed. An endpoint without a
        machine gets one first, which takes some minutes.

        Args:
            panels: What to draw, in order.
            out: The folder.
            negative_prompt: What is kept out of all images.
            width: Pixels of an image.
            height: Pixels of an image.
        """
        asked = board(panels, negative_prompt, width, height)

        def draw(body: str, folder: Path) -> str:
            return _picchu.draw_on_sagemaker(body, self.id, self.output, folder)

        return Storyboard._drawn(draw, asked, out)

    generate_async = twin(generate)
