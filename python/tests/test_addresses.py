"""Films and datasets that lie elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import picchu
from fake_s3 import FakeS3


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, film_path: Path) -> Iterator[FakeS3]:
    with FakeS3() as service:
        service.objects["bucket/films/two friends.mp4"] = film_path.read_bytes()
        for name, value in {
            "AWS_ENDPOINT_URL": service.address,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "an-id",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
        }.items():
            monkeypatch.setenv(name, value)
        yield service


def test_films_at_addresses_give_the_frames_of_the_file(s3: FakeS3, film_path: Path) -> None:
    here = picchu.film(film_path)
    expected = [(f.time, f.to_numpy().tobytes()) for f in here.frames(every=20.0, max_side=320)]
    prints = set()
    for address in (
        "s3://bucket/films/two friends.mp4",
        f"{s3.address}/bucket/films/two%20friends.mp4?signature=x",
    ):
        before = s3.bytes_out
        film = picchu.film(address)
        assert film.place == address
        assert "signature" not in repr(film)
        assert film.info.duration == here.info.duration
        assert [(f.time, f.to_numpy().tobytes()) for f in film.frames(every=20.0, max_side=320)] == expected
        assert s3.bytes_out > before
        prints.add(film.fingerprint)
        assert pickle.loads(pickle.dumps(film)) == film
    assert len(prints) == 1
    assert prints.pop().startswith("sampled:")


def test_a_plan_runs_from_s3_into_s3(s3: FakeS3, cast_path: Path, film_path: Path) -> None:
    plan = picchu.film("s3://bucket/films/two friends.mp4").sample(start=7.0, limit=3).detect(cast_path)
    assert "to do" in str(plan.explain("s3://bucket/data/film"))
    dataset = plan.run("s3://bucket/data/film", progress=False)
    assert dataset.place == "s3://bucket/data/film"
    assert len(dataset.kept) > 0
    assert any(key.startswith("bucket/data/film/images/") for key in s3.objects)
    assert picchu.open_dataset("s3://bucket/data/film").records == dataset.records
    kept = dataset.kept[0]
    assert kept.image_bytes().startswith(b"\x89PNG")
    # The file here is the film there.
    assert dataset.recut(kept, film_path).identical
    events: list[str] = []
    again = plan.run("s3://bucket/data/film", progress=False, on_event=lambda e: events.append(e["event"]))
    assert again.records == dataset.records
    assert "collected" not in events


def test_what_is_wrong_with_an_address_is_said(s3: FakeS3) -> None:
    with pytest.raises(picchu.Unsupported, match="reads no films from ftp:// addresses"):
        picchu.film("ftp://server/film.mp4")
    with pytest.raises(picchu.InvalidInput, match="give addresses as text"):
        picchu.film(Path("s3://bucket/film.mp4"))
    with pytest.raises(picchu.InvalidInput, match="s3://bucket/key is expected"):
        picchu.film("s3://bucket")
    with pytest.raises(picchu.NotFound, match="does not exist"):
        _ = picchu.film("s3://bucket/none.mp4").info
    with pytest.raises(picchu.NotFound):
        _ = picchu.film(f"{s3.address}/bucket/none.mp4").info
    with pytest.raises(picchu.Unsupported, match="no store for gs://"):
        picchu.open_dataset("gs://bucket/film")


def test_a_session_gives_keys_and_region(
    s3: FakeS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(picchu.ConfigError, match="Region"):
        _ = picchu.film("s3://bucket/films/two friends.mp4").info
    session = boto3.Session("AKIASESSION", "a-session-secret", "a-token", region_name="eu-west-1")
    try:
        picchu.aws.use_session(session)
        assert picchu.film("s3://bucket/films/two friends.mp4").info.width == 1280
        assert "AKIASESSION" in s3.authorizations[-1]
        assert "/eu-west-1/s3/" in s3.authorizations[-1]

        class Over:
            region_name = "eu-west-1"

            def get_credentials(self) -> None:
                return None

        picchu.aws.use_session(Over())
        with pytest.raises(picchu.PicchuError, match="no credentials") as caught:
            _ = picchu.film("s3://bucket/films/two friends.mp4").info
        assert "a-session-secret" not in str(caught.value)
        with pytest.raises(picchu.InvalidInput, match=r"no boto3\.Session"):
            picchu.aws.use_session("eu-west-1")
    finally:
        picchu.aws.use_session(None)
    assert "a-session-secret" not in "".join(capfd.readouterr())
