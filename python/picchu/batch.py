"""Embeddings and captions of a dataset in batch jobs of Amazon Bedrock; `picchu.aws` shows this."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from picchu import _picchu, places
from picchu.bedrock import NovaCaptioner, NovaEmbedder, TitanEmbedder
from picchu.cast import Cast
from picchu.dataset import Dataset
from picchu.exceptions import ConfigError

__all__ = ["BatchJob", "BatchProgress", "batch"]


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job of batch inference.

    Attributes:
        arn: Its ARN.
        state: Bedrock's word for it, for example ``"InProgress"``.
        processed: Records that are done.
        total: Records in all.
        message: What Bedrock says about a failure.
    """

    arn: str
    state: str
    processed: int
    total: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far the questions about a dataset are.

    Attributes:
        questions: Different images that something is asked about.
        answered: Those that a run will find answered.
        under_way: Those in jobs that are at work.
        open: Those that nobody was asked yet, or that came back without a usable answer.
        estimated_usd: What asking the open ones in jobs costs, about; None where no price is known.
        spent_usd: What the answers that came back now did cost.
        failed: Records that came back now without a usable answer, and why.
        jobs: The jobs that are at work.
        ended_badly: The jobs that ended now and were not completed.
    """

    questions: int
    answered: int
    under_way: int
    open: int
    estimated_usd: float | None
    spent_usd: float
    failed: Mapping[str, str] = field(hash=False)
    jobs: tuple[BatchJob, ...]
    ended_badly: tuple[BatchJob, ...]

    @property
    def can_submit(self) -> bool:
        """Whether a job can be made of what is open: fewer than 100 are asked by the run itself."""
        return self.open >= 100


def batch(
    dataset: Dataset | str | os.PathLike[str],
    model: TitanEmbedder | NovaEmbedder | NovaCaptioner,
    *,
    s3: str,
    role: str,
    cast: Cast | str | os.PathLike[str] | None = None,
    submit: bool = False,
    max_usd: float | None = None,
    timeout_hours: int = 24,
) -> BatchProgress:
    """Asks a model about a dataset's images in jobs: half the price, within hours.

    Embedders are asked about every image, captioners for first captions of the selected ones. Each call reads
    what jobs have finished into the dataset's cache, where `Plan.run` with the same model finds it instead of
    asking. With ``submit``, what is open is submitted; a second call never pays twice.

    Args:
        dataset: The dataset, or its place.
        model: The model, with the options that the plan will have.
        s3: Where the jobs read and write, in their Region: ``"s3://bucket/prefix"``.
        role: ARN of the role that Bedrock takes on to read and write there.
        cast: For captions: a `Cast`, or the path of a cast file, as the plan will have it.
        submit: Whether to submit what is open. Without it, a call costs nothing.
        max_usd: What would cost more US dollars is not submitted.
        timeout_hours: When Bedrock gives a job up: 24 to 168.

    Raises:
        ConfigError: For captions without a cast; if no Region is set or no credentials are found.
        InvalidInput: For a place that is not on S3.
        QuotaExceeded: If it would cost more than ``max_usd``.

    >>> titan = picchu.aws.TitanEmbedder()
    >>> jobs = {"s3": "s3://bucket/jobs", "role": "arn:aws:iam::123456789012:role/Batch"}
    >>> picchu.aws.batch("dataset", titan, submit=True, max_usd=5, **jobs).under_way  # doctest: +SKIP
    1200
    >>> picchu.aws.batch("dataset", titan, **jobs).answered  # doctest: +SKIP
    1200
    """
    choice = model.to_dict()
    given = None
    if isinstance(model, NovaCaptioner):
        if cast is None:
            raise ConfigError('captions need the cast: cast="cast.toml"', stage="caption")
        cast = cast if isinstance(cast, Cast) else Cast.load(cast)
        given = json.dumps(cast.to_dict())
    place = dataset.place if isinstance(dataset, Dataset) else places.place(dataset)
    body = _picchu.batch(
        place, json.dumps(choice), given, places.place(s3), role, timeout_hours, submit, max_usd
    )
    done = json.loads(body)
    return BatchProgress(
        done["questions"],
        done["answered"],
        done["under_way"],
        done["open"],
        None if done["estimate"].get("unpriced_requests") else done["estimate"]["usd"],
        done["spent"]["usd"],
        done["failed"],
        _jobs(done["jobs"]),
        _jobs(done["ended_badly"]),
    )


def _jobs(jobs: list[dict[str, Any]]) -> tuple[BatchJob, ...]:
    return tuple(
        BatchJob(job["arn"], job["state"], job["processed"], job["total"], job.get("message")) for job in jobs
    )
