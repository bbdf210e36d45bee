"""Draws for an endpoint: the functions that the inference toolkit of the container calls.

A request is a panel as JSON, ``{"prompt": …, "seed": …, "count": …, "width": …, "height": …}``; the answer
``{"images": […]}`` holds PNG files as base64.
"""

from __future__ import annotations

import base64
import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

from picchu_training.draw import Artist
from picchu_training.settings import Drawing, Panel


def model_fn(model_dir: str, context: Any = None) -> Artist:
    """Loads the base model and the LoRA, once."""
    drawing = json.loads(os.environ["PICCHU_DRAWING"])
    drawing["lora"] = str(Path(model_dir))
    return Artist(Drawing.of(drawing, "PICCHU_DRAWING"))


def transform_fn(
    artist: Artist, body: str | bytes, content_type: str, accept: str, context: Any = None
) -> str:
    """Draws what a request asks for."""
    panel = Panel.of(json.loads(body), "the request")
    images = []
    for number in range(panel.count):
        file = BytesIO()
        artist.draw(panel, number).save(file, "PNG")
        images.append(base64.b64encode(file.getvalue()).decode("ascii"))
    return json.dumps({"images": images})
