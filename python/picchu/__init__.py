"""picchu: from a film to a character-consistent image model.

Frames are sampled from a film, the characters of a cast found and named, cropped, near-duplicates removed,
captions written, and a validated dataset comes out:

>>> dataset = (
...     picchu.film("film.mp4")
...     .sample(every=1.0)
...     .detect(picchu.local.PaletteDetector("cast.toml"))
...     .crop(pad=0.15)
...     .dedupe(min_similarity=0.94, keep="best")
...     .caption()
...     .run("dataset/")
... )  # doctest: +SKIP

Nothing happens before ``run``. The parts are of use alone: `film` reads frames, `dedupe`, `join` and
`components` find near-duplicates among the rows of any array, `open_dataset` opens what a run left behind.

Times are in seconds, sizes in pixels, similarities are cosines (higher is stricter).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from picchu import aws, exceptions, local, plugins
from picchu._picchu import Frame, __version__
from picchu.aio import in_thread
from picchu.cast import Cast, Character
from picchu.curate import Validation, validate
from picchu.dataset import (
    BoundingBox,
    CustomLabelsExport,
    Dataset,
    Export,
    Record,
    Review,
    merge,
    open_dataset,
)
from picchu.exceptions import (
    AlreadyExists,
    Cancelled,
    ConfigError,
    ContentFiltered,
    DecodeError,
    Gap,
    GapWarning,
    InternalError,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PicchuError,
    QuotaExceeded,
    Throttled,
    Timeout,
    Unavailable,
    Unsupported,
)
from picchu.frames import Film, Frames, MediaInfo, film
from picchu.late import late
from picchu.pipeline import Explanation, Plan, StageExplanation
from picchu.plugins import CaptionRequest, Detection
from picchu.shots import Drawing, Shot, Shots, Transition
from picchu.vectors import (
    Calibration,
    Components,
    Covers,
    Index,
    Join,
    Pairs,
    Selection,
    calibrate,
    components,
    dedupe,
    join,
)

if TYPE_CHECKING:
    from picchu.evaluation import CharacterScore, Contestant, Evaluation, evaluate, evaluate_async
else:
    __getattr__, __dir__ = late(__name__, "evaluation")

__all__ = [
    "AlreadyExists",
    "BoundingBox",
    "Calibration",
    "Cancelled",
    "CaptionRequest",
    "Cast",
    "Character",
    "CharacterScore",
    "Components",
    "ConfigError",
    "ContentFiltered",
    "Contestant",
    "Covers",
    "CustomLabelsExport",
    "Dataset",
    "DecodeError",
    "Detection",
    "Drawing",
    "Evaluation",
    "Explanation",
    "Export",
    "Film",
    "Frame",
    "Frames",
    "Gap",
    "GapWarning",
    "Index",
    "InternalError",
    "InvalidInput",
    "Join",
    "MediaInfo",
    "NotFound",
    "Pairs",
    "PermissionDenied",
    "PicchuError",
    "Plan",
    "QuotaExceeded",
    "Record",
    "Review",
    "Selection",
    "Shot",
    "Shots",
    "StageExplanation",
    "Throttled",
    "Timeout",
    "Transition",
    "Unavailable",
    "Unsupported",
    "Validation",
    "__version__",
    "aws",
    "calibrate",
    "components",
    "dedupe",
    "evaluate",
    "evaluate_async",
    "exceptions",
    "film",
    "in_thread",
    "join",
    "local",
    "merge",
    "open_dataset",
    "plugins",
    "validate",
]
