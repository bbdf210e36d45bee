"""What a run is asked to do: ``settings.json``, checked before anything heavy is imported."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from .failures import BadInputError

DEFAULT_BASE = "black-forest-labs/FLUX.2-klein-base-4B"
T = TypeVar("T")
# Also read by those who start the program, so that they can refuse what it would refuse.
HYPERPARAMETERS: dict[str, Any] = json.loads(
    Path(__file__).with_name("hyperparameters.json").read_text("utf-8")
)
DEVICES = tuple(HYPERPARAMETERS["device"]["words"])


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One training run.

    Attributes:
        dataset: Folder with ``metadata.jsonl`` (``file_name``, ``text``) and images: a ``diffusers`` export.
        output: Folder for the result: the LoRA, its card, ``status.json``, ``metrics.jsonl``, ``samples/``.
        checkpoints: Folder for checkpoints; a run goes on from the newest that is whole.
        base_model: Weights to start from: a folder, ``s3://bucket/prefix``, an id of the Hugging Face hub, or
            ``random:NAME`` and ``random:FILE.json`` for a small model with random weights.
        revision: Branch, tag or commit on the hub.
        licence: Licence of those weights, as the user knows it; empty where it is to be looked up.
        name: Name of the result.
        lineage: Where the dataset came from, for the card.
        sample_prompts: What sample images show.

    The rest are the hyperparameters: ``hyperparameters.json`` says what each is, and what is taken.
    """

    dataset: str = ""
    output: str = ""
    checkpoints: str = ""
    base_model: str = DEFAULT_BASE
    revision: str = ""
    licence: str = ""
    name: str = "picchu"
    lineage: dict[str, Any] = field(default_factory=dict)
    sample_prompts: tuple[str, ...] = ()
    resolution: int = HYPERPARAMETERS["resolution"]["default"]
    buckets: bool = HYPERPARAMETERS["buckets"]["default"]
    caption_dropout: float = HYPERPARAMETERS["caption_dropout"]["default"]
    caption_tokens: int = HYPERPARAMETERS["caption_tokens"]["default"]
    rank: int = HYPERPARAMETERS["rank"]["default"]
    alpha: int = HYPERPARAMETERS["alpha"]["default"]
    learning_rate: float = HYPERPARAMETERS["learning_rate"]["default"]
    schedule: str = HYPERPARAMETERS["schedule"]["default"]
    warmup_steps: int = HYPERPARAMETERS["warmup_steps"]["default"]
    weight_decay: float = HYPERPARAMETERS["weight_decay"]["default"]
    max_grad_norm: float = HYPERPARAMETERS["max_grad_norm"]["default"]
    steps: int = HYPERPARAMETERS["steps"]["default"]
    batch_size: int = HYPERPARAMETERS["batch_size"]["default"]
    gradient_accumulation: int = HYPERPARAMETERS["gradient_accumulation"]["default"]
    gradient_checkpointing: bool = HYPERPARAMETERS["gradient_checkpointing"]["default"]
    mixed_precision: str = HYPERPARAMETERS["mixed_precision"]["default"]
    cache_latents: bool = HYPERPARAMETERS["cache_latents"]["default"]
    timesteps: str = HYPERPARAMETERS["timesteps"]["default"]
    seed: int = HYPERPARAMETERS["seed"]["default"]
    checkpoint_every: int = HYPERPARAMETERS["checkpoint_every"]["default"]
    keep_checkpoints: int = HYPERPARAMETERS["keep_checkpoints"]["default"]
    validate_every: int = HYPERPARAMETERS["validate_every"]["default"]
    sample_every: int = HYPERPARAMETERS["sample_every"]["default"]
    sample_steps: int = HYPERPARAMETERS["sample_steps"]["default"]
    guidance: float = HYPERPARAMETERS["guidance"]["default"]
    device: str = HYPERPARAMETERS["device"]["default"]

    # What does not change the numbers that come out; a run may go on with others.
    _FREE = frozenset(
        {
            "output", "checkpoints", "dataset", "licence", "name", "lineage", "checkpoint_every",
            "keep_checkpoints", "validate_every", "sample_every", "sample_prompts", "sample_steps",
            "guidance", "device", "gradient_checkpointing", "cache_latents",
        }
    )  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Reads and checks a file.

        Raises:
            BadInputError: Says which field is wrong.
        """
        settings = parse(cls, read_object(path), str(path))
        for name in ("dataset", "output"):
            if not getattr(settings, name):
                raise BadInputError(f"{path}: {name} is missing")
        settings._check()
        return settings

    def _check(self) -> None:
        for name, rule in HYPERPARAMETERS.items():
            if "from" in rule:
                check_numbers(self, (name, rule["from"], rule["to"]))
            elif "words" in rule:
                check_choices(self, (name, tuple(rule["words"])))

    @property
    def lora_alpha(self) -> int:
        """The scale of the LoRA."""
        return self.alpha or self.rank

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints lie."""
        return Path(self.checkpoints) if self.checkpoints else Path(self.output) / "checkpoints"

    def numbers(self) -> dict[str, Any]:
        """What the weights that come out depend on, beside the dataset."""
        values = {k: v for k, v in asdict(self).items() if k not in self._FREE}
        if self.schedule == "constant":
            # A run with a constant rate may be made longer.
            del values["steps"]
        return values


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A model to draw with.

    Attributes:
        base_model: As in `Settings`.
        revision: As in `Settings`.
        lora: File or folder of a LoRA; empty for the base model alone.
        lora_scale: How strongly it works.
        steps: Denoising steps.
        guidance: How closely prompts are followed.
        device: As in `Settings`.
        offload: Whether parts of the model wait in the machine's memory until their turn: less of the GPU's.
        cache: Folder for weights that are fetched from S3.
    """

    base_model: str = DEFAULT_BASE
    revision: str = ""
    lora: str = ""
    lora_scale: float = 1.0
    steps: int = 28
    guidance: float = 4.0
    device: str = "auto"
    offload: bool = False
    cache: str = ""

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Drawing:
        """Checks values.

        Raises:
            BadInputError: Says which field is wrong.
        """
        drawing = parse(cls, values, where)
        check_numbers(drawing, ("lora_scale", -8, 8), ("steps", 1, 1000), ("guidance", 0, 100))
        check_choices(drawing, ("device", DEVICES))
        return drawing


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What is to be drawn.

    Attributes:
        prompt: What the images show.
        negative_prompt: What they do not show.
        count: How many.
        seed: Of the first; each further one has the next.
        width: Pixels.
        height: Pixels.
    """

    prompt: str = ""
    negative_prompt: str = ""
    count: int = 1
    seed: int = 0
    width: int = 768
    height: int = 768

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Panel:
        """Checks values.

        Raises:
            BadInputError: Says which field is wrong.
        """
        panel = parse(cls, values, where)
        check_numbers(
            panel,
            ("count", 1, 1000),
            ("seed", 0, 2**63 - 1001),
            ("width", 16, 4096),
            ("height", 16, 4096),
        )
        if not panel.prompt.strip():
            raise BadInputError(f"{where}: prompt is missing")
        return panel


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BadInputError: Where it is none.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise BadInputError(f"{path}: cannot be read as JSON: {e}") from e
    if not isinstance(values, dict):
        raise BadInputError(f"{path}: expected an object")
    return values


