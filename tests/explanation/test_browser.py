"""The page in a browser, opened from disk: positions, blocks, keys, saving; no errors, nothing requested."""

import urllib.parse

import numpy as np
import pytest
import torch
from torch import nn

from browser import Watched, a_browser, needs_browser
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.explanation import explain
from nonlocalnet.functional import PAIRWISE

pytestmark = needs_browser


class Chain(nn.Module):
    """Blocks of every pairwise function and domain, one after the other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        options = [
            *({"pairwise": name, "subsample": 2} for name in PAIRWISE),
            {"domain": "space"},
            {"domain": "time"},
            {"temporal_group_frames": 2, "subsample": (2, 1, 1)},
            {"causal": True, "norm": "layer", "subsample": (2, 2, 2)},
        ]
        self.stem = nn.Conv3d(3, 24, (1, 5, 5), stride=(1, 2, 2))
        self.blocks = nn.ModuleList(NonLocalBlock(24, inner_channels=4, **of) for of in options)
        for block in self.blocks:
            for conv in (block.theta, block.phi):
                if conv is not None:
                    nn.init.normal_(conv.weight, std=0.6)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3, 4))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    explained = explain(Chain().eval(), torch.randn(1, 3, 6, 41, 37), title="<b>a & 'clip'</b>", network="NL net")
    path = explained.save(tmp_path_factory.mktemp("page") / "page.html")
    return explained, path


@pytest.fixture(scope="module")
def browser():
    with a_browser() as running:
        yield running


@pytest.fixture
def page(browser, seen):
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    address = seen[1].as_uri()
    watched = Watched(opened, own=address)
    opened.goto(address)
    yield opened
    assert watched.problems == []
    opened.close()


def shows(page, text):
    """Waits for the status to say so; the page's policy forbids what Playwright evaluates to wait for a condition."""
    page.locator("#status", has_text=text).wait_for()


def asked_in(url):
    return urllib.parse.parse_qs(url.split("#")[1])


def test_what_the_page_computes_is_what_the_network_does(page, seen):
    for index, block in enumerate(seen[0].blocks):
        queries = page.evaluate(f"window.explanation.data.blocks[{index}].queries")
        for position in ((0, 0, 0), (5, 18, 16), (3, 7, 2)):
            stored = [axis.index(at) for axis, at in zip(queries, position, strict=True)]
            made = page.evaluate(f"Array.from(window.explanation.weightsOf({index}, {stored}), (w) => w === w ? w : 0)")
            exact = block.look(position).weights_THW.flatten().numpy()
            assert np.abs(np.array(made) - exact).sum() / 2 <= 0.03 * np.abs(exact).sum(), block.name
            strongest = page.evaluate(f"window.explanation.strongestOf({index}, {stored})")
            best = np.sort(exact)[::-1][: len(strongest)]
            np.testing.assert_allclose([entry["weight"] for entry in strongest], best, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(exact[[entry["key"] for entry in strongest]], best, rtol=1e-4, atol=1e-6)


def test_a_click_asks_the_position_under_it(page):
    page.locator("#blocks button").nth(0).click()
    tile = page.locator(".tile").nth(4)
    box = tile.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
    shows(page, "frame 4")
    assert page.locator("g.arrow").count() == 20
    state = asked_in(page.url)
    assert (state["b"], state["f"]) == (["0"], ["4"])
    assert abs(int(state["x"][0]) - 0.75 * 37) <= 1.5
    assert abs(int(state["y"][0]) - 0.25 * 41) <= 1.5
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.9)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.5, steps=3)
    page.mouse.up()
    page.wait_for_url(lambda url: int(asked_in(url)["x"][0]) < 8)


def test_keys_move_and_change_blocks(page):
    page.locator("#strip").focus()
    page.keyboard.press("1")
    before = page.inner_text("#status")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#status") != before
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#status") == before
    page.keyboard.press("PageDown")
    assert "frame 4" in page.inner_text("#status")
    page.keyboard.press("]")
    assert page.inner_text("#status").startswith("blocks.1")
    assert page.locator('#blocks [aria-checked="true"]').inner_text().startswith("blocks.1")
    page.keyboard.press("a")
    assert page.locator("g.arrow").count() == 0
    assert "a=0" in page.url
    page.keyboard.press("h")
    assert "h=0" in page.url


def test_the_address_brings_the_view_back(browser, seen):
    opened = browser.new_page()
    opened.goto(seen[1].as_uri() + "#b=2&f=1&y=9&x=30&a=0")
    first = opened.inner_text("#status")
    assert first.startswith("blocks.2 at frame 1")
    assert opened.locator("g.arrow").count() == 0
    opened.goto("about:blank")
    opened.goto(seen[1].as_uri() + "#b=99&f=-4&y=x&x=1e9")
    assert opened.inner_text("#status").startswith("blocks.7 at frame 3")
    opened.close()


def test_words_and_scales_fit_the_function(page):
    words = {0: "sum to 1", 1: "sum to 1", 2: "either sign", 3: "not below 0"}
    for index, said in words.items():
        page.locator("#blocks button").nth(index).click()
        assert said in page.inner_text("#legend")
    assert page.inner_text("#about").startswith("<b>a & 'clip'</b>: 6 frames of 41 x 37 pixels")
    assert page.locator("#table tbody tr").count() == 8
    alts = page.eval_on_selector_all(".tile img", "images => images.map((image) => image.alt)")
    assert len(alts) == 6
    assert all("frame" in alt for alt in alts)


def test_views_are_saved_as_svg_and_png(page, tmp_path):
    for kind, begins in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.expect_download() as download:
            page.click(f"#save-{kind}")
        path = tmp_path / f"view.{kind}"
        download.value.save_as(path)
        assert download.value.suggested_filename.endswith(f".{kind}")
        content = path.read_bytes()
        assert content.startswith(begins)
        assert len(content) > 2000
    assert (tmp_path / "view.svg").read_text().count('class="arrow"') == 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(browser, seen, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    opened = context.new_page()
    opened.goto(seen[1].as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    opened.locator(".tile").nth(1).tap()
    shows(opened, "frame 1")
    dark = opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"
    assert dark == (scheme == "dark")
    opened.click("#theme")
    assert (opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)") != dark
    context.close()


@pytest.mark.parametrize("grid", [(40, 31), (300,)])
def test_images_and_signals_have_pages_too(browser, tmp_path, grid):
    channels = 3 if len(grid) == 2 else 2
    model = NonLocalBlock(channels, ndim=len(grid), subsample=2).eval()
    path = explain(model, torch.randn(1, channels, *grid), title="one").save(tmp_path / "page.html")
    opened = browser.new_page()
    watched = Watched(opened, own=path.as_uri())
    opened.goto(path.as_uri())
    assert opened.locator(".tile").count() == 1
    assert opened.locator("g.arrow").count() == 20
    opened.locator(".tile").click(position={"x": 30, "y": 20})
    opened.wait_for_url(lambda url: "x=" in url)
    assert watched.problems == []
    opened.close()
