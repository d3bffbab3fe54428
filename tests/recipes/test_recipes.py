from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.engine.config import Recipe
from nonlocalnet.recipes import RECIPES, recipe
from nonlocalnet.recipes.assemble import build_model, make_card

# Top-1 and top-5 by table, as the paper prints them.
PUBLISHED = {
    "2a": [(71.8, 89.7), (72.5, 90.2), (72.7, 90.5), (72.9, 90.3), (72.8, 90.5)],
    "2b": [(71.8, 89.7), (72.7, 90.3), (72.9, 90.4), (72.7, 90.5), (72.3, 90.1)],
    "2c": [
        *[(71.8, 89.7), (72.7, 90.5), (73.8, 91.0), (74.3, 91.2)],
        *[(73.1, 91.0), (74.3, 91.3), (75.1, 91.7), (75.1, 91.6)],
    ],
    "2d": [
        *[(71.8, 89.7), (72.9, 90.8), (73.1, 90.5), (73.8, 91.0)],
        *[(73.1, 91.0), (74.4, 91.3), (74.4, 90.5), (75.1, 91.7)],
    ],
    "2e": [(73.1, 91.0), (74.1, 91.2), (74.4, 91.1), (75.1, 91.7)],
    "2f": [(71.8, 89.7), (73.3, 90.7), (74.9, 91.6), (73.1, 91.0), (74.4, 91.1), (76.0, 92.1)],
    "2g": [(73.8, 91.2), (74.9, 91.7), (76.5, 92.6), (75.3, 91.8), (76.4, 92.7), (77.7, 93.3)],
}


@pytest.mark.parametrize("table", PUBLISHED)
def test_tables_hold_the_papers_rows(table: str) -> None:
    rows = [(r.published["top1"], r.published["top5"]) for r in RECIPES if table in r.tables]
    assert Counter(rows) == Counter(PUBLISHED[table])


def test_names_are_unique_and_found() -> None:
    names = [r.name for r in RECIPES]
    assert len(set(names)) == len(names)
    for r in RECIPES:
        assert recipe(r.name) is r
        assert bool(r.tables) == bool(r.published) == bool(r.source)
        assert r.row


def test_a_wrong_name_gives_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"there is no recipe 'nl_c2d_r50_5blocks'; did you mean nl_c2d_r50_5block"):
        recipe("nl_c2d_r50_5blocks")
    with pytest.raises(ValueError, match="`nonlocalnet recipes` lists them"):
        recipe("zzz")


@pytest.mark.parametrize("one", RECIPES, ids=lambda r: r.name)
def test_every_recipe_builds_its_network(one: Recipe) -> None:
    tiny = dataclasses.replace(one, model=dataclasses.replace(one.model, width=2))
    model = build_model(tiny)
    assert model.architecture == one.model.architecture
    blocks = [m for m in model.modules() if isinstance(m, NonLocalBlock)]
    asked = one.model.nonlocal_blocks
    assert len(blocks) == (asked if isinstance(asked, int) else len(asked))
    assert {b.pairwise for b in blocks} <= {one.model.pairwise}
    assert {b.domain for b in blocks} <= {one.model.domain}
    make_card(tiny, class_names=None)


def test_long_clips_follow_section_5() -> None:
    long = [r for r in RECIPES if "2g" in r.tables]
    assert {(r.optim.lr, r.optim.batch_size, r.optim.freeze_bn, r.model.clip) for r in long} == {
        (0.0025, 16, True, "128x1")
    }


def test_the_long_range_pair_differs_in_the_blocks_alone() -> None:
    plain, nonlocal_ = recipe("longrange_c2d"), recipe("longrange_nl_c2d")
    model = dataclasses.replace(plain.model, nonlocal_blocks=nonlocal_.model.nonlocal_blocks)
    assert dataclasses.replace(plain, name=nonlocal_.name, row=nonlocal_.row, model=model) == nonlocal_


def test_initial_weights_are_a_function_of_the_seed() -> None:
    base = recipe("longrange_c2d")
    one, same = (build_model(base).stem.conv.weight for _ in range(2))
    other = build_model(dataclasses.replace(base, trainer=dataclasses.replace(base.trainer, seed=1))).stem.conv.weight
    assert one.equal(same)
    assert not one.equal(other)
