"""Review in Label Studio, held against Label Studio's own library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import picchu

CAPTION = 'Nilo <script>alert(1)</script> "onerror=\u202e $image ' + "x" * 900
NAME = "\"/><Style>*{}</Style> $image & Söhne\x07\n'"
ELEMENTS = {"View", "Image", "Rectangle", "Header", "Choices", "Choice", "TextArea"}


@pytest.fixture
def copy(dataset: picchu.Dataset, tmp_path: Path) -> picchu.Dataset:
    """A dataset with a hostile caption and a hostile name."""
    place = Path(shutil.copytree(dataset.path, tmp_path / "dataset"))
    first, second = (record.id for record in dataset.kept[:2])
    decided = [
        {"record": first, "decision": "edit", "caption": CAPTION, "reviewer": "ann", "time_ms": 1},
        {"record": second, "decision": "rename", "character": NAME, "reviewer": "ann", "time_ms": 1},
    ]
    (place / "reviews.jsonl").write_text("".join(json.dumps(line) + "\n" for line in decided))
    return picchu.open_dataset(place)


def project(copy: picchu.Dataset, folder: Path, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    count = copy.to_label_studio(folder, **options)
    tasks = json.loads((folder / "tasks.json").read_text())
    assert len(tasks) == count
    return (folder / "config.xml").read_text(), tasks


def result(**answers: str) -> list[dict[str, Any]]:
    def region(name: str, answer: str) -> dict[str, Any]:
        kind, field = ("textarea", "text") if name == "caption" else ("choices", "choices")
        return {
            "id": name,
            "from_name": name,
            "to_name": "image",
            "type": kind,
            "value": {field: [answer]},
        }

    return [region(name, answer) for name, answer in answers.items()]


# The library's own, which are its business.
@pytest.mark.filterwarnings("ignore")
def test_label_studio_accepts_the_project(copy: picchu.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("label_studio_sdk", reason="label-studio-sdk is not installed")
    from label_studio_sdk.label_interface import LabelInterface

    for number, options in enumerate([{}, {"pictures": "/data/local-files/?d=film", "unreviewed": True}]):
        config, tasks = project(copy, tmp_path / str(number), **options)
        interface = LabelInterface(config)
        interface.validate()
        controls = {control.name: control for control in interface.controls}
        assert set(controls) == {"box", "verdict", "reason", "character", "caption"}
        assert controls["verdict"].labels == ["accept", "reject"]
        # The hostile name is one choice among the others, as its text.
        assert "\"/><Style>*{}</Style> ＄image & Söhne\ufffd '" in controls["character"].labels
        assert {element.tag for element in ElementTree.fromstring(config).iter()} == ELEMENTS
        for task in tasks:
            assert interface.validate_task({"data": task["data"]})
            for prediction in task["predictions"]:
                assert interface.validate_prediction(prediction, return_errors=True) == []
    # The check can fail, and what people answer passes it.
    character = controls["character"].labels[0]
    answer = {"result": result(verdict="reject", reason="blurred", character=character, caption="a")}
    assert interface.validate_annotation(answer)
    assert not interface.validate_annotation({"result": result(verdict="perhaps")})
    assert not interface.validate_task({"data": {"record": "a"}})


def test_answers_come_back(copy: picchu.Dataset, tmp_path: Path) -> None:
    config, tasks = project(copy, tmp_path / "project")
    assert "<Style>" not in config
    untouched = [task["predictions"][0]["result"] for task in tasks]
    at = "2026-11-24T14:34:56.007000Z"
    answers = [
        untouched[0] + result(verdict="accept"),
        untouched[1] + result(verdict="reject", reason="cut off"),
        result(verdict="accept", caption="Wara waits by the door."),
    ]
    for number, (task, answer) in enumerate(zip(tasks, answers, strict=False)):
        task["id"] = number
        task["annotations"] = [{"completed_by": 1, "updated_at": at, "result": answer}]
    export = tmp_path / "export.json"
    export.write_text(json.dumps(tasks[: len(answers)]))
    # Ann renamed the second; that it is no image for training is news.
    assert copy.merge_label_studio(export) == (tasks[0]["data"]["record"], tasks[1]["data"]["record"])
    records = {record.id: record for record in picchu.open_dataset(copy.path).records}
    first, second, *_ = (records[task["data"]["record"]] for task in tasks)
    assert (first.caption, first.review.rejected if first.review else "none") == (CAPTION, None)
    assert (second.character, second.review.rejected if second.review else None) == (NAME, "cut off")
    if len(tasks) > 2:
        assert records[tasks[2]["data"]["record"]].caption == "Wara waits by the door."


def test_what_is_no_export_is_refused(copy: picchu.Dataset, tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    before = (Path(copy.path) / "reviews.jsonl").read_bytes()
    stranger = {"data": {"record": "other-1"}, "annotations": []}
    for text, kind in [("[{", picchu.InvalidInput), (json.dumps([stranger]), picchu.NotFound)]:
        export.write_text(text)
        with pytest.raises(kind, match=r"export\.json"):
            copy.merge_label_studio(export)
    with pytest.raises(picchu.InvalidInput, match="64 to 2048"):
        copy.to_label_studio(tmp_path / "project", side=10_000)
    assert (Path(copy.path) / "reviews.jsonl").read_bytes() == before
