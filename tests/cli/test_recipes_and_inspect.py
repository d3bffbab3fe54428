"""The commands that only show something."""

import json

from nonlocalnet.cli.main import main
from nonlocalnet.recipes import DETECTION_RECIPES, RECIPES


def test_recipes_json_holds_every_recipe(capsys):
    assert main(["recipes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [recipe.name for recipe in (*RECIPES, *DETECTION_RECIPES)]
    assert {frozenset(row) for row in rows} == {frozenset({"name", "tables", "row", "published"})}
    five_blocks = next(row for row in rows if row["name"] == "nl_c2d_r50_5block")
    assert "2c" in five_blocks["tables"]
    assert five_blocks["published"] == {"top1": 73.8, "top5": 91.0}
    assert next(row for row in rows if row["name"] == "longrange_nl_c2d")["tables"] == []


def test_recipes_table_names_every_recipe_whole(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert all(recipe.name in out for recipe in (*RECIPES, *DETECTION_RECIPES))


def test_inspect_prints_the_parameters_and_ratios_of_the_paper(capsys):
    assert main(["inspect", "c2d_resnet101", "--model.nonlocal_blocks", "5"]) == 0
    out = capsys.readouterr().out
    assert "50,678,224" in out  # NL C2D-101, as released
    assert "43,319,760" in out  # its baseline
    assert out.count("1.2x") == 2  # Table 2e: parameters and FLOPs


def test_inspect_takes_a_recipe_and_its_overridden_fields(capsys):
    assert main(["inspect", "longrange_nl_c2d", "--model.nonlocal_blocks", '["res4.0"]', "--input", "4x32x40"]) == 0
    out = capsys.readouterr().out
    assert "res4.0_nonlocal" in out
    assert "res3.1_nonlocal" not in out
    assert "4x32x40" in out
