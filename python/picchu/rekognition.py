"""Characters found by Amazon Rekognition; `picchu.aws` shows this."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from picchu import _picchu
from picchu.cast import Cast

__all__ = [
    "EnrolledReference",
    "Enrolment",
    "Rekognition",
    "Resource",
    "clean",
    "delete_collection",
    "enrol",
    "resources",
]


@dataclass(frozen=True, slots=True, repr=False)
class Rekognition:
    """Finds characters by Amazon Rekognition: labels first, faces to name, a trained model for the rest.

    It costs money: one call a frame for labels, one more for faces, one for each face. Region and credentials
    come from the environment and the AWS files.

    Args:
        cast: Who to look for: a `Cast`, or the path of a cast file.
        collection: The collection that `enrol` filled; without one, faces are not looked at.
        search_users: Whether to search users, which join a character's faces, instead of single faces.
        labels_first: Whether frames without any label of the cast are taken to show nobody.
        min_confidence: Labels below this confidence are left out, 0 to 1.
        min_similarity: Faces less similar than this do not match, 0 to 1.
        custom_labels: ARN of a running Custom Labels version for what stays unsure.
        project: ARN of its project. With it, the version is started for the run and stopped after; it bills
            by the hour.
        calls_per_second: What your account allows; the Region's published quota unless given.

    Raises:
        NotFound: If the cast file does not exist.
        InvalidInput: If it is not a cast.
    """

    cast: Cast
    collection: str | None
    search_users: bool
    labels_first: bool
    min_confidence: float
    min_similarity: float
    custom_labels: str | None
    project: str | None
    calls_per_second: float | None

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
        calls_per_second: float | None = None,
    ) -> None:
        object.__setattr__(self, "cast", cast if isinstance(cast, Cast) else Cast.load(cast))
        object.__setattr__(self, "collection", collection)
        object.__setattr__(self, "search_users", search_users)
        object.__setattr__(self, "labels_first", labels_first)
        object.__setattr__(self, "min_confidence", min_confidence)
        object.__setattr__(self, "min_similarity", min_similarity)
        object.__setattr__(self, "custom_labels", custom_labels)
        object.__setattr__(self, "project", project)
        object.__setattr__(self, "calls_per_second", calls_per_second)

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        model = None
        if self.custom_labels is not None:
            started = self.project is not None
            model = {"version": self.custom_labels, "project": self.project, "start": started}
        return {
            "rekognition": {
                "collection": self.collection,
                "search_users": self.search_users,
                "labels_first": self.labels_first,
                "min_confidence": self.min_confidence,
                "min_similarity": self.min_similarity,
                "custom_labels": model,
                "calls_per_second": self.calls_per_second,
            }
        }

    def __repr__(self) -> str:
        return f"Rekognition({', '.join(self.cast.names)})"


@dataclass(frozen=True, slots=True)
class EnrolledReference:
    """A reference picture and what became of it.

    Attributes:
        character: Whom it shows.
        picture: The file.
        outcome: Whether its face is in the collection now, was already, or cannot be used.
        other_faces: How many smaller faces in it were left out.
        reason: Why it was rejected.
    """

    character: str
    picture: Path
    outcome: Literal["enrolled", "known", "rejected"]
    other_faces: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What enrolling did.

    Attributes:
        collection: The collection.
        created: Whether it is new.
        references: One entry a reference picture, in the cast's order.
        users: How many faces of each character were joined to a user now.
        usd: What it cost in US dollars.
    """

    collection: str
    created: bool
    references: tuple[EnrolledReference, ...]
    users: Mapping[str, int] = field(hash=False)
    usd: float


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that was created in the cloud.

    Attributes:
        kind: What it is, for example ``"face_collection"``.
        id: The service's name for it.
        region: Where it lives.
        exists: Whether the service still has it; None where it did not tell.
        usd_per_hour: What it costs an hour while it exists, where that is known.
        problem: Why the service did not tell.
    """

    kind: str
    id: str
    region: str
    exists: bool | None
    usd_per_hour: float | None = None
    problem: str | None = None


def enrol(
    cast: Cast | str | os.PathLike[str],
    *,
    collection: str,
    users: bool = False,
    ledger: str | os.PathLike[str] | None = None,
) -> Enrolment:
    """Puts the faces of the cast's reference pictures into a collection, which is made if it does not exist.

    What the collection holds already is not sent again: a second call costs nothing.

    Args:
        cast: A `Cast`, or the path of a cast file.
        collection: Id of the collection.
        users: Whether to join the faces of each character to a user, for ``search_users``.
        ledger: The folder whose ``ledger.jsonl`` remembers the collection for `clean`; by default that of the
            cast file, or the current one.

    Raises:
        InvalidInput: If no character has a reference picture.
        ConfigError: If no Region is set or no credentials are found.

    >>> enrolment = picchu.aws.enrol("cast.toml", collection="my-film")  # doctest: +SKIP
    >>> [r.reason for r in enrolment.references if r.outcome == "rejected"]  # doctest: +SKIP
    ['EXTREME_POSE']
    """
    if not isinstance(cast, Cast):
        ledger = Path(cast).parent if ledger is None else ledger
        cast = Cast.load(cast)
    place = "." if ledger is None else os.fspath(ledger)
    body, usd = _picchu.enrol(json.dumps(cast.to_dict()), collection, users, place)
    done = json.loads(body)
    references = tuple(
        EnrolledReference(
            entry["character"],
            Path(entry["picture"]),
            entry["outcome"],
            entry.get("other_faces", 0),
            entry.get("reason"),
        )
        for entry in done["references"]
    )
    return Enrolment(done["collection"], done["created"], references, done["users"], usd)


def delete_collection(collection: str, *, ledger: str | os.PathLike[str] | None = None) -> None:
    """Deletes a collection with all its faces. Deleting what is gone is no error.

    Args:
        collection: Id of the collection.
        ledger: The folder whose ``ledger.jsonl`` remembers it.
    """
    _picchu.delete_collection(collection, None if ledger is None else os.fspath(ledger))


def resources(
    place: str | os.PathLike[str],
    *,
    scan: bool = False,
    hourly: bool = False,
    older_than: timedelta | None = None,
) -> tuple[Resource, ...]:
    """What a dataset's, or a folder's, ledger has open in the cloud, and what the services say of it.

    Changes nothing and costs nothing.

    Args:
        place: The dataset, or the folder with the ``ledger.jsonl``.
        scan: Whether to ask the services too for what carries picchu's tag in the Region and is not in this
            ledger. Others of the account may have made it. What could not be asked is warned of.
        hourly: Only what bills by the hour, used or not.
        older_than: Only what is older than this.
    """
    return _resources(place, remove=False, scan=scan, hourly=hourly, older_than=older_than)


def clean(
    place: str | os.PathLike[str],
    *,
    scan: bool = False,
    hourly: bool = False,
    older_than: timedelta | None = None,
) -> tuple[Resource, ...]:
    """Removes all that a dataset's, or a folder's, ledger has open in the cloud, and tells what that was.

    Look at `resources` with the same options first.

    Args:
        place: The dataset, or the folder with the ``ledger.jsonl``.
        scan: Whether to remove also what carries picchu's tag in the Region and is not in this ledger. Others
            of the account may have made it.
        hourly: Only what bills by the hour, used or not.
        older_than: Only what is older than this.

    Raises:
        PicchuError: If something could not be removed; the rest is, and the ledger keeps it open.
    """
    return _resources(place, remove=True, scan=scan, hourly=hourly, older_than=older_than)


def _resources(
    place: str | os.PathLike[str], *, remove: bool, scan: bool, hourly: bool, older_than: timedelta | None
) -> tuple[Resource, ...]:
    age = None if older_than is None else older_than.total_seconds()
    which = json.dumps({"scan": scan, "hourly": hourly, "older_than": age})
    found, unread = json.loads(_picchu.resources(os.fspath(place), remove, which))
    for why in unread:
        warnings.warn(f"not everything could be asked: {why}", RuntimeWarning, stacklevel=3)
    return tuple(
        Resource(
            entry["kind"],
            entry["id"],
            entry["region"],
            entry["exists"],
            entry.get("usd_per_hour"),
            entry.get("problem"),
        )
        for entry in found
    )
