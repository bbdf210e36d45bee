"""The model card: what the weights are, under which licence, and the dataset they came from."""

from __future__ import annotations

import json
from typing import Any

from .settings import Settings

_SHOWN = (
    "resolution", "rank", "lora_alpha", "learning_rate", "schedule", "steps", "batch_size",
    "gradient_accumulation", "caption_dropout", "mixed_precision", "seed",
)  # fmt: skip


def model_card(settings: Settings, *, licence: str, family: str, dataset: dict[str, Any], loss: float) -> str:
    """The text of ``README.md``, with the front matter that model hubs read."""
    header = {
        "base_model": settings.base_model,
        "license": licence,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["lora", "diffusers", "text-to-image", "picchu"],
    }
    # JSON is YAML, and escapes what people wrote.
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in header.items()), "---", ""]
    lines += [f"# {_plain(settings.name)}", "", f"A LoRA for `{_plain(settings.base_model)}`.", ""]
    lines += [
        "The base model's licence holds for what is made with it: "
        f"**{_plain(licence)}**. Whether the pictures below may be used so is the user's to know.",
        "",
        "## Use",
        "```python",
        "import torch",
        f"from diffusers import {family}",
        f"pipeline = {family}.from_pretrained({settings.base_model!r}, torch_dtype=torch.bfloat16)",
        "pipeline.to('cuda')",
        "pipeline.load_lora_weights('.')",
        f"pipeline(prompt={(settings.sample_prompts or ('…',))[0]!r}).images[0].save('drawn.png')",
        "```",
        "",
        "## Dataset",
        *_table(dataset | settings.lineage),
        "",
        "## Training",
        *_table({name: getattr(settings, name) for name in _SHOWN} | {"last loss": round(loss, 5)}),
        "",
    ]
    return "\n".join(lines)


def _table(values: dict[str, Any]) -> list[str]:
    rows = [f"| {_plain(name)} | {_plain(value)} |" for name, value in values.items()]
    return ["| | |", "|---|---|", *rows]


def _plain(value: Any) -> str:
    """Text in which nothing is markup."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    marks = "&\\`*_[]<>|#"
    return "".join(f"&#{ord(c)};" if c in marks else c for c in " ".join(text.split()))
