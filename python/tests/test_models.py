"""Models of one's own: what picchu answers is what ONNX Runtime answers, decoded by numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import picchu

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIDE = 64


def save(path: Path, nodes: list[Any], weights: dict[str, Any], output: list[Any], names: str = "") -> Path:
    helper = onnx.helper
    value = helper.make_tensor_value_info
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", float32, ["pictures", 3, SIDE, SIDE])],
        [value("y", float32, output)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names:
        helper.set_model_props(model, {"names": names, "task": "detect"})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def encoder(path: Path) -> Path:
    """A small vision transformer with random weights: patches, one block of attention, the first token."""
    random, node = np.random.default_rng(3), onnx.helper.make_node
    width = 32

    def weight(*shape: int) -> Any:
        return (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    nodes = [
        node("Conv", ["x", "patches"], ["p"], strides=[16, 16], kernel_shape=[16, 16]),
        node("Reshape", ["p", "shape"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        node("LayerNormalization", ["t", "gain", "bias"], ["n"], axis=-1),
        *(node("MatMul", ["n", name], [f"{name}{name}"]) for name in "qkv"),
        node("Transpose", ["kk"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["qq", "kt"], ["s"]),
        node("Softmax", ["s"], ["a"], axis=-1),
        node("MatMul", ["a", "vv"], ["o"]),
        node("Add", ["t", "o"], ["b"]),
        node("Tanh", ["b"], ["y"]),
    ]
    weights = {
        "patches": weight(width, 3, 16, 16),
        "shape": np.array([0, width, -1]),
        "gain": np.ones(width, np.float32),
        "bias": np.zeros(width, np.float32),
        **{name: weight(width, width) for name in "qkv"},
    }
    return save(path, nodes, weights, ["pictures", 16, width])


def detector(path: Path) -> Path:
    """A head as YOLO v8 exports it, with random weights: 4 + 2 rows, one column a cell of 8 pixels."""
    random, node = np.random.default_rng(5), onnx.helper.make_node
    cells = (SIDE // 8) ** 2
    centre = np.arange(4, SIDE, 8, dtype=np.float32)
    grid = np.stack([np.tile(centre, len(centre)), np.repeat(centre, len(centre))])
    nodes = [
        node("Conv", ["x", "filters"], ["c"], strides=[8, 8], kernel_shape=[8, 8]),
        node("Reshape", ["c", "shape"], ["r"]),
        node("Sigmoid", ["r"], ["u"]),
        node("Mul", ["u", "factors"], ["m"]),
        node("Add", ["m", "offsets"], ["y"]),
    ]
    offsets = np.zeros((6, cells), np.float32)
    offsets[:2] = grid - 6
    offsets[2:4] = 6
    weights = {
        "filters": random.standard_normal((6, 3, 8, 8)).astype(np.float32) / 4,
        "shape": np.array([0, 6, -1]),
        "factors": np.array([[12], [12], [30], [30], [1], [1]], np.float32),
        "offsets": offsets,
    }
    return save(path, nodes, weights, ["pictures", 6, cells], "{0: 'Nilo', 1: 'person'}")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    random, folder = np.random.default_rng(1), tmp_path / "film"
    folder.mkdir()
    for number in range(6):
        small = random.integers(0, 255, (6, 8, 3), np.uint8)
        picture = Image.fromarray(small).resize((SIDE, 48), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
    return folder


def cast() -> picchu.Cast:
    return picchu.Cast([picchu.Character("Nilo")])


def read(path: Path) -> Any:
    from PIL import Image

    return np.asarray(Image.open(path), np.float32)


def test_boxes_are_those_of_the_runtime(pictures: Path, tmp_path: Path) -> None:
    model = detector(tmp_path / "yolo.onnx")
    dataset = (
        picchu.film(pictures)
        .sample(every="frame")
        .detect(picchu.local.OnnxDetector(model, cast()))
        .crop(min_side=16, min_character_side=0)
        .run(tmp_path / "dataset", progress=False)
    )
    session = onnxruntime.InferenceSession(model)
    expected: list[tuple[int, str | None, float, list[float]]] = []
    for index, path in enumerate(sorted(pictures.iterdir())):
        square = np.full((SIDE, SIDE, 3), 114, np.float32)
        square[8:56] = read(path)
        (answer,) = session.run(None, {"x": square.transpose(2, 0, 1)[None] / np.float32(255)})
        for score, kind, box in decoded(answer[0]):
            left, right = np.clip(box[[0, 2]] / SIDE, 0, 1)
            top, bottom = np.clip((box[[1, 3]] - 8) / 48, 0, 1)
            if right > left and bottom > top:
                name = "Nilo" if kind == 0 else None
                expected.append((index, name, float(score), [left, top, right - left, bottom - top]))
    assert len(expected) > 20
    found = [
        (r.frame_index, r.character, r.confidence, [b.left, b.top, b.width, b.height])
        for r in dataset
        for b in [r.bounding_box]
    ]
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (_, _, score, box), (_, _, reference, corners) in zip(found, expected, strict=True):
        assert score == pytest.approx(reference, abs=1e-4)
        assert box == pytest.approx(corners, abs=1e-4)


def decoded(answer: Any) -> list[tuple[float, int, Any]]:
    """The definition of the output of YOLO v8, with suppression at 0.7 within a class."""
    scores, kinds = answer[4:].max(0), answer[4:].argmax(0)
    half = answer[2:4] / 2
    boxes = np.concatenate([answer[:2] - half, answer[:2] + half]).T
    kept: list[tuple[float, int, Any]] = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] < 0.25:
            break
        if all(kinds[i] != kind or iou(boxes[i], box) <= 0.7 for _, kind, box in kept):
            kept.append((scores[i], kinds[i], boxes[i]))
    return kept


def iou(a: Any, b: Any) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - shared)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_vectors_are_those_of_the_runtime(pictures: Path, tmp_path: Path, pool: str) -> None:
    model = encoder(tmp_path / "vit.onnx")
    mean, std = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
    description = {
        "kind": "embedder",
        "fit": "letterbox",
        "fill": 0,
        "mean": mean,
        "std": std,
        "pool": pool,
        "dim": 32,
        "default_threshold": 0.999,
    }
    (tmp_path / "vit.json").write_text(json.dumps(description))
    whole = {"input": "x", "output": "y", "names": ["Nilo"]}
    boxes = save(
        tmp_path / "whole.onnx",
        [
            onnx.helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=1),
            onnx.helper.make_node("Squeeze", ["m", "axis"], ["s"]),
            onnx.helper.make_node("Mul", ["s", "zero"], ["z"]),
            onnx.helper.make_node("Add", ["z", "row"], ["y"]),
        ],
        {
            "axis": np.array([3]),
            "zero": np.zeros((1, 1, 1), np.float32),
            "row": np.array([[[0, 8, SIDE, 56, 0.9, 0]]], np.float32),
        },
        ["pictures", 1, 6],
    )
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    dataset = (
        picchu.film(pictures)
        .sample(every="frame")
        .detect(picchu.local.OnnxDetector(boxes, cast(), threads=1))
        .crop(pad=0, min_side=16, min_character_side=0)
        .dedupe(picchu.local.OnnxEmbedder(model, threads=1))
        .run(tmp_path / "dataset", progress=False)
    )
    session = onnxruntime.InferenceSession(model)
    assert len(dataset.embeddings) == 6
    for record in dataset:
        square = np.zeros((SIDE, SIDE, 3), np.float32)
        square[8:56] = record.to_numpy()
        pixels = ((square / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
        tokens = session.run(None, {"x": pixels})[0][0]
        vector = tokens[0] if pool == "cls" else tokens.mean(0)
        assert record.embedding == pytest.approx(vector / np.linalg.norm(vector), abs=1e-4)


def test_what_is_missing_is_said(pictures: Path, tmp_path: Path) -> None:
    plan = picchu.film(pictures).sample(every="frame")
    nowhere = plan.detect(picchu.local.OnnxDetector(tmp_path / "none.onnx", cast()))
    with pytest.raises(picchu.NotFound, match=r"none\.onnx"):
        nowhere.run(tmp_path / "dataset", progress=False)
    model = detector(tmp_path / "yolo.onnx")
    lost = plan.detect(picchu.local.OnnxDetector(model, cast(), library=tmp_path))
    with pytest.raises(picchu.NotFound, match="pip install onnxruntime"):
        lost.run(tmp_path / "dataset", progress=False)
    encoded = plan.detect(picchu.local.OnnxDetector(encoder(tmp_path / "vit.onnx"), cast()))
    with pytest.raises(picchu.InvalidInput, match="names"):
        encoded.run(tmp_path / "dataset", progress=False)
