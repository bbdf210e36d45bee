"""Plain Python objects as detector, embedder, captioner and reviewer."""

from __future__ import annotations

import asyncio
import pickle
import runpy
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import picchu
from conftest import ROOT

MIDDLE = picchu.BoundingBox(0.3, 0.1, 0.4, 0.8)


class Middle:
    """Nilo is always in the middle of the picture."""

    version = "1"
    max_batch = 3

    def __init__(self, cast: picchu.Cast) -> None:
        self.cast = cast
        self.asked: list[int] = []
        self.threads: set[int] = set()

    def detect(self, frames: Sequence[picchu.Frame]) -> list[list[picchu.Detection]]:
        self.asked.append(len(frames))
        self.threads.add(threading.get_ident())
        for frame in frames:
            assert frame.to_numpy().shape == (frame.height, frame.width, 3)
        return [[picchu.Detection(MIDDLE, "Nilo", 0.9)] for _ in frames]

    def __getstate__(self) -> dict[str, Any]:
        return {"cast": self.cast, "asked": [], "threads": set()}


class Colours:
    """The mean colours of nine fields."""

    version = "1"
    dimensions = 27
    default_min_similarity = 0.9999

    async def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        await asyncio.sleep(0)
        assert not any(crop.flags.writeable for crop in crops)
        fields = [[np.array_split(row, 3, axis=1) for row in np.array_split(crop, 3)] for crop in crops]
        return np.array(
            [[cell.mean(axis=(0, 1)) for row in rows for cell in row] for rows in fields]
        ).reshape(len(crops), -1)


class Numbered:
    """Tells what it is asked in words that are never the same."""

    version = "1"
    settings: ClassVar[object] = {"words": 3}
    max_batch = 4
    words = ("walks", "waits", "turns", "waves", "laughs", "sits", "looks up", "runs")

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.count = 0

    def caption(self, requests: Sequence[picchu.CaptionRequest]) -> list[str | picchu.PicchuError]:
        self.batches.append(len(requests))
        # A model takes its time, and questions gather meanwhile.
        time.sleep(0.2)
        answers: list[str | picchu.PicchuError] = []
        for request in requests:
            assert request.image.ndim == 3
            names = " and ".join(subject.character for subject in request.subjects)
            self.count += 1
            word = self.words[self.count % len(self.words)]
            answers.append(f"{word.capitalize()} past tree {self.count}, {names} in scene {self.count * 7}")
        return answers


def plan_with(film: Path, cast: Path, detector: Any = None, captioner: Any = None) -> picchu.Plan:
    return (
        picchu.film(film)
        .sample(fps=1, limit=10)
        .detect(detector or Middle(picchu.Cast.load(cast)))
        .dedupe(Colours())
        .caption(captioner or Numbered())
    )


