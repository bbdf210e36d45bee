"""Review: the page in a real browser, the report, logs of several people."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import picchu
from picchu.dataset import Review

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def copy(dataset: picchu.Dataset, tmp_path: Path) -> picchu.Dataset:
    """A dataset that may be decided about."""
    return picchu.open_dataset(shutil.copytree(dataset.path, tmp_path / "dataset"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Browser, url: str, first: str = ".cell img") -> Page:
    """The page at an address, with any script error failing the test."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.on("pageerror", lambda error: pytest.fail(f"the page raised {error}"))
    page.goto(url)
    page.wait_for_selector(first)
    return page


def write_log(path: Path, log: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in log))
    return path


def training(dataset: picchu.Dataset) -> int:
    return picchu.open_dataset(dataset.path).stats().images


def test_everything_by_keyboard(copy: picchu.Dataset, browser: Browser) -> None:
    kept = copy.kept
    with copy.review(reviewer="ann") as review:
        page = open_page(browser, review.url)
        press = page.keyboard.press
        press("a")
        page.wait_for_selector(f'.cell.accepted[data-id="{kept[0].id}"]')
        press("x")
        page.keyboard.type("blurred")
        press("Enter")
        page.wait_for_selector(f'.cell.rejected[data-id="{kept[1].id}"]')
        # One image: the caption, judged while it is written.
        press("Enter")
        press("e")
        page.keyboard.press("Control+a")
        page.keyboard.type("Somebody walks.")
        page.get_by_text(re.compile("does not name")).wait_for()
        press("Control+a")
        third = kept[2].character
        page.keyboard.type(f"{third} is here.")
        press("Control+Enter")
        page.wait_for_selector(f'.cell.accepted[data-id="{kept[2].id}"]', state="attached")
        press("Escape")
        press("Escape")
        press("u")
        page.wait_for_selector(f'.cell:not(.accepted)[data-id="{kept[2].id}"]')
        press("u")
        page.wait_for_selector(f'.cell:not(.rejected)[data-id="{kept[1].id}"]')
    again = picchu.open_dataset(copy.path)
    assert [record.review is not None for record in again.kept[:3]] == [True, False, False]
    log = (copy.path / "reviews.jsonl").read_text().splitlines()
    assert [json.loads(line)["decision"] for line in log] == ["accept", "reject", "edit", "undo", "undo"]
    assert {json.loads(line)["reviewer"] for line in log} == {"ann"}


def test_many_at_once_names_and_reload(copy: picchu.Dataset, browser: Browser) -> None:
    kept = copy.kept
    with copy.review() as review:
        page = open_page(browser, review.url)
        page.keyboard.press("Control+a")
        page.keyboard.press("n")
        page.keyboard.type("Killa")
        page.keyboard.press("Enter")
        page.wait_for_function("n => document.querySelectorAll('.cell.accepted').length === n", arg=len(kept))
        assert {name.inner_text() for name in page.locator(".cell .name").all()} == {"Killa"}
        page.reload()
        page.wait_for_selector(".cell.accepted")
        page.keyboard.press("u")
        page.wait_for_selector(".cell:not(.accepted)")
        again = review.stop()
    assert {record.character for record in again.kept} == {record.character for record in kept}


def test_renaming_renames_in_the_caption(copy: picchu.Dataset, browser: Browser) -> None:
    first = copy.kept[0]
    assert first.character is not None
    assert first.caption is not None
    with copy.review() as review:
        page = open_page(browser, review.url)
        page.keyboard.press("n")
        page.keyboard.type("Killa")
        page.keyboard.press("Enter")
        page.wait_for_selector(f'.cell.accepted[data-id="{first.id}"]')
    record = picchu.open_dataset(copy.path)[first.id]
    assert record.character == "Killa"
    assert record.caption == first.caption.replace(first.character, "Killa")
    assert record.subjects[0].character == "Killa"


