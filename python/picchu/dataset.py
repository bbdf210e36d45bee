"""The dataset: what a run leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from picchu import _picchu, curate, display, places
from picchu.cast import Cast
from picchu.exceptions import Gap, InvalidInput, NotFound
from picchu.places import Place
from picchu.reports import LintReport, ThresholdReport, threshold_report

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray
    from PIL.Image import Image

    from picchu.plugins import Reviewer

__all__ = [
    "Alternative",
    "BoundingBox",
    "Counts",
    "Crop",
    "CustomLabelsExport",
    "Dataset",
    "Export",
    "Outcome",
    "PixelRect",
    "Quality",
    "Record",
    "Review",
    "Subject",
    "merge",
    "open_dataset",
]

Outcome = Literal["kept", "duplicate", "unsure", "skipped", "uncaptioned", "failed"]
"""What became of a candidate."""


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A box in ratios of the picture's size, 0 to 1."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def from_pixels(
        cls, left: float, top: float, right: float, bottom: float, *, width: int, height: int
    ) -> BoundingBox:
        """A box between edges in pixels, as most detectors tell them, in a picture of ``width`` × ``height``.

        >>> picchu.BoundingBox.from_pixels(480, 270, 960, 1080, width=1920, height=1080)
        BoundingBox(left=0.25, top=0.25, width=0.25, height=0.75)
        """
        return cls(left / width, top / height, (right - left) / width, (bottom - top) / height)


@dataclass(frozen=True, slots=True)
class PixelRect:
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Quality:
    """Measured quality of a crop; every value 0 to 1, higher is better.

    Attributes:
        score: All of it in one number: what ``keep="best"`` looks at.
        sharpness: Fine detail present for the amount of structure there is.
        exposure: Neither crushed to black nor burned to white.
        completeness: How much of the character is inside the frame.
        size: Size of the character in source pixels, against the size that a trainer uses.
    """

    score: float
    sharpness: float
    exposure: float
    completeness: float
    size: float


@dataclass(frozen=True, slots=True)
class Crop:
    """The image of a record.

    Attributes:
        path: The image file.
        rect: Rectangle of the frame that was cut, in the frame's pixels.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        scale: Image pixels per source pixel: 1 as a rule.
        quality: Measured quality.
        size_bytes: Size of the image file.
        sha256: ``sha256:`` and the hash of the image file.
    """

    path: Path
    rect: PixelRect
    width: int
    height: int
    scale: float
    quality: Quality
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A named character in a crop; the box is in ratios of the crop."""

    character: str
    bounding_box: BoundingBox

    @classmethod
    def _read(cls, fields: Mapping[str, Any]) -> Subject:
        return cls(fields["character"], BoundingBox(**fields["bounding_box"]))


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another character that a box could show, and how likely that is, 0 to 1."""

    character: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Review:
    """What people decided about a record, added up: accepted unless it says why not.

    Attributes:
        rejected: Why it is not for training, if it is rejected.
        caption: The caption that replaces the record's.
        character: The character that it really shows.
        reviewers: Who decided; the last one last.
    """

    rejected: str | None = None
    caption: str | None = None
    character: str | None = None
    reviewers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What came out of a run.

    Attributes:
        frames: Frames looked at.
        frames_failed: Frames that the detector or the decoder failed on.
        frames_with_detections: Frames with at least one detection.
        records: Candidates.
        kept: Records selected for training.
        duplicates: Records covered by a kept one.
        unsure: Records whose character is unsure.
        skipped: Records left out by a rule.
        uncaptioned: Records that were selected, but for which no caption could be had.
        failed: Records that could not be processed.
        characters: Kept images in which each character appears, by name.
    """

    frames: int
    frames_failed: int
    frames_with_detections: int
    records: int
    kept: int
    duplicates: int
    unsure: int
    skipped: int
    uncaptioned: int
    failed: int
    characters: Mapping[str, int]


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A candidate for training, with its lineage from the film's frame to its caption.

    Attributes:
        id: Unique in the dataset and stable between runs.
        character: Who it shows, by the name in the cast, as people corrected it; None if nobody is sure.
        time: Presentation time of its frame, in seconds.
        outcome: What became of it: kept, duplicate, unsure, skipped, uncaptioned or failed.
        caption: The caption that counts: a person's, where somebody edited it. Only kept records have one.
        similarity: For a duplicate, its cosine similarity to the record that covers it.
        covered_by: For a duplicate, the id of the kept record that covers it.
        reason: For a skipped, uncaptioned or failed record, why, in words.
        confidence: How sure the detector is, 0 to 1.
        bounding_box: Where the character is, in ratios of the frame.
        frame_index: Number of the sample.
        frame_size: Width and height of the frame in pixels.
        shot: Number of the shot that the frame belongs to, where the film was looked at for shots.
        drawing: Number of the drawing that the frame shows, where the film was looked at for shots.
        crop: Its image, where one was cut.
        subjects: Every named character in the image, the record's own first.
        alternatives: Other characters it could be, best first.
        decided_by: Which step of the detector decided.
        embedding_row: Its row in `Dataset.embeddings`.
        review: What people decided about it.
        film: Fingerprint of the film.
    """

    id: str
    character: str | None
    time: float
    outcome: Outcome
    caption: str | None
    similarity: float | None
    covered_by: str | None
    reason: str | None
    confidence: float
    bounding_box: BoundingBox
    frame_index: int
    frame_size: tuple[int, int]
    shot: int | None
    drawing: int | None
    crop: Crop | None
    subjects: tuple[Subject, ...]
    alternatives: tuple[Alternative, ...]
    decided_by: str
    embedding_row: int | None
    review: Review | None
    film: str
    _dataset: Dataset = field(compare=False)
    _index: int = field(compare=False)

    @property
    def quality(self) -> Quality | None:
        """Measured quality of its image, where there is one."""
        return self.crop.quality if self.crop else None

    @property
    def image(self) -> Image:
        """Its image, read now. Needs Pillow; `to_numpy` does not.

        Raises:
            NotFound: If the record has no image.
            InvalidInput: If the file is not the one that was written.
        """
        from PIL import Image

        return Image.fromarray(self.to_numpy())

    def to_numpy(self) -> NDArray[np.uint8]:
        """Its image, read now: uint8 RGB, shape (height, width, 3). Raises as `image`."""
        return self._dataset._native.image(self._index)

    def image_bytes(self) -> bytes:
        """Its image file. Raises as `image`."""
        return self._dataset._native.image_bytes(self._index)

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """Its embedding, where there is one: a unit vector, float32, shape (dimensions,)."""
        return None if self.embedding_row is None else self._dataset.embeddings[self.embedding_row]

    def _thumbnail(self, max_side: int) -> bytes:
        return self._dataset._native.thumbnail(self._index, max_side)

    def __repr__(self) -> str:
        return f"Record({self.id!r}, {self.character or 'unsure'}, {self.outcome})"

    def _repr_html_(self) -> str:
        return display.record(self)


@dataclass(frozen=True, slots=True)
class Export:
    """What was written for a trainer.

    Attributes:
        path: The file or the folder that was written, and read back as the trainer reads it.
        records: How many pictures it has for training.
        uploads: For a manifest alone, where each image has to lie: its path here, and its address.
        held_out: Pictures held out of training: in the export where the format has a place for them.
        left_out: Pictures left out to balance the characters.
        unreviewed: Pictures for training that no person looked at.
        characters: Training pictures of each character.
    """

    path: Path
    records: int
    uploads: tuple[tuple[Path, str], ...] = ()
    held_out: int = 0
    left_out: int = 0
    unreviewed: int = 0
    characters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CustomLabelsExport:
    """Frames with boxes, as an Amazon Rekognition Custom Labels project reads them.

    Attributes:
        train: Address of the manifest to train with.
        test: Address of the manifest to test with, where shots are held out.
        train_frames: Frames to train with.
        test_frames: Frames to test with.
        characters: Boxes of each character.
        unreviewed: Frames that no person looked at.
        uncertain: Frames left out because somebody in them is unnamed or was rejected.
    """

    train: str
    test: str | None
    train_frames: int
    test_frames: int
    characters: Mapping[str, int]
    unreviewed: int
    uncertain: int


def open_dataset(path: Place) -> Dataset:
    """Opens the dataset in a folder, or at an address such as ``s3://bucket/film``.

    Raises:
        NotFound: If there is none, or it is not finished.
        InvalidInput: If it is broken; the message names file and line.
        Unsupported: If a later picchu made it.

    >>> dataset = picchu.open_dataset("dataset/")
    >>> dataset.counts.kept == len(dataset.kept)
    True
    """
    return Dataset(path)


def merge(
    datasets: Sequence[Dataset | Place],
    out: Place,
    *,
    min_similarity: float | None = None,
) -> Dataset:
    """Merges the datasets of several films, without near-duplicates across films.

    Args:
        datasets: Two or more, each of another film, all built with one embedder.
        out: Where the merged dataset goes: an empty place.
        min_similarity: From which two crops are near-duplicates; the embedder's own unless given.

    Raises:
        InvalidInput: If a film comes twice or the embedders differ.
        AlreadyExists: If something is in ``out``.
    """
    places = [dataset.place if isinstance(dataset, Dataset) else dataset for dataset in datasets]
    curate.merge_into(places, out, min_similarity)
    return Dataset(out)


class Dataset(Sequence[Record]):
    """A finished dataset: a sequence of its records, kept or not, in the film's order.

    ``dataset[0]`` and ``dataset[:10]`` go by number, ``dataset["film-00012.000000-0"]`` by id. Shows itself
    as a gallery of the kept images in a notebook. Pickles by its path.
    """

    def __init__(self, path: Place) -> None:
        self._place = places.place(path)
        self._path = Path(path)
        self._native = _picchu.Dataset(self._place)

    @property
    def place(self) -> str:
        """Where it is: a folder, or an address such as ``s3://bucket/film``."""
        return self._place

    @property
    def path(self) -> Path:
        """The folder. Of a dataset at an address, use `place`."""
        return self._path

    @cached_property
    def header(self) -> dict[str, Any]:
        """What was run: ``picchu.json``."""
        header: dict[str, Any] = json.loads(self._native.header())
        return header

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Every candidate, in the order of the film."""
        lines = json.loads(self._native.records())
        return tuple(_record(self, index, line) for index, line in enumerate(lines))

    @cached_property
    def kept(self) -> tuple[Record, ...]:
        """The records that were selected for training."""
        return tuple(record for record in self.records if record.outcome == "kept")

    @cached_property
    def counts(self) -> Counts:
        """What came out, in numbers."""
        return Counts(**self.header["counts"])

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """Stretches of the film that could not be decoded."""
        return tuple(gap_of(fields) for fields in self.header["gaps"])

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """Unit vectors, one row a record that has one: float32, shape (rows, dimensions), read-only.

        The row of a record is its ``embedding_row``.
        """
        embeddings = self._native.embeddings()
        embeddings.flags.writeable = False
        return embeddings

    @property
    def contact_sheet(self) -> Path:
        """The page that shows the result at a glance."""
        return self._path / "contact-sheet.html"

    @cached_property
    def _by_id(self) -> dict[str, Record]:
        return {record.id: record for record in self.records}

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @overload
    def __getitem__(self, index: int | str) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...

    def __getitem__(self, index: int | str | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, str):
            return self._by_id[index]
        return self.records[index]

    def _columns(self) -> dict[str, list[Any]]:
        """A row for each record."""
        return {
            "character": [record.character for record in self],
            "time": [record.time for record in self],
            "outcome": [record.outcome for record in self],
            "caption": [record.caption for record in self],
            "confidence": [record.confidence for record in self],
            "quality": [record.quality.score if record.quality else None for record in self],
            "similarity": [record.similarity for record in self],
            "covered_by": [record.covered_by for record in self],
            "reason": [record.reason for record in self],
            "image": [str(record.crop.path) if record.crop else None for record in self],
            "width": [record.crop.width if record.crop else None for record in self],
            "height": [record.crop.height if record.crop else None for record in self],
            "left": [record.bounding_box.left for record in self],
            "top": [record.bounding_box.top for record in self],
            "box_width": [record.bounding_box.width for record in self],
            "box_height": [record.bounding_box.height for record in self],
            "frame_index": [record.frame_index for record in self],
            "embedding_row": [record.embedding_row for record in self],
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a record, indexed by id. Needs pandas.

        Columns: character, time, outcome, caption, confidence, quality, similarity, covered_by, reason, image
        (the path), width, height, left, top, box_width, box_height, frame_index, embedding_row.
        """
        import pandas as pd

        frame = pd.DataFrame(self._columns(), index=pd.Index([record.id for record in self], name="id"))
        types = {"outcome": "category", "width": "Int64", "height": "Int64", "embedding_row": "Int64"}
        numbers = dict.fromkeys(("time", "confidence", "quality", "similarity"), "float64")
        return frame.astype({**types, **numbers})

    def to_arrow(self) -> pa.Table:
        """One row a record: id, the columns of `to_pandas`, and embedding. Needs pyarrow.

        Embeddings are lists of float32 of one length; null where a record has none.
        """
        import pyarrow as pa

        text, real, whole = pa.string(), pa.float64(), pa.int64()
        types = dict.fromkeys(("time", "confidence", "quality", "similarity"), real)
        types |= dict.fromkeys(("left", "top", "box_width", "box_height"), real)
        types |= dict.fromkeys(("width", "height", "frame_index", "embedding_row"), whole)
        columns = {"id": [record.id for record in self], **self._columns()}
        arrays = {name: pa.array(values, types.get(name, text)) for name, values in columns.items()}
        vectors = self.embeddings
        rows = [None if record.embedding_row is None else vectors[record.embedding_row] for record in self]
        arrays["embedding"] = pa.array(rows, pa.list_(pa.float32(), vectors.shape[1] if len(vectors) else 1))
        return pa.table(arrays)

    def to_datasets(self) -> datasets.Dataset:
        """The kept images as a ``datasets.Dataset``: image, text, character, id. Needs that package.

        What people rejected is left out, as in every export; what is held out of training is not. Images of a
        dataset on this machine are read when they are asked for.
        """
        import datasets

        kept = [r for r in self.kept if r.crop and not (r.review and r.review.rejected is not None)]
        here = "://" not in self.place
        features = datasets.Features(
            {
                "image": datasets.Image(),
                "text": datasets.Value("string"),
                "character": datasets.Value("string"),
                "id": datasets.Value("string"),
            }
        )
        columns = {
            "image": [
                str(record.crop.path)
                if here and record.crop
                else {"bytes": record.image_bytes(), "path": None}
                for record in kept
            ],
            "text": [record.caption for record in kept],
            "character": [record.character for record in kept],
            "id": [record.id for record in kept],
        }
        return datasets.Dataset.from_dict(columns, features=features)

    def review(
        self,
        *,
        film: str | os.PathLike[str] | None = None,
        cast: Cast | str | os.PathLike[str] | None = None,
        reviewer: str | None = None,
        port: int = 0,
    ) -> ReviewPage:
        """Opens the dataset for review on a page of this machine; each decision is kept at once.

        The page answers until `ReviewPage.stop`, the end of a ``with`` block, or the end of Python. The
        dataset is locked meanwhile.

        Args:
            film: The film that it was cut from: shows whole frames, and lets images be cut anew.
            cast: The cast, or the path of its file: captions are held against it while they are edited.
            reviewer: Who decides: stands beside each decision.
            port: Port on this machine; 0 takes a free one.

        Raises:
            AlreadyExists: While a run or another review is at work on the dataset, or for a port that is
                taken.
            InvalidInput: For another film than the dataset's.

        >>> with picchu.open_dataset("dataset/").review() as page:
        ...     page.url.startswith("http://127.0.0.1:")
        True
        """
        place = None if film is None else os.fspath(film)
        return ReviewPage(self._place, self._native.review(_cast_json(cast), place, reviewer, port))

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        cast: Cast | str | os.PathLike[str] | None = None,
        side: int = 448,
    ) -> Path:
        """Writes the review page as one file that needs no server and no network, to send to somebody.

        What is decided on it is saved as a patch, which `merge_reviews` takes.

        Args:
            path: The file.
            cast: The cast, or the path of its file, to judge captions by.
            side: Longest side of the pictures in pixels, 64 to 2048.
        """
        target = Path(path)
        _write_whole(target, self._native.report(_cast_json(cast), side).encode())
        return target

    def merge_reviews(self, *logs: str | os.PathLike[str]) -> tuple[str, ...]:
        """Takes over what was decided on copies of the dataset; open it again to see the result.

        Args:
            logs: Other copies' ``reviews.jsonl``, or patches that reports saved.

        Returns:
            Ids of the records about which people do not agree. The last decision counts.

        Raises:
            InvalidInput: For a line that cannot be read.
            NotFound: For a decision about a record that is not in the dataset.
        """
        return tuple(self._native.merge_reviews([os.fspath(log) for log in logs]))

    def review_by(
        self, reviewer: Reviewer, records: Iterable[Record] | None = None, *, batch: int = 32
    ) -> Dataset:
        """Has an object of your own decide about images, as a person does on the page of `review`.

        Args:
            reviewer: See `picchu.plugins.Reviewer`.
            records: What it is asked about; the kept images unless given.
            batch: How many at once.

        Returns:
            The dataset as it is now.

        Raises:
            ConfigError: For an object that is no reviewer.
            AlreadyExists: While a run or another review is at work on the dataset.

        >>> class Small:
        ...     name = "small images"
        ...
        ...     def review(self, records):
        ...         too_small = picchu.Review(rejected="too small")
        ...         return [too_small if record.crop.width < 300 else None for record in records]
        >>> reviewed = picchu.open_dataset("dataset").review_by(Small())
        """
        from picchu import plugins

        lines = plugins.decisions(reviewer, list(self.kept if records is None else records), batch)
        self._native.add_reviews("".join(json.dumps(line) + "\n" for line in lines))
        return open_dataset(self.place)

    def to_label_studio(
        self,
        path: str | os.PathLike[str],
        *,
        pictures: str | None = None,
        side: int = 1024,
        unreviewed: bool = False,
    ) -> int:
        """Writes a project for Label Studio into a folder: ``tasks.json`` and ``config.xml``.

        There is one task for each image that was selected or that nobody could be named in, with the name,
        the box and the caption that count so far as its prediction. `merge_label_studio` reads the answers.

        Args:
            path: The folder.
            pictures: Where the dataset's pictures lie for Label Studio, for example
                ``/data/local-files/?d=film/dataset`` or ``s3://bucket/film``. By default they are in the
                tasks.
            side: Longest side of pictures that are in the tasks, in pixels, 64 to 2048.
            unreviewed: Only images that no person decided about yet.

        Returns:
            How many tasks there are.

        Raises:
            NotFound: Where there is nothing to decide about.
            InvalidInput: For options out of range, or for names that Label Studio could not tell apart.
        """
        tasks, config, count = self._native.label_studio_project(pictures, side, unreviewed)
        Path(path).mkdir(parents=True, exist_ok=True)
        _write_whole(Path(path) / "tasks.json", tasks)
        _write_whole(Path(path) / "config.xml", config.encode())
        return count

    def merge_label_studio(self, *exports: str | os.PathLike[str]) -> tuple[str, ...]:
        """Takes over what was decided in Label Studio; open the dataset again to see the result.

        Answers that leave a name or a caption as the task showed it change nothing. Skipped annotations are
        no decisions. The same annotations count once, however often they are taken over.

        Args:
            exports: Label Studio's exports in the format *JSON*.

        Returns:
            Ids of the records about which people do not agree. The last decision counts.

        Raises:
            InvalidInput: For a file that is no such export. Nothing is taken over.
            NotFound: For a task about a record that is not in the dataset. Nothing is taken over.
        """
        return tuple(self._native.merge_label_studio([os.fspath(export) for export in exports]))

    def lint(self, cast: Cast | str | os.PathLike[str] | None = None) -> LintReport:
        """Judges the captions of the training images: length, names, looks, beginnings, variety.

        Args:
            cast: The cast, or the path of its file; shows captions that tell fixed looks as well.

        >>> report = picchu.open_dataset("dataset/").lint("cast.toml")
        >>> [finding for finding in report.findings if finding["rule"] == "looks"]
        []
        """
        body, text = self._native.lint(_cast_json(cast))
        data = json.loads(body)
        findings, near = data["findings"], data["near_identical"]
        return LintReport(data["captions"], data["names"], findings, near, data, text)

    def calibrate(
        self,
        min_similarity: float | None = None,
        *,
        wanted: int | None = None,
        answers: Iterable[tuple[str, str, bool]] = (),
        pairs: int = 12,
    ) -> ThresholdReport:
        """Says what each threshold would keep, from the stored embeddings; nothing is changed.

        Args:
            min_similarity: The threshold to judge; that of the dataset by default.
            wanted: Finds the threshold at which about so many images stay.
            answers: Pairs of ids with True where the two are the same for training: a threshold is fitted to
                them.
            pairs: How many pairs to show on each side of the cut.

        Raises:
            InvalidInput: For a threshold out of range, or an answer about records that are not there.

        >>> report = picchu.open_dataset("dataset/").calibrate(wanted=10)
        >>> report.kept <= report.candidates
        True
        """
        options = {
            "min_similarity": min_similarity,
            "wanted": wanted,
            "pairs": pairs,
            "answers": [{"a": a, "b": b, "same": same} for a, b, same in answers],
        }
        body, page = self._native.calibrate(json.dumps(options))
        return threshold_report(json.loads(body), page)

    def export(
        self,
        format: curate.Format,  # noqa: A002
        *,
        out: str | os.PathLike[str],
        uri: str | None = None,
        root: str | None = None,
    ) -> Export:
        """Writes what a trainer reads, reads it back as the trainer does, and fails if anything differs.

        Args:
            format: ``"diffusers"``, ``"kohya"``, ``"ai-toolkit"``, ``"webdataset"``, ``"hf"`` or ``"nova"``.
            out: The folder to write, whole or not at all; an earlier export there is replaced. For
                ``"nova"``, a name that ends with ``.jsonl`` writes the manifest alone.
            uri: For ``"nova"``: where the dataset's files will lie, for example ``"s3://bucket/film"``.
            root: Where the trainer will find the folder, for its settings file; where it is written unless
                given.

        Raises:
            InvalidInput: If the dataset breaks a rule of the trainer (the message lists all), or the service
                does not take such an address.
            AlreadyExists: If something else than an export is in ``out``.
        """
        path = Path(out)
        if format == "nova" and uri is None:
            raise InvalidInput(
                "nova needs uri: where the dataset's files will lie, for example s3://bucket/film",
                stage="export",
            )
        if format == "nova" and uri is not None and path.suffix == ".jsonl":
            body, records, uploads = self._native.export_nova(uri)
            _write_whole(path, body)
            return Export(path, records, tuple((self._path / key, address) for key, address in uploads))
        done = json.loads(_picchu.export(self._place, format, path, uri if format == "nova" else root))
        names = ("held_out", "left_out", "unreviewed", "characters")
        return Export(path, done["pictures"], **{name: done[name] for name in names})

    def export_custom_labels(
        self,
        film: places.Place | Sequence[places.Place],
        *,
        out: places.Place,
        uri: str | None = None,
        unreviewed: bool = False,
    ) -> CustomLabelsExport:
        """Writes training data for an Amazon Rekognition Custom Labels project.

        That is frames with the boxes of their characters, and manifests that name them; everything is read
        back as the service does. Frames come from the film again: a model that is to find characters in
        frames learns from frames. Those in which somebody is unnamed or was rejected are left out.

        Args:
            film: The film that the dataset was built from; several for a merged one.
            out: A folder, or an address such as ``"s3://bucket/labels"``.
            uri: For a folder: the address on S3 where its files will lie.
            unreviewed: Whether to take frames that no person looked at too.

        Raises:
            InvalidInput: If no frame is left, or the address is not on S3.
            NotFound: If a film is missing, or has no such frame any more.
        """
        films = [film] if isinstance(film, (str, os.PathLike)) else film
        body = _picchu.export_custom_labels(
            self._place, [places.place(film) for film in films], places.place(out), uri, unreviewed
        )
        return CustomLabelsExport(**json.loads(body))

    def validate(self, format: curate.Format | None = None, *, images: bool = False) -> curate.Validation:  # noqa: A002
        """Says every rule that it breaks; see `picchu.validate`, which can mend too."""
        return curate.validate(self._place, format, images=images)

    def stats(self) -> curate.Stats:
        """What the images show of each character, what they lack, and where the film has more of it.

        >>> stats = picchu.open_dataset("dataset/").stats()
        >>> stats.images == sum(character.images for character in stats.characters.values())
        True
        """
        return curate.stats(self._place)

    def split(self, *, held_out: float = 0.0, cap: int | None = None) -> curate.Split:
        """Decides which images train and keeps that in the dataset, for every later export.

        Args:
            held_out: How much of the images to hold out of training, by whole shots: 0 to 0.5.
            cap: Most training images of one character.

        Raises:
            InvalidInput: For a share or a cap out of range, or for a dataset without shots.
        """
        return curate.split(self._place, held_out, cap)

    def lineage(self, record: Record | str) -> curate.Lineage:
        """Where an image comes from and what became of it.

        Raises:
            NotFound: For an id that is not in the dataset.
        """
        return curate.lineage(self._place, record if isinstance(record, str) else record.id)

    def recut(self, record: Record | str, film: Place) -> curate.Recut:
        """Cuts a record's crop from its film again, and says whether it is the same file to the bit.

        Raises:
            InvalidInput: For another film than the record's.
            NotFound: For a record without an image.
        """
        return curate.recut(self._place, record if isinstance(record, str) else record.id, film)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Dataset, (self._place,))

    def __repr__(self) -> str:
        counts = self.counts
        return f"Dataset({self._place!r}: {counts.kept} kept of {counts.records} records)"

    def _repr_html_(self) -> str:
        return display.dataset(self)


