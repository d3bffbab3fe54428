from __future__ import annotations

import dataclasses

import pytest

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.engine.config import ScheduleConfig
from nonlocalnet.engine.scaling import describe_scaling, scale_to_batch_size
from nonlocalnet.recipes import VIDEO_RECIPES, recipe
from nonlocalnet.runs.video.card import make_card
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.network import build_model

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


# Top-1 and top-5 by the README of the release.
RELEASED = {
    "c2d_32x2": (72.0, 90.0),
    "nl_c2d_32x2": (73.9, 91.0),
    "i3d_32x2": (73.6, 90.8),
    "nl_i3d_32x2": (74.9, 91.6),
    "i3d_128x1": (75.2, 92.0),
    "nl_i3d_128x1": (76.5, 92.7),
    "c2d_8x8": (71.9, 90.0),
    "nl_c2d_8x8": (74.4, 91.4),
    "i3d_8x8": (73.4, 90.9),
    "nl_i3d_8x8": (74.7, 91.6),
    "i3d_32x4": (75.5, 92.0),
    "nl_i3d_32x4": (76.5, 92.6),
    "i3d_8x8_300k": (73.2, 90.8),
    "i3d_8x8_600k_4gpu": (73.0, 90.4),
    "i3d_8x8_300k_4gpu": (72.0, 90.1),
}


@pytest.mark.parametrize("table", PUBLISHED)
def test_tables_hold_the_papers_rows(table: str) -> None:
    rows = [(r.published["top1"], r.published["top5"]) for r in VIDEO_RECIPES if table in r.tables]
    assert rows == PUBLISHED[table]


def test_names_are_unique_and_found() -> None:
    names = [r.name for r in VIDEO_RECIPES]
    assert len(set(names)) == len(names)
    for r in VIDEO_RECIPES:
        assert recipe(r.name) is r
        # The released models are published, and stand in no table of the paper.
        assert bool(r.published) == bool(r.source) == (bool(r.tables) or r.name.startswith("release_"))
        assert r.row


def test_a_wrong_name_gives_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"there is no recipe 'nl_c2d_r50_5blocks'; did you mean nl_c2d_r50_5block"):
        recipe("nl_c2d_r50_5blocks")
    with pytest.raises(ValueError, match="`nonlocalnet recipes` lists them"):
        recipe("zzz")


@pytest.mark.parametrize("one", VIDEO_RECIPES, ids=lambda r: r.name)
def test_every_recipe_builds_its_network(one: VideoRecipe) -> None:
    tiny = dataclasses.replace(one, model=dataclasses.replace(one.model, width=2))
    model = build_model(tiny)
    assert model.architecture == one.model.architecture.removesuffix("_control")
    blocks = [m for m in model.modules() if isinstance(m, NonLocalBlock)]
    asked = one.model.nonlocal_blocks if not one.model.architecture.endswith("_control") else 0
    assert len(blocks) == (asked if isinstance(asked, int) else len(asked))
    assert {b.pairwise for b in blocks} <= {one.model.pairwise}
    assert {b.domain for b in blocks} <= {one.model.domain}
    make_card(tiny, class_names=None)


def test_long_clips_follow_section_5() -> None:
    long = [r for r in VIDEO_RECIPES if "2g" in r.tables]
    assert {(r.optim.lr, r.optim.batch_size, r.optim.freeze_bn, r.model.clip) for r in long} == {
        (0.0025, 16, True, "128x1")
    }


def test_a_long_clip_network_takes_every_tensor_of_the_short_one() -> None:
    for long in (r for r in VIDEO_RECIPES if "2g" in r.tables):
        short = recipe(long.name.removesuffix("_128frames"))
        one, other = (
            build_model(dataclasses.replace(r, model=dataclasses.replace(r.model, width=2))) for r in (long, short)
        )
        shapes, others = ({name: t.shape for name, t in m.state_dict().items()} for m in (one, other))
        assert shapes == others, long.name


def test_what_a_recipe_starts_from_is_a_recipe_that_fits_it() -> None:
    for one in VIDEO_RECIPES:
        if one.starts_from in ("", "ImageNet"):
            assert bool(one.starts_from) != one.name.startswith("longrange")
            continue
        other = recipe(one.starts_from)
        mine, theirs = (
            build_model(dataclasses.replace(r, model=dataclasses.replace(r.model, width=2))).state_dict()
            for r in (one, other)
        )
        fresh = {name for name, tensor in mine.items() if name not in theirs or theirs[name].shape != tensor.shape}
        # The release starts its long-clip blocks fresh; Charades has another classifier.
        allowed = ("head.",) if one.model.multi_label else ("_nonlocal.",) if one.name.startswith("release_") else ()
        assert all(any(part in name for part in allowed) for name in fresh), (one.name, fresh)


