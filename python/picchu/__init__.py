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

from picchu import aws, exceptions, local
from picchu._picchu import Frame, __version__
from picchu.cast import Cast, Character
from picchu.curate import Validation, validate
from picchu.dataset import CustomLabelsExport, Dataset, Export, Record, merge, open_dataset
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
from picchu.pipeline import Explanation, Plan, StageExplanation
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

__all__ = [
    "AlreadyExists",
    "Calibration",
    "Cancelled",
    "Cast",
    "Character",
    "Components",
    "ConfigError",
    "ContentFiltered",
    "Covers",
    "CustomLabelsExport",
    "Dataset",
    "DecodeError",
    "Drawing",
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
    "exceptions",
    "film",
    "join",
    "local",
    "merge",
    "open_dataset",
    "validate",
]
