"""What the tests share: the project's own film, and one short run of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import picchu

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def film_path() -> Path:
    return ROOT / "examples" / "film" / "two_friends.mp4"


@pytest.fixture(scope="session")
def cast_path() -> Path:
    return ROOT / "examples" / "film" / "cast.toml"


@pytest.fixture(scope="session")
def plan(film_path: Path, cast_path: Path) -> picchu.Plan:
    """Eight frames: enough for both characters and a near-duplicate."""
    return (
        picchu.film(film_path)
        .sample(fps=2, start=7.0, limit=8)
        .detect(picchu.local.PaletteDetector(cast_path))
        .crop(pad=0.15)
        .dedupe(min_similarity=0.94, keep="best")
        .caption()
    )


@pytest.fixture(scope="session")
def dataset(plan: picchu.Plan, tmp_path_factory: pytest.TempPathFactory) -> picchu.Dataset:
    return plan.run(tmp_path_factory.mktemp("run") / "dataset", progress=False)


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Region and keys that no service knows, and nothing of the user's own."""
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "a-secret-that-must-show-nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
    }.items():
        monkeypatch.setenv(name, value)
