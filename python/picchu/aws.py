"""Amazon's services; they cost money.

The classes only hold options; the work is done in `Plan.run`. `enrol` puts a cast's faces where `Rekognition`
finds them, `batch` asks at half the price; `train`, `deploy` and `generate` fine-tune a model of Bedrock,
serve it and draw with it; `SageMakerTraining` and `SageMakerServing` do so with open models on SageMaker;
`clean` removes what bills. Region and credentials come from the environment and the AWS files
(``AWS_REGION``, ``AWS_PROFILE``, a role), or from a ``boto3.Session`` (`use_session`); no option holds a
secret.
`Plan.explain` says what a run will cost before anything is paid, and ``budget`` of `Plan.run` ends it before
a sum is passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picchu import _picchu
from picchu.bedrock import NovaCaptioner, NovaEmbedder, TitanEmbedder
from picchu.exceptions import InvalidInput
from picchu.late import late
from picchu.rekognition import (
    EnrolledReference,
    Enrolment,
    Rekognition,
    Resource,
    clean,
    delete_collection,
    enrol,
    resources,
)

if TYPE_CHECKING:
    from picchu.batch import BatchJob, BatchProgress, batch
    from picchu.customize import (
        CustomModel,
        Deployment,
        Finding,
        Standing,
        Training,
        TrainingJob,
        deploy,
        hyperparameters,
        status,
        sweep,
        train,
        training_job,
        wait,
        wait_async,
    )
    from picchu.drawing import Drawing, DrawnImage, DrawnPanel, Panel, Storyboard, generate, generate_async
    from picchu.sagemaker import SageMakerEndpoint, SageMakerServing, SageMakerTraining, training_log
else:
    __getattr__, __dir__ = late(__name__, "batch", "customize", "drawing", "sagemaker")

__all__ = [
    "BatchJob",
    "BatchProgress",
    "CustomModel",
    "Deployment",
    "Drawing",
    "DrawnImage",
    "DrawnPanel",
    "EnrolledReference",
    "Enrolment",
    "Finding",
    "NovaCaptioner",
    "NovaEmbedder",
    "Panel",
    "Rekognition",
    "Resource",
    "SageMakerEndpoint",
    "SageMakerServing",
    "SageMakerTraining",
    "Standing",
    "Storyboard",
    "TitanEmbedder",
    "Training",
    "TrainingJob",
    "batch",
    "clean",
    "delete_collection",
    "deploy",
    "enrol",
    "generate",
    "generate_async",
    "hyperparameters",
    "resources",
    "status",
    "sweep",
    "train",
    "training_job",
    "training_log",
    "use_session",
    "wait",
    "wait_async",
]


def use_session(session: Any | None) -> None:
    """Has all calls of this process take credentials and Region from a ``boto3.Session``, renewed as it does.

    Args:
        session: The session; None for the environment and the AWS files again.

    >>> import boto3  # doctest: +SKIP
    >>> picchu.aws.use_session(boto3.Session(profile_name="studio"))  # doctest: +SKIP
    """
    if session is not None and not callable(getattr(session, "get_credentials", None)):
        raise InvalidInput(f"{type(session).__name__} is no boto3.Session")
    _picchu.use_session(session)
