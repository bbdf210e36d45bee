"""Models of Amazon Bedrock; `picchu.aws` shows this."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from picchu.exceptions import InvalidInput

__all__ = ["NovaCaptioner", "NovaEmbedder", "TitanEmbedder"]


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, "")}


def _one_of(dimensions: int | None, allowed: tuple[int, ...]) -> None:
    if dimensions is not None and dimensions not in allowed:
        raise InvalidInput(
            f"dimensions is {dimensions}; it must be one of {', '.join(map(str, allowed))}", stage="embed"
        )


@dataclass(frozen=True, slots=True)
class TitanEmbedder:
    """Amazon Titan Multimodal Embeddings G1: what pictures mean, not only what they look like.

    Args:
        dimensions: Values of a vector: 256, 384 or 1024, the default.
        requests_a_minute: What your account allows; the published default unless given.

    Raises:
        InvalidInput: For another number of dimensions.

    >>> picchu.aws.TitanEmbedder(dimensions=384)
    TitanEmbedder(dimensions=384, requests_a_minute=None)
    """

    dimensions: int | None = None
    requests_a_minute: float | None = None

    def __post_init__(self) -> None:
        _one_of(self.dimensions, (256, 384, 1024))

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"titan": _given(asdict(self))}


@dataclass(frozen=True, slots=True)
class NovaEmbedder:
    """Amazon Nova Multimodal Embeddings, made for clustering.

    Args:
        dimensions: Values of a vector: 256, 384, 1024, the default, or 3072.
        requests_a_minute: What your account allows; the published default unless given.

    Raises:
        InvalidInput: For another number of dimensions.
    """

    dimensions: int | None = None
    requests_a_minute: float | None = None

    def __post_init__(self) -> None:
        _one_of(self.dimensions, (256, 384, 1024, 3072))

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"nova": _given(asdict(self))}


@dataclass(frozen=True, slots=True)
class NovaCaptioner:
    """Captions by a model of Amazon Bedrock that sees; Nova Pro unless another is named.

    The prompt is built from the plan's cast: who may appear, how to recognise them, and that a name stands
    for its character's fixed looks.

    Args:
        model: Id of a model or of its inference profile, for example ``"us.amazon.nova-2-lite-v1:0"``.
        instructions: A wish to the model, for example ``"Always name the setting."``
        max_tokens: Most tokens of an answer.
        temperature: 0 to 1; 0, the default, words the same picture the same way.
        tools: Whether the model takes tools.
        requests_a_minute: What your account allows; the published default unless given.
        tokens_a_minute: What your account allows; the published default unless given.

    >>> picchu.aws.NovaCaptioner().to_dict()
    {'nova': {}}
    """

    model: str | None = None
    instructions: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    tools: bool | None = None
    requests_a_minute: float | None = None
    tokens_a_minute: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {"nova": _given(asdict(self))}
