"""Where the base model's weights are, and under which licence."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from .failures import BadInputError

# As their publishers state them on the hub.
LICENCES: dict[str, str] = json.loads(Path(__file__).with_name("licences.json").read_text("utf-8"))


def locate(base_model: str, cache: Path) -> str:
    """A folder of weights, or an id of the hub. What lies on S3 is fetched into ``cache`` once."""
    if base_model.startswith("s3://"):
        return str(_from_s3(base_model, cache))
    if base_model.startswith(("random:", "/", "./", "../", "~")) or Path(base_model).exists():
        return str(Path(base_model).expanduser()) if base_model.startswith("~") else base_model
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", base_model):
        raise BadInputError(f"base_model {base_model!r} is no folder, no s3:// address and no id of the hub")
    return base_model


def licence_of(base_model: str, given: str, place: str) -> str:
    """The licence: as given, as known of the model, as its card says; else ``unknown``."""
    if given:
        return given
    if base_model.startswith("random:"):
        return "none: random weights"
    if known := LICENCES.get(base_model):
        return known
    card = Path(place) / "README.md"
    if card.is_file():
        found = re.search(
            r"^licen[sc]e:\s*(\S+)\s*$", card.read_text("utf-8", "replace")[:20_000], re.MULTILINE
        )
        if found:
            return found[1]
    return "unknown"


def _from_s3(address: str, cache: Path) -> Path:
    try:
        import boto3  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as e:
        raise BadInputError(f"{address}: reading weights from S3 needs boto3: pip install boto3") from e
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/"
    target = cache / hashlib.sha256(address.encode()).hexdigest()[:16]
    client = boto3.client("s3")
    found = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for thing in page.get("Contents", []):
            name = thing["Key"].removeprefix(prefix)
            path = target / name
            if not name or name.endswith("/"):
                continue
            if not path.resolve().is_relative_to(target.resolve()):
                raise BadInputError(f"{address}: the key {thing['Key']!r} leads out of the folder")
            found += 1
            if path.is_file() and path.stat().st_size == thing["Size"]:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            client.download_file(bucket, thing["Key"], str(part))
            part.replace(path)
    if not found:
        raise BadInputError(f"{address}: nothing is there")
    return target
