"""The page as text: everything in it, nothing that a name could break, no larger than allowed."""

import html.parser
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nonlocalnet.block import KeyBlocks, LearnedPositions, NonLocalBlock
from nonlocalnet.explanation import explain, packing
from nonlocalnet.explanation.page import default_limit, page_of
from nonlocalnet.functional import PAIRWISE


def explained(options=None, *, grid=(4, 6, 5), channels=16, names=("a", "b", "c"), title="clip", gain=1.0):
    torch.manual_seed(0)
    block = NonLocalBlock(channels, ndim=len(grid), **(options or {})).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0, gain / channels**0.5)
    model = nn.Sequential(block, nn.AdaptiveAvgPool3d(1) if len(grid) == 3 else nn.Identity(), nn.Flatten())
    classes = channels if len(grid) == 3 else 0
    class_names = (list(names) * classes)[:classes] if classes else None
    return explain(model, torch.randn(1, channels, *grid), title=title, network="NL net", class_names=class_names)


class Elements(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._in = [], {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._in = dict(attrs).get("id", "code") if tag == "script" else None

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in is not None:
            self.scripts[self._in] = self.scripts.get(self._in, "") + data


NASTY = st.text(alphabet=st.sampled_from("<>&\"'/\\script!-[]{}\u2028\u202e\x1b\x00é𝄞 $"), max_size=30)


@settings(max_examples=40, deadline=None)
@given(title=NASTY, name=NASTY)
def test_names_are_text_whatever_they_hold(title, name):
    plain = Elements(page_of(explained(), most_bytes=10**7))
    found = Elements(page_of(explained(title=title, names=(name, "b")), most_bytes=10**7))
    assert [tag for tag, _ in found.found] == [tag for tag, _ in plain.found]
    assert [attrs.get("id") for _, attrs in found.found] == [attrs.get("id") for _, attrs in plain.found]
    data = json.loads(found.scripts["data"])
    assert data["title"] == title
    assert name in [said for said, _ in data["predictions"]] + ["b"]


def test_a_script_in_a_name_is_no_script():
    page = page_of(
        explained(title="<script>alert(1)</script>", names=('"><img src=x onerror=alert(1)>',)), most_bytes=10**7
    )
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_the_page_names_no_other_address_and_forbids_all():
    page = page_of(explained(), most_bytes=10**7)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, fetched by nobody


def test_limits_follow_the_frames():
    assert [default_limit(frames) for frames in (1, 32, 80, 128, 500)] == [15e6, 15e6, 27.5e6, 40e6, 40e6]


def test_a_small_page_asks_fewer_positions_and_a_tiny_one_is_refused(tmp_path):
    large = explained({"pairwise": "gaussian"}, grid=(2, 48, 48), channels=16)
    full = page_of(large, most_bytes=10**8)
    room = len(full) - 300_000
    small = page_of(large, most_bytes=room + 200_000)
    assert len(small) <= room + 200_000
    whole, coarse = (json.loads(Elements(page).scripts["data"])["blocks"][0] for page in (full, small))
    assert math.prod(map(len, whole["queries"])) == 2 * 48 * 48
    assert 0 < math.prod(map(len, coarse["queries"])) < 2 * 48 * 48
    with pytest.raises(
        ValueError, match=r"does not fit into [0-9.e-]+ MB, since it may take [0-9.]+: choose fewer blocks"
    ):
        large.save(tmp_path / "page.html", most_bytes=1000)
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(FileNotFoundError, match="does not exist; make it first"):
        large.save(tmp_path / "no" / "page.html")


@pytest.mark.parametrize("gain", [0.3, 3.0])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("subsample", [None, 2])
def test_packed_rows_are_the_networks_rows(pairwise, subsample, gain):
    """What packing says of its own error is true, and small, for even and for sharp rows."""
    block = explained({"pairwise": pairwise, "subsample": subsample}, grid=(4, 12, 11), gain=gain).block()
    packed = packing.pack(block)
    exact = block.affinities.rows()[0].numpy().astype(np.float64)
    arrays = packed.arrays
    if packed.rule == "sums":
        made = np.maximum(arrays["a"][:, None] + arrays["b"], 0) / exact.shape[1]
    elif packed.rule == "rows":
        made = arrays["rows"] / 127 * arrays["most"][:, None]
    else:
        theta, phi = (arrays[name] * arrays[f"{name}_worth"].astype(np.float64) for name in ("theta", "phi"))
        made = theta @ phi.T
        if packed.rule == "softmax":
            made = np.exp(made - made.max(1, keepdims=True))
            made /= made.sum(1, keepdims=True)
        else:
            made /= exact.shape[1]
    apart = np.abs(made - exact).sum(1) / 2 / np.abs(exact).sum(1)
    assert apart.mean() <= 0.012
    if "mean_error" in packed.said:
        assert packed.said["mean_error"] == pytest.approx(apart.mean(), rel=0.5, abs=1e-4)
        assert packed.said["most_error"] <= apart.max() * 1.01 + 1e-6
    top = np.take_along_axis(exact, arrays["top"].astype(int), 1)
    np.testing.assert_allclose(arrays["top_weights"], top, rtol=1e-5, atol=1e-7)


def test_few_directions_are_enough_where_few_decide():
    torch.manual_seed(0)
    block = NonLocalBlock(64, ndim=2, inner_channels=64).eval()
    with torch.no_grad():
        block.theta.weight.zero_()
        block.theta.weight[:3].normal_()
    packed = packing.pack(explain(block, torch.randn(1, 64, 20, 20)).block())
    assert (packed.rule, packed.said["directions"], packed.said["of"]) == ("softmax", 3, 64)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize(
    "options",
    [
        {"subsample": LearnedPositions(7)},
        {"subsample": LearnedPositions(7), "causal": True, "norm": None},
        {"subsample": KeyBlocks(8, 2)},
    ],
    ids=str,
)
def test_chosen_keys_have_rows_and_the_others_are_no_zero(pairwise, options):
    block = explained({"pairwise": pairwise, **options}, grid=(4, 5, 5)).block()
    packed = packing.pack(block)
    assert packed.rule == "rows"
    exact = block.affinities.rows()[0].numpy()
    looked = packed.arrays["rows"] != -128
    made = np.where(looked, packed.arrays["rows"], 0) / 127 * packed.arrays["most"][:, None]
    np.testing.assert_allclose(made, exact, atol=float(np.abs(exact).max()) / 250)
    assert not exact[~looked].any()
    most = 7 if isinstance(options["subsample"], LearnedPositions) else 16
    assert looked.sum(axis=1).max() == most