def test_objects_of_ones_own_make_a_dataset(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    detector, captioner = Middle(picchu.Cast.load(cast_path)), Numbered()
    plan = plan_with(film_path, cast_path, detector, captioner)
    explained = str(plan.explain())
    assert "Middle 1" in explained
    assert "Numbered 1" in explained
    assert plan.estimate() == 0
    dataset = plan.run(tmp_path / "one", progress=False)
    assert sum(detector.asked) == 10
    assert max(detector.asked) == 3, "asked in batches"
    assert detector.threads == {threading.get_ident()}, "in the thread that runs the plan"
    assert 1 < max(captioner.batches) <= 4, "asked side by side"
    assert dataset.counts.characters["Nilo"] >= 4
    assert all(record.decided_by == "Middle" for record in dataset)
    assert all(record.caption and "Nilo" in record.caption for record in dataset.kept)
    assert dataset.embeddings.shape[1] == 27
    again = Middle(picchu.Cast.load(cast_path))
    plan_with(film_path, cast_path, again).run(tmp_path / "one", progress=False)
    assert again.asked == [], "a finished dataset is not made again"
    copy = pickle.loads(pickle.dumps(plan)).run(tmp_path / "two", progress=False)
    assert [record.id for record in copy] == [record.id for record in dataset]


def test_what_an_object_raises_reaches_the_caller(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    class Broken(Middle):
        def detect(self, frames: Sequence[picchu.Frame]) -> list[list[picchu.Detection]]:
            if frames[0].index >= 6:
                raise LookupError("no weights today")
            return super().detect(frames)

    broken = Broken(picchu.Cast.load(cast_path))
    broken.name = "Middle"  # type: ignore[attr-defined]
    with pytest.raises(LookupError, match="no weights today") as caught:
        plan_with(film_path, cast_path, broken).run(tmp_path / "run", progress=False)
    assert caught.traceback[-1].name == "detect"
    whole = Middle(picchu.Cast.load(cast_path))
    dataset = plan_with(film_path, cast_path, whole).run(tmp_path / "run", progress=False)
    assert sum(whole.asked) <= 4 + 3, "what was done before is kept"
    assert dataset.counts.frames == 10

    class Shy(Numbered):
        def caption(self, requests: Sequence[picchu.CaptionRequest]) -> list[str | picchu.PicchuError]:
            answers = super().caption(requests)
            return [picchu.ContentFiltered("not this one") if self.count < 3 else answers[0], *answers[1:]]

    shy = plan_with(film_path, cast_path, captioner=Shy()).run(tmp_path / "shy", progress=False)
    assert shy.counts.uncaptioned >= 0
    assert shy.counts.kept > 0


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([], "gave 0 answers"),
        ([["a box"]], "picchu.Detection is wanted"),
        ([[picchu.Detection(MIDDLE, "Nobody")]], "not in the cast"),
        ([[picchu.Detection(MIDDLE, "Nilo", 1.5)]], "confidence of 1.5"),
        ([[picchu.Detection(picchu.BoundingBox(0, 0, float("nan"), 1), "Nilo")]], "is empty"),
    ],
)
def test_answers_are_checked(
    answer: Any, says: str, film_path: Path, cast_path: Path, tmp_path: Path
) -> None:
    class Odd(Middle):
        max_batch = 1

        def detect(self, frames: Sequence[picchu.Frame]) -> Any:
            return answer

    plan = plan_with(film_path, cast_path, Odd(picchu.Cast.load(cast_path)))
    with pytest.raises(picchu.ConfigError, match=says):
        plan.run(tmp_path / "run", progress=False)


def test_what_is_no_plugin_is_refused_at_once(film_path: Path, cast_path: Path) -> None:
    plan = picchu.film(film_path)
    with pytest.raises(picchu.ConfigError, match="no detector: it has no cast, detect, version"):
        plan.detect(object())  # type: ignore[arg-type]
    with pytest.raises(picchu.ConfigError, match=r"its cast is a list, not a picchu\.Cast"):
        plan.detect(Middle(["Nilo"]))  # type: ignore[arg-type]
    with pytest.raises(
        picchu.ConfigError, match="no embedder: it has no default_min_similarity, dimensions, embed"
    ):
        plan.dedupe(Numbered())  # type: ignore[arg-type]
    with pytest.raises(picchu.ConfigError, match="no captioner: it has no caption"):
        plan.caption(Colours())  # type: ignore[arg-type]
    strange = Numbered()
    strange.settings = object()  # type: ignore[misc]
    with pytest.raises(picchu.ConfigError, match="settings of Numbered"):
        plan_with(film_path, cast_path, captioner=strange).explain()