def parse(kind: type[T], values: dict[str, Any], where: str) -> T:
    """A dataclass from JSON values, each of its field's type."""
    known = {f.name: f.default for f in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise BadInputError(
                f"{where}: there is no setting {name!r}; there are {', '.join(sorted(known))}"
            )
    return kind(**{name: _fit(name, value, known[name]) for name, value in values.items()})


def check_numbers(settings: object, *ranges: tuple[str, float, float]) -> None:
    """Raises where a number is out of its range."""
    for name, low, high in ranges:
        value = getattr(settings, name)
        if not low <= value <= high:
            raise BadInputError(f"{name} is {value}; from {low} to {high} are possible")


def check_choices(settings: object, *choices: tuple[str, tuple[str, ...]]) -> None:
    """Raises where a word is none of those that there are."""
    for name, words in choices:
        if getattr(settings, name) not in words:
            raise BadInputError(f"{name} is {getattr(settings, name)!r}; there are {', '.join(words)}")


def _fit(name: str, value: Any, default: Any) -> Any:
    """The value as the field's type."""
    # The one field whose default is made anew each time is an object.
    wanted = type(default) if isinstance(default, bool | int | float | str | tuple) else dict
    if wanted is tuple:
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise BadInputError(f"{name} is not a list of texts")
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise BadInputError(f"{name} is {value!r}; a {wanted.__name__} is wanted")
    return value
