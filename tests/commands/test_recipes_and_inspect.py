"""The commands that only show something."""

import json

from nonlocalnet.commands.main import main
from nonlocalnet.recipes import RECIPES, VIDEO_RECIPES


def test_recipes_json_holds_every_recipe(capsys):
    assert main(["recipes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [recipe.name for recipe in RECIPES]
    assert {frozenset(row) for row in rows} == {frozenset({"name", "tables", "row", "published"})}
    five_blocks = next(row for row in rows if row["name"] == "nl_c2d_r50_5block")
    assert "2c" in five_blocks["tables"]
    assert five_blocks["published"] == {"top1": 73.8, "top5": 91.0}
    assert next(row for row in rows if row["name"] == "longrange_nl_c2d")["tables"] == []


def test_recipes_table_names_every_recipe_whole(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert all(recipe.name in out for recipe in RECIPES)


def first_cells(out, *names):
    """The lines that begin with one of the names, as words."""
    return [words for line in out.splitlines() if (words := line.split()) and words[0] in names]


def test_one_table_holds_the_papers_rows_in_order(capsys):
    assert main(["recipes", "--table", "2e"]) == 0
    out = capsys.readouterr().out
    names = ["c2d_r101", "i3d_r101_3x3x3", "i3d_r101", "nl_c2d_r101_5block"]
    assert [words[0] for words in first_cells(out, *(recipe.name for recipe in VIDEO_RECIPES))] == names
    assert first_cells(out, "i3d_r101_3x3x3")[0][-3:] == ["74.1", "/", "91.2"]
    assert main(["recipes", "--table", "4"]) == 0
    assert first_cells(capsys.readouterr().out, "charades_i3d_r101")[0][-3:] == ["35.5", "/", "37.2"]
    assert main(["recipes", "--table", "5"]) == 0
    assert first_cells(capsys.readouterr().out, "coco_mask_r50_nl")[0][-3:] == ["39.0", "/", "35.5"]


def test_results_on_other_classes_are_marked(capsys, tmp_path):
    summary = {"top1": 99.0, "top5": 100.0, "videos": 19, "recipe": {"name": "c2d_r101"}}
    for classes, marked in ((6, True), (400, False)):
        summary["per_class"] = [{"class": str(i)} for i in range(classes)]
        (tmp_path / "summary.json").write_text(json.dumps(summary))
        assert main(["recipes", "--table", "2e", "--results", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert ("* of other classes: the published results are no comparison" in out) is marked
        assert first_cells(out, "c2d_r101")[0][-2:] == (["*", "19"] if marked else ["100.0", "19"])


def test_our_results_stand_beside(capsys, tmp_path):
    for folder, name, top1 in (("a", "c2d_r101", 70.04), ("b", "c2d_r101", 71.0), ("c", "c2d_r50", 60.0)):
        (tmp_path / folder).mkdir()
        summary = {"top1": top1, "top5": 90.0, "videos": 19, "recipe": {"name": name}}
        (tmp_path / folder / "summary.json").write_text(json.dumps(summary))
    results = [str(tmp_path / folder) for folder in "abc"]
    assert main(["recipes", "--table", "2e", "--results", *results]) == 0
    out = capsys.readouterr().out
    assert first_cells(out, "c2d_r101")[0][-7:] == ["73.1", "/", "91.0", "70.0", "/", "90.0", "19"]
    assert first_cells(out, "71.0") == [["71.0", "/", "90.0", "19"]]  # a second test of the same recipe
    assert first_cells(out, "i3d_r101")[0][-3:] == ["74.4", "/", "91.1"]
    assert "summary.json:c2d_r50isnotinTable2e" in "".join(out.split())  # a long path is wrapped
    assert main(["recipes", "--json", "--table", "2e", "--results", *results]) == 0
    captured = capsys.readouterr()
    assert [ours["top1"] for ours in json.loads(captured.out)[0]["ours"]] == [70.04, 71.0]
    assert captured.err.endswith("c/summary.json: c2d_r50 is not in Table 2e\n")  # nothing given is dropped unsaid


def test_wrong_tables_and_results_are_one_line(capsys, tmp_path):
    assert main(["recipes", "--table", "2h"]) == 2
    assert "--table must be one of 2a, 2b, 2c, 2d, 2e, 2f, 2g, 4, 5, 6, got '2h'" in capsys.readouterr().err
    assert main(["recipes", "--results", str(tmp_path / "no.json")]) == 2
    assert "no.json: there is no such file" in capsys.readouterr().err
    for content, reason in (
        (b'{"top1": 3, "ensemble": []}', "it does not say which recipe was tested"),
        (b'{"recipe": {"name": "c2d_r50"}, "top1": -3, "videos": 9}', "top1 is -3.0, and no percentage"),
        (b'{"recipe": {"name": "c2d_r50"}, "top1": 3}', "it does not hold the results of a test of any kind"),
        (b'{"recipe": "caf\xe9"}', "it is not UTF-8 text, byte 15"),
        (b'{"recipe": ', "it is not whole JSON: Expecting value"),
        (b"[" * 100_000, "it is not whole JSON: "),
        (b"[1]", "it holds no JSON object"),
    ):
        (tmp_path / "summary.json").write_bytes(content)
        assert main(["recipes", "--results", str(tmp_path)]) == 2
        assert f"is not the summary.json of a test of one recipe ({reason}" in capsys.readouterr().err


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


def test_inspect_takes_its_target_in_any_position(capsys):
    assert main(["inspect", "--input", "4x32x40", "longrange_nl_c2d", "--model.width", "8"]) == 0
    assert "4x32x40" in capsys.readouterr().out


def test_inspect_shows_what_a_detector_costs(capsys):
    assert main(["inspect", "coco_mask_r50_nl"]) == 0
    shown = capsys.readouterr().out
    assert "multiply-adds of one 800 x 1333 image" in shown
    assert "blocks: 3.7% more computation" in shown
    assert main(["inspect", "maskrcnn_slim_fpn", "--input", "96x128", "--model.nonlocal_backbone", "true"]) == 0
    shown = capsys.readouterr().out
    assert "multiply-adds of one 96 x 128 image" in shown
    assert "blocks: " in shown
