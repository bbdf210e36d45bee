"""A YOLO, a CLIP and a captioner of transformers, plugged into picchu. docs/plugins.md shows how they are used.

Each takes a model that you have loaded: from the hub, from a file, on whatever device you like.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import picchu


class Yolo:
    """Finds characters with an ultralytics model. A class with the name of a character names it; boxes of other
    classes are unsure, for review to name."""

    def __init__(self, model: Any, cast: picchu.Cast, *, version: str, min_confidence: float = 0.25) -> None:
        self.model, self.cast, self.version = model, cast, version
        self.settings = {"min_confidence": min_confidence}

    def detect(self, frames: Sequence[picchu.Frame]) -> list[list[picchu.Detection]]:
        # Ultralytics takes arrays as BGR.
        pictures = [np.ascontiguousarray(frame.to_numpy()[..., ::-1]) for frame in frames]
        results = self.model.predict(pictures, conf=self.settings["min_confidence"], verbose=False)
        return [self._detections(result) for result in results]

    def _detections(self, result: Any) -> list[picchu.Detection]:
        height, width = result.orig_shape
        boxes, found = result.boxes, []
        for edges, confidence, number in zip(
            boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True
        ):
            name = result.names[int(number)]
            box = picchu.BoundingBox.from_pixels(*edges, width=width, height=height)
            character = name if name in self.cast.names else None
            found.append(picchu.Detection(box, character, min(confidence, 1.0), label=name))
        return found


class Clip:
    """Embeds crops with the image part of a CLIP or SigLIP of transformers."""

    max_batch = 32

    def __init__(
        self, model: Any, processor: Any, *, version: str, default_min_similarity: float = 0.95
    ) -> None:
        self.model, self.processor, self.version = model, processor, version
        self.dimensions = model.config.projection_dim
        self.default_min_similarity = default_min_similarity

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        import torch

        # The arrays are picchu's own memory, which torch must not be handed.
        pictures = [crop.copy() for crop in crops]
        inputs = self.processor(images=pictures, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            vectors = self.model.get_image_features(**inputs)
        # An output object since transformers 5, a tensor before.
        vectors = getattr(vectors, "pooler_output", vectors)
        return vectors.float().cpu().numpy()


class ImageToText:
    """Describes crops with an image-to-text model of transformers, such as BLIP, and names who is in them."""

    max_batch = 8

    def __init__(self, model: Any, processor: Any, *, version: str, max_new_tokens: int = 40) -> None:
        self.model, self.processor, self.version = model, processor, version
        self.settings = {"max_new_tokens": max_new_tokens}

    def caption(self, requests: Sequence[picchu.CaptionRequest]) -> list[str]:
        import torch

        pictures = [request.image.copy() for request in requests]
        inputs = self.processor(images=pictures, return_tensors="pt").to(self.model.device)
        # A caption that was refused, for being like another for example, is drawn by lot the next time.
        again = any(request.attempt for request in requests)
        torch.manual_seed(max(request.attempt for request in requests))
        with torch.inference_mode():
            tokens = self.model.generate(**inputs, **self.settings, do_sample=again)
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [self._named(request, text.strip()) for request, text in zip(requests, texts, strict=True)]

    @staticmethod
    def _named(request: picchu.CaptionRequest, text: str) -> str:
        names = " and ".join(subject.character for subject in request.subjects)
        return f"{names}: {text}"