def test_two_tabs_and_the_frame(copy: picchu.Dataset, browser: Browser, film_path: Path) -> None:
    first = copy.kept[0]
    with copy.review(film=film_path) as review:
        one, two = open_page(browser, review.url), open_page(browser, review.url)
        one.keyboard.press("a")
        one.wait_for_selector(".cell.accepted")
        two.reload()
        two.wait_for_selector(".cell.accepted")
        two.keyboard.press("u")
        two.get_by_text("Taken back: 1 image").wait_for()
        # Cutting anew, by dragging on the whole frame.
        one.keyboard.press("Home")
        one.keyboard.press("Enter")
        one.wait_for_function("() => document.getElementById('frame').naturalWidth > 0")
        box = one.locator("#stage").bounding_box()
        assert box is not None
        one.mouse.move(box["x"] + 5, box["y"] + 5)
        one.mouse.down()
        one.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.9, steps=5)
        one.mouse.up()
        before = one.locator("#picture").get_attribute("src")
        one.locator("#recut").click()
        one.wait_for_function(
            "before => document.getElementById('picture').src.includes(before) === false", arg=before
        )
    record = picchu.open_dataset(copy.path)[first.id]
    assert record.crop is not None
    assert first.crop is not None
    assert record.crop.rect != first.crop.rect
    assert copy.recut(record, film_path).identical


def test_hostile_text_only_shows(copy: picchu.Dataset, browser: Browser) -> None:
    evil = '<script>window.bad=1</script><img src=x onerror="window.bad=1">\u202egnol' + "x" * 10_000
    first, second = copy.kept[:2]
    log: list[dict[str, object]] = [
        {"record": first.id, "decision": "edit", "caption": evil, "reviewer": evil, "time_ms": 1},
        {"record": second.id, "decision": "rename", "character": evil[:90], "reviewer": "b", "time_ms": 2},
    ]
    write_log(copy.path / "reviews.jsonl", log)
    hostile = picchu.open_dataset(copy.path)
    report = hostile.report(copy.path.parent / "report.html")
    with hostile.review() as review:
        for url in (review.url, report.as_uri()):
            page = open_page(browser, url)
            page.keyboard.press("Enter")
            page.wait_for_selector("#single[open]")
            assert page.evaluate("window.bad") is None
            assert page.locator("#caption").input_value() == evil


def test_a_report_is_decided_on_and_comes_back(
    copy: picchu.Dataset, browser: Browser, tmp_path: Path
) -> None:
    first, second = copy.kept[:2]
    page = open_page(browser, copy.report(tmp_path / "report.html").as_uri())
    page.on("dialog", lambda dialog: dialog.accept("director"))
    page.keyboard.press("a")
    page.wait_for_selector(f'.cell.accepted[data-id="{first.id}"]')
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'.cell.rejected[data-id="{second.id}"]')
    with page.expect_download() as download:
        page.locator("#save").click()
    patch = tmp_path / "patch.jsonl"
    download.value.save_as(patch)
    assert copy.merge_reviews(patch) == ()
    assert copy.merge_reviews(patch) == (), "the same patch twice changes nothing"
    again = picchu.open_dataset(copy.path)
    assert [again[record.id].review for record in (first, second)] == [
        Review(reviewers=("director",)),
        Review(rejected="no reason given", reviewers=("director",)),
    ]
    assert again.stats().images == training(copy)


def test_reviewers_who_disagree_are_shown(copy: picchu.Dataset, browser: Browser, tmp_path: Path) -> None:
    ident = copy.kept[0].id
    said: dict[str, object] = {"record": ident, "time_ms": 1}
    ann = {**said, "decision": "accept", "reviewer": "ann"}
    bob = {**said, "decision": "reject", "reason": "no", "reviewer": "bob", "time_ms": 2}
    logs = [write_log(tmp_path / f"{log['reviewer']}.jsonl", [log]) for log in (ann, bob)]
    assert copy.merge_reviews(*logs) == (ident,)
    with picchu.open_dataset(copy.path).review() as review:
        page = open_page(browser, review.url)
        page.locator("#filter").select_option("conflict")
        page.wait_for_selector(f'.cell.rejected[data-id="{ident}"]')
        assert page.locator(".cell").count() == 1


def test_strangers_and_second_reviews_are_refused(copy: picchu.Dataset) -> None:
    review = copy.review()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(review.url.rsplit("/", 2)[0] + "/" + "0" * 32 + "/api/dataset")
    with pytest.raises(picchu.AlreadyExists):
        copy.review()
    review.stop()
    review.stop()
    copy.review().stop()
    with pytest.raises(picchu.InvalidInput):
        copy.report(copy.path / "x.html", side=1)