class ReviewPage:
    """A review that people can open in a browser. Whoever has the address may decide."""

    def __init__(self, place: str, native: _picchu.ReviewPage) -> None:
        self._place = place
        self._native = native

    @property
    def url(self) -> str:
        """The page's address on this machine."""
        return self._native.url

    def stop(self) -> Dataset:
        """Ends the review and opens the dataset as it is now."""
        self._native.stop()
        return Dataset(self._place)

    def __enter__(self) -> ReviewPage:
        return self

    def __exit__(self, *_: object) -> None:
        self._native.stop()

    def __repr__(self) -> str:
        return f"<picchu.ReviewPage {self.url}>"

    def _repr_html_(self) -> str:
        return f'<a href="{self.url}" target="_blank" rel="noreferrer">Review the images</a>'


def gap_of(fields: Mapping[str, Any]) -> Gap:
    """A gap as the native module writes it."""
    return Gap(fields["from"], fields["until"], fields["reason"])


def _cast_json(cast: Cast | str | os.PathLike[str] | None) -> str | None:
    if cast is not None and not isinstance(cast, Cast):
        cast = Cast.load(cast)
    return None if cast is None else json.dumps(cast.to_dict())


def _review(judged: Mapping[str, Any]) -> Review:
    return Review(judged["rejected"], judged["caption"], judged["character"], tuple(judged["reviewers"]))


