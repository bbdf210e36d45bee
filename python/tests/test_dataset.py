from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import picchu
from picchu.dataset import Review


def test_datasets_are_sequences_of_records(dataset: picchu.Dataset) -> None:
    assert len(dataset) == dataset.counts.records == len(dataset.records)
    first = dataset[0]
    assert dataset[first.id] is first
    assert dataset[:2] == dataset.records[:2]
    assert first in dataset
    with pytest.raises(KeyError):
        dataset["nobody"]
    assert [record.time for record in dataset] == sorted(record.time for record in dataset)
    assert pickle.loads(pickle.dumps(dataset)).records == dataset.records
    assert f"{dataset.counts.kept} kept" in repr(dataset)
    assert dataset.contact_sheet.is_file()


def test_records_tell_their_lineage(dataset: picchu.Dataset) -> None:
    kept = dataset.kept[0]
    assert kept.crop is not None
    assert kept.quality is not None
    assert 0 <= kept.quality.score <= 1
    assert kept.frame_size == (1280, 720)
    assert kept.crop.rect.x + kept.crop.rect.width <= 1280
    assert kept.subjects[0].character == kept.character
    assert kept.character in (kept.caption or "")
    duplicate = next(record for record in dataset if record.outcome == "duplicate")
    assert duplicate.covered_by is not None
    assert dataset[duplicate.covered_by].outcome == "kept"
    assert duplicate.similarity is not None
    assert duplicate.embedding is not None
    cover = dataset[duplicate.covered_by].embedding
    assert cover is not None
    assert float(duplicate.embedding @ cover) == pytest.approx(duplicate.similarity, abs=1e-5)


def test_images_are_read_when_asked_for(dataset: picchu.Dataset) -> None:
    kept = dataset.kept[0]
    assert kept.crop is not None
    pixels = kept.to_numpy()
    assert pixels.shape == (kept.crop.height, kept.crop.width, 3)
    assert kept.image.size == (kept.crop.width, kept.crop.height)
    assert (np.asarray(kept.image) == pixels).all()
    assert kept.image_bytes() == kept.crop.path.read_bytes()


def test_embeddings_are_unit_rows(dataset: picchu.Dataset) -> None:
    embeddings = dataset.embeddings
    assert embeddings.dtype == np.float32
    assert not embeddings.flags.writeable
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    named = [r for r in dataset if r.embedding_row is not None and r.character is not None]
    quality = [(r.quality.score if r.quality else 0) * r.confidence for r in named]
    rows = np.stack([r.embedding for r in named if r.embedding is not None])
    selection = picchu.dedupe(rows, min_similarity=0.94, quality=quality)
    assert [named[row].id for row in selection.kept] == [r.id for r in dataset.kept]


def test_datasets_become_tables(dataset: picchu.Dataset) -> None:
    table = dataset.to_pandas()
    assert list(table.index) == [record.id for record in dataset]
    assert (table["outcome"] == "kept").sum() == dataset.counts.kept
    assert table["quality"].dtype == np.float64
    assert set(table.loc[table["outcome"] == "duplicate", "covered_by"]) <= set(table.index)


def test_galleries_show_images_without_help(dataset: picchu.Dataset) -> None:
    html = dataset._repr_html_()
    assert html.count("data:image/jpeg;base64,") == dataset.counts.kept
    assert "http" not in html
    assert "<script" not in html
    assert "data:image/jpeg" in dataset.kept[0]._repr_html_()


def test_hostile_words_are_escaped(dataset: picchu.Dataset, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dataset.path, copy)
    hostile = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    line = {
        "record": dataset.kept[0].id,
        "decision": "edit",
        "caption": hostile,
        "reviewer": hostile,
        "time_ms": 1,
    }
    (copy / "reviews.jsonl").write_text(json.dumps(line) + "\n")
    edited = picchu.open_dataset(copy)
    assert edited.kept[0].caption == hostile
    assert edited.kept[0].review == Review(caption=hostile, reviewers=(hostile,))
    for html in (edited._repr_html_(), edited.kept[0]._repr_html_()):
        assert "<script" not in html
        assert "<img src=x" not in html
        assert "&lt;script&gt;" in html


def test_broken_datasets_are_refused(dataset: picchu.Dataset, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no finished dataset"):
        picchu.open_dataset(tmp_path / "nothing")
    copy = tmp_path / "copy"
    shutil.copytree(dataset.path, copy)
    first = next((copy / "images").iterdir())
    first.write_bytes(b"something else")
    edited = picchu.open_dataset(copy)
    damaged = next(r for r in edited if r.crop and r.crop.path == first)
    with pytest.raises(picchu.InvalidInput, match="not the file"):
        damaged.to_numpy()
    (copy / "records.jsonl").write_text("{}\n")
    with pytest.raises(picchu.InvalidInput, match=r"records\.jsonl"):
        picchu.open_dataset(copy)


def test_exports_are_checked(dataset: picchu.Dataset, tmp_path: Path) -> None:
    out = tmp_path / "train.jsonl"
    with pytest.raises(picchu.InvalidInput, match="s3://"):
        dataset.export("nova", uri="my-bucket", out=out)
    if dataset.counts.kept < 5:
        with pytest.raises(picchu.InvalidInput, match="rules"):
            dataset.export("nova", uri="s3://my-bucket/film", out=out)
        assert not out.exists()
        return
    export = dataset.export("nova", uri="s3://my-bucket/film", out=out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert export.records == len(lines) == dataset.counts.kept
    assert lines[0]["caption"] == dataset.kept[0].caption
    path, address = export.uploads[0]
    assert path.is_file()
    assert address == lines[0]["image-ref"]
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        dataset.export("nova", uri="s3://my-bucket/film", out=tmp_path / "none" / "train.jsonl")


def test_records_make_arrow_tables(dataset: picchu.Dataset) -> None:
    pa = pytest.importorskip("pyarrow")
    table = dataset.to_arrow()
    assert table.num_rows == len(dataset)
    assert table["id"].to_pylist() == [record.id for record in dataset]
    assert table["time"].type == pa.float64()
    first = next(record for record in dataset if record.embedding_row is not None)
    row = table["id"].to_pylist().index(first.id)
    np.testing.assert_array_equal(table["embedding"][row].as_py(), dataset.embeddings[first.embedding_row])
    assert table["outcome"].to_pylist() == [record.outcome for record in dataset]
    assert table["width"].to_pylist() == [record.crop and record.crop.width for record in dataset]


def test_kept_images_make_a_hugging_face_dataset(dataset: picchu.Dataset) -> None:
    pytest.importorskip("datasets")
    made = dataset.to_datasets()
    assert made["text"][:] == [record.caption for record in dataset.kept]
    assert made[0]["image"].size == dataset.kept[0].image.size


def test_what_is_rejected_is_in_no_hugging_face_dataset(dataset: picchu.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    shutil.copytree(dataset.path, tmp_path / "copy")

    class Strict:
        name = "strict"

        def review(self, records: Sequence[picchu.Record]) -> list[picchu.Review | None]:
            return [picchu.Review(rejected="dull"), *[None] * (len(records) - 1)]

    reviewed = picchu.open_dataset(tmp_path / "copy").review_by(Strict())
    assert reviewed.to_datasets()["id"][:] == [record.id for record in reviewed.kept[1:]]


def test_pictures_become_tensors(dataset: picchu.Dataset) -> None:
    torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
    picture = dataset.kept[0].to_numpy()
    tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    assert tuple(tensor.shape) == (3, *picture.shape[:2])
