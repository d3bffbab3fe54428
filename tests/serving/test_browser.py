"""The page in a browser: a video is sent, predicted and explained; what is none, too large or in line is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import Watched, a_browser, needs_browser
from make_videos import write_video
from nonlocalnet.runs.video.serve import ServedVideos
from nonlocalnet.serving.work import NetworkWork
from nonlocalnet.serving.worker import Answer
from runs.video.tiny import tiny_network
from serving.serving_here import LIMITS, Here, WorkHere, served, until

pytestmark = needs_browser


class WaitsIfAsked(NetworkWork):
    """A real network, which takes its time with files that say so."""

    def __call__(self, path: Path, name: str, doing: Callable[[str], object]) -> Answer:
        if path.read_bytes()[:4] == b"wait":
            doing("waiting")
            time.sleep(0.5)
        return super().__call__(path, name, doing)


@pytest.fixture(scope="module")
def here() -> Iterator[Here]:
    model = tiny_network(classes=("run", "<b>sit</b>", "wave"))
    work = WaitsIfAsked(ServedVideos(model, 1, "centre"))
    with served(WorkHere(work), about=work.about) as here:
        yield here


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with a_browser() as running:
        yield running


@pytest.fixture
def page(browser: Any, here: Here) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    watched = Watched(opened, own=here.address)
    opened.goto(here.address)
    opened.locator("#about", has_text="NL C2D-50").wait_for()
    yield opened
    assert watched.problems == []
    opened.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mp4", num_frames=12, height=32, width=48)


def choose(page: Any, name: str, content: bytes) -> None:
    page.set_input_files("#file", files=[{"name": name, "mimeType": "video/mp4", "buffer": content}])


def test_a_video_is_predicted_and_explained(page: Any, video: Path) -> None:
    name = "<script>alert(1)</script> & 'a'.mp4"
    choose(page, name, video.read_bytes())
    page.wait_for_selector("#result:not([hidden])")
    assert page.inner_text("#result-title") == name
    assert sorted(page.locator("#classes li span:first-child").all_inner_texts()) == ["<b>sit</b>", "run", "wave"]
    inside = page.frame_locator("#page")
    inside.locator(".tile").first.wait_for()
    assert name in inside.locator("#about").inner_text()
    inside.locator(".tile").nth(2).click()
    inside.locator("#status", has_text="frame 2").wait_for()
    with page.expect_download() as download:  # in its own origin, and still able to save
        inside.locator("#save-svg").click()
    assert download.value.suggested_filename.endswith(".svg")
    with page.expect_popup() as popup:
        page.click("#open")
    popup.value.locator(".tile").first.wait_for()
    popup.value.close()
    assert page.evaluate("document.activeElement.id") in ("result", "open", "page")


def test_what_is_no_video_or_too_large_is_said(page: Any, video: Path) -> None:
    choose(page, "a.mp4", b"no video" * 99)
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error").startswith("a.mp4: not a video")
    choose(page, "b.mp4", b"x" * (LIMITS.most_bytes + 1))
    page.locator("#error", has_text="b.mp4").wait_for()
    assert page.inner_text("#error") == "b.mp4 has 0.100 MB; at most 0.100 MB are taken."
    choose(page, "c.mp4", video.read_bytes())
    page.wait_for_selector("#result:not([hidden])")
    assert page.is_hidden("#error")


def test_the_line_and_leaving_it(page: Any, here: Here) -> None:
    with here.begin(b"wait" * 9), here.begin(b"wait" * 9):
        until(lambda: here.health()["waiting"] == 1)
        choose(page, "a.mp4", b"wait" * 9)
        page.locator("#status", has_text="Waiting: number 2 of 2").wait_for()
        page.click("#cancel")
        page.locator("#status", has_text="Cancelled.").wait_for()
        until(lambda: here.health()["waiting"] <= 1)
    assert page.is_hidden("#progress")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    browser: Any, here: Here, scheme: str, video: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(here.address)
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.id") == "file"
    choose(opened, "a" * 90 + ".mp4", video.read_bytes())
    opened.wait_for_selector("#result:not([hidden])")
    opened.frame_locator("#page").locator(".tile").first.wait_for()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    dark = opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"
    assert dark == (scheme == "dark")
    context.close()