def _record(dataset: Dataset, index: int, line: dict[str, Any]) -> Record:
    detection, frame, crop = line["detection"], line["frame"], line.get("crop")
    review = _review(line["review"]) if line["review"] else None
    caption = line["caption"]["text"] if line.get("caption") else None
    return Record(
        id=line["id"],
        character=detection["character"],
        time=frame["time"],
        outcome=line["outcome"],
        caption=review.caption if review and review.caption is not None else caption,
        similarity=line.get("similarity"),
        covered_by=line.get("covered_by"),
        reason=line.get("reason"),
        confidence=detection["confidence"],
        bounding_box=BoundingBox(**detection["bounding_box"]),
        frame_index=frame["index"],
        frame_size=(frame["width"], frame["height"]),
        shot=frame.get("shot"),
        drawing=frame.get("drawing"),
        crop=_crop(dataset, crop, line["quality_score"]) if crop else None,
        subjects=tuple(map(Subject._read, line.get("subjects", ()))),
        alternatives=tuple(Alternative(**other) for other in detection.get("alternatives", ())),
        decided_by=detection["decided_by"],
        embedding_row=line["embedding"]["row"] if line.get("embedding") else None,
        review=review,
        film=line["film"],
        _dataset=dataset,
        _index=index,
    )


def _crop(dataset: Dataset, fields: dict[str, Any], score: float) -> Crop:
    return Crop(
        path=dataset.path / fields["image"],
        rect=PixelRect(**fields["rect"]),
        width=fields["width"],
        height=fields["height"],
        scale=fields["scale"],
        quality=Quality(score=score, **fields["quality"]),
        size_bytes=fields["size_bytes"],
        sha256=fields["sha256"],
    )


def _write_whole(path: Path, body: bytes) -> None:
    if not path.parent.is_dir():
        raise NotFound(f"cannot write {path}: its folder does not exist", stage="export")
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=".picchu-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