def test_charades_follows_section_6() -> None:
    rows = [r for r in VIDEO_RECIPES if "4" in r.tables]
    assert [(r.published["map"], r.published["map_test"]) for r in rows] == [(35.5, 37.2), (37.5, 39.5)]
    for r in rows:
        assert (r.model.num_classes, r.model.multi_label, r.model.crop, r.model.clip) == (157, True, 288, "128x1")
        assert (r.optim.lr, r.optim.batch_size, r.optim.freeze_bn) == (0.00125, 8, True)
        assert (r.schedule.steps, r.schedule.milestones, r.data.test_short_side) == (200_000, (75_000, 150_000), 320)
        # The 224 pixels of a short side of 256 to 320, rescaled to 288.
        assert (r.data.short_side_min, r.data.short_side_max) == (round(256 * 288 / 224), round(320 * 288 / 224))


def test_released_models_are_all_there_with_their_schedules() -> None:
    released = {r.name.removeprefix("release_"): r for r in VIDEO_RECIPES if r.name.startswith("release_")}
    assert {name: (r.published["top1"], r.published["top5"]) for name, r in released.items()} == RELEASED
    for name, r in released.items():
        long = name.endswith(("128x1", "32x4"))
        assert r.optim.freeze_bn == long
        expected = (0.0025, 16) if long else (0.005, 32) if "4gpu" in name else (0.01, 64)
        assert (r.optim.lr, r.optim.batch_size) == expected
        assert (r.data.test_crops, r.data.test_positions, r.data.test_clips) == ("three", "wrapped", 10)
        steps = {"300k": (300_000, (150_000, 250_000)), "600k": (600_000, (300_000, 500_000))}
        schedule = next((value for key, value in steps.items() if key in name), (400_000, (150_000, 300_000)))
        assert (r.schedule.steps, r.schedule.milestones) == schedule
    quick = released["i3d_8x8_300k_4gpu"]
    assert (quick.model.dropout, quick.data.short_side_min, quick.data.short_side_max) == (0.0, 256, 256)


def test_fine_tuning_follows_charades_where_it_can() -> None:
    small, charades = recipe("finetune_small"), recipe("charades_nl_i3d_r101_5block")
    assert (small.optim.lr, small.optim.batch_size, small.optim.freeze_bn) == (0.00125, 8, True)
    assert (charades.optim.lr, charades.optim.batch_size, charades.optim.freeze_bn) == (0.00125, 8, True)
    shares = [[step / r.schedule.steps for step in r.schedule.milestones] for r in (small, charades)]
    assert shares[0] == shares[1] == [3 / 8, 3 / 4]
    released = recipe("release_nl_i3d_8x8")
    assert released.name == small.starts_from
    assert released.model == small.model


def test_the_control_differs_in_the_blocks_alone() -> None:
    for depth in (50, 101):
        control, nonlocal_ = recipe(f"c2d_r{depth}_5residual"), recipe(f"nl_c2d_r{depth}_5block")
        kept = {"name": control.name, "tables": [], "row": control.row, "published": {}, "source": ""}
        model = dataclasses.replace(nonlocal_.model, architecture=control.model.architecture)
        assert dataclasses.replace(nonlocal_, model=model, **kept) == control


def test_the_linear_rule() -> None:
    base = recipe("nl_i3d_r50_5block")
    small = scale_to_batch_size(base, 16)
    assert small.optim.lr == pytest.approx(0.0025)
    assert (small.schedule.steps, small.schedule.milestones) == (1_600_000, (600_000, 1_200_000))
    assert small.optim.lr * small.schedule.steps == pytest.approx(base.optim.lr * base.schedule.steps)
    assert small.optim.batch_size * small.schedule.steps == base.optim.batch_size * base.schedule.steps
    # The paper's own Charades setting keeps to the rule.
    assert scale_to_batch_size(base, 8).optim.lr == pytest.approx(recipe("charades_i3d_r101").optim.lr)
    assert "optim.lr 0.01 -> 0.0025" in describe_scaling(base, small)
    # What the user set is not said to follow from the rule.
    own = dataclasses.replace(small, schedule=ScheduleConfig(steps=3, milestones=()))
    assert "schedule" not in describe_scaling(base, own)
    warm = recipe("longrange_c2d")
    assert scale_to_batch_size(warm, 64).schedule.warmup_steps == warm.schedule.warmup_steps // 2


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