def test_plans_run_in_event_loops(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    async def both() -> list[picchu.Dataset]:
        plan = plan_with(film_path, cast_path)
        explanation = await plan.explain_async()
        assert explanation.stages
        runs = [plan_with(film_path, cast_path).run_async(tmp_path / name, progress=False) for name in "ab"]
        return await asyncio.gather(*runs)

    one, other = asyncio.run(both())
    assert [record.id for record in one] == [record.id for record in other]

    async def inside() -> picchu.Dataset:
        # As in a notebook: a loop runs in this thread, and the embedder wants one of its own.
        return plan_with(film_path, cast_path).run(tmp_path / "c", progress=False)

    assert [record.id for record in asyncio.run(inside())] == [record.id for record in one]


def test_a_cancelled_task_ends_its_call(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    plan = picchu.film(film_path).sample(every="frame").detect(picchu.local.PaletteDetector(cast_path))

    async def cancelled() -> float:
        running = asyncio.ensure_future(plan.run_async(tmp_path / "run", progress=False))
        await asyncio.sleep(2)
        began = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return time.monotonic() - began

    assert asyncio.run(cancelled()) < 2
    # The dataset is free again.
    quick = plan.sample(fps=2, start=7.0, limit=2)
    assert quick.run(tmp_path / "other", progress=False).counts.frames == 2
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled_at_once(plan, tmp_path / "run"))


async def cancelled_at_once(plan: picchu.Plan, place: Path) -> None:
    running = asyncio.ensure_future(plan.run_async(place, progress=False))
    await asyncio.sleep(0.3)
    running.cancel()
    await running


def test_cancelling_ends_a_loop_of_short_calls_once(dataset: picchu.Dataset) -> None:
    cleaned: list[int] = []

    def work() -> None:
        try:
            while True:
                picchu.open_dataset(dataset.path)
        finally:
            # What ends a bill, for example, must go through.
            cleaned.append(len(picchu.open_dataset(dataset.path)))

    async def cancelled() -> None:
        running = asyncio.ensure_future(picchu.in_thread(work))
        await asyncio.sleep(0.2)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert cleaned == [len(dataset)]


def test_a_reviewer_of_ones_own_decides(dataset: picchu.Dataset, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(dataset.path, tmp_path / "copy")

    class Strict:
        name = "strict"

        def review(self, records: Sequence[picchu.Record]) -> list[picchu.Review | None]:
            answers: list[picchu.Review | None] = [picchu.Review(rejected="dull"), picchu.Review()]
            return answers + [None] * (len(records) - 2)

    before = picchu.open_dataset(tmp_path / "copy")
    after = before.review_by(Strict())
    first, second = before.kept[0].id, before.kept[1].id
    assert after[first].review == picchu.Review(rejected="dull", reviewers=("strict",))
    assert after[second].review == picchu.Review(reviewers=("strict",))
    assert sum(record.review is not None for record in after) == 2
    with pytest.raises(picchu.ConfigError, match="no reviewer"):
        before.review_by(object())  # type: ignore[arg-type]

    class Lazy(Strict):
        def review(self, records: Sequence[picchu.Record]) -> list[picchu.Review | None]:
            return []

    with pytest.raises(picchu.ConfigError, match="strict gave 0 answers"):
        before.review_by(Lazy())


def test_the_models_of_the_page_plug_in(film_path: Path, cast_path: Path, tmp_path: Path) -> None:
    """With random weights, and without ultralytics, which is played."""
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra `train` is not installed")
    plugins = runpy.run_path(str(ROOT / "examples" / "plugins.py"))
    cast = picchu.Cast.load(cast_path)

    class Numbers:
        def __init__(self, *values: Any) -> None:
            self.values = list(values)

        def tolist(self) -> list[Any]:
            return self.values

    class Model:
        def predict(self, pictures: list[NDArray[np.uint8]], *, conf: float, verbose: bool) -> list[Any]:
            boxes = SimpleNamespace(
                xyxy=Numbers([300, 80, 800, 700], [0, 0, 900, 700]),
                conf=Numbers(1.0000001, 0.4),
                cls=Numbers(1.0, 0.0),
            )
            shapes = [picture.shape[:2] for picture in pictures]
            names = {0: "person", 1: "Nilo"}
            return [SimpleNamespace(orig_shape=shape, boxes=boxes, names=names) for shape in shapes]

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    seeing = {**small, "image_size": 64, "patch_size": 16}
    clip = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=small, vision_config=seeing, projection_dim=16)
    )
    crops = transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64)
    tokens = {"vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    blip = transformers.BlipForConditionalGeneration(
        transformers.BlipConfig(text_config={**small, **tokens}, vision_config=seeing, projection_dim=16)
    )

    class Processor:
        def __init__(self) -> None:
            self.pictures = transformers.BlipImageProcessor(size={"height": 64, "width": 64})

        def __call__(self, **what: Any) -> Any:
            return self.pictures(**what)

        def batch_decode(self, tokens: Any, *, skip_special_tokens: bool) -> list[str]:
            return [" ".join(f"word{int(token)}" for token in row[:12]) for row in tokens]

    plan = (
        picchu.film(film_path)
        .sample(fps=1, start=7.0, limit=6)
        .detect(plugins["Yolo"](Model(), cast, version="1"))
        .dedupe(plugins["Clip"](clip, crops, version="1"), min_similarity=0.999999)
        .caption(plugins["ImageToText"](blip, Processor(), version="1"))
    )
    dataset = plan.run(tmp_path / "run", progress=False)
    assert dataset.counts.characters["Nilo"] >= 3
    assert dataset.counts.unsure == 6, "persons whom nobody has named"
    assert dataset.embeddings.shape[1] == 16
    assert any(record.caption and "Nilo: word" in record.caption for record in dataset.kept)
