"""Characters found by Amazon Rekognition; `picchu.aws` shows this."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from picchu.cast import Cast

__all__ = ["Rekognition"]


@dataclass(frozen=True, slots=True, repr=False)
class Rekognition:
    """Finds characters by Amazon Rekognition: labels first, faces to name, a trained model for the rest.

    It costs money: one call a frame for labels, one more for faces, one for each face. Region and credentials
    come from the environment and the AWS files.

    Args:
        cast: Who to look for: a `Cast`, or the path of a cast file.
        collection: The collection that ``picchu cast enrol`` filled; without one, faces are not looked at.
        search_users: Whether to search users, which join a character's faces, instead of single faces.
        labels_first: Whether frames without any label of the cast are taken to show nobody.
        min_confidence: Labels below this confidence are left out, 0 to 1.
        min_similarity: Faces less similar than this do not match, 0 to 1.
        custom_labels: ARN of a running Custom Labels version for what stays unsure.
        project: ARN of its project. With it, the version is started for the run and stopped after; it bills
            by the hour.

    Raises:
        NotFound: If the cast file does not exist.
        InvalidInput: If it is not a cast.
    """

    cast: Cast
    options: dict[str, Any]

    def __init__(
        self,
        cast: Cast | str | os.PathLike[str],
        *,
        collection: str | None = None,
        search_users: bool = False,
        labels_first: bool = True,
        min_confidence: float = 0.55,
        min_similarity: float = 0.8,
        custom_labels: str | None = None,
        project: str | None = None,
    ) -> None:
        object.__setattr__(self, "cast", cast if isinstance(cast, Cast) else Cast.load(cast))
        model = None
        if custom_labels is not None:
            model = {"version": custom_labels, "project": project, "start": project is not None}
        options = {
            "collection": collection,
            "search_users": search_users,
            "labels_first": labels_first,
            "min_confidence": min_confidence,
            "min_similarity": min_similarity,
            "custom_labels": model,
        }
        object.__setattr__(self, "options", options)

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"rekognition": self.options}

    def __repr__(self) -> str:
        return f"Rekognition({', '.join(self.cast.names)})"
