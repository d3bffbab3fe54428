"""A file starts a network only where its numbers mean the same there."""

import logging
from dataclasses import replace

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet

from formats.originals import caffe2, mmaction2, slowfast
from nonlocalnet import formats, from_checkpoint, models
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.network import fresh_card
from nonlocalnet.recipes import RECIPES
from nonlocalnet.runs.video.card import make_card
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.network import build_model

RELEASE = Preprocessing.of_clip("8x8")


def network(**arguments):
    return models.i3d_resnet50(**{"width": 4, "num_classes": 3, "clip": "8x8", "nonlocal_blocks": 5, **arguments})


def own_file(folder, preprocessing=RELEASE, **arguments):
    trained = network(**{"num_classes": 5, **arguments})
    trained.card = replace(fresh_card(trained), preprocessing=preprocessing)
    path = folder / "own.safetensors"
    path.write_bytes(formats.encode(trained, to="nonlocalnet"))
    return path


def start(path, preprocessing=RELEASE, anyway=False, **arguments):
    return formats.start_network(network(**arguments), path, preprocessing=preprocessing, anyway=anyway)


DIFFERENT = [
    # of the file, what is named
    ({"pairwise": "dot_product"}, "pairwise is 'embedded_gaussian' here and 'dot_product' there in the blocks"),
    ({"pairwise": "gaussian"}, "pairwise is 'embedded_gaussian' here and 'gaussian' there"),
    ({"pairwise": "concatenation"}, "pairwise is 'embedded_gaussian' here and 'concatenation' there"),
    ({"scale": 1.0}, "scale of the logits is 'rsqrt' here and 1.0 there"),
    ({"subsample": None}, "subsampling is (1, 2, 2) here and None there"),
    ({"subsample": (1, 4, 4)}, "subsampling is (1, 2, 2) here and (1, 4, 4) there"),
    ({"subsample_first": False}, "subsampling before phi and g is True here and False there"),
    ({"domain": "space"}, "domain is 'spacetime' here and 'space' there"),
    ({"variant": "slowfast"}, "pool1 padding is (0, 0, 0) here and (0, 1, 1) there"),
    (
        {"preprocessing": replace(RELEASE, mean=[123.675, 116.28, 103.53])},
        "mean of the input is (114.75, 114.75, 114.75) here and (123.675, 116.28, 103.53) there",
    ),
    ({"preprocessing": replace(RELEASE, std=255.0)}, "std of the input is (57.375, 57.375, 57.375) here and (255.0,"),
    ({"preprocessing": replace(RELEASE, colour_order="BGR")}, "order of colours is 'RGB' here and 'BGR' there"),
]


@pytest.mark.parametrize(("arguments", "named"), DIFFERENT)
def test_numbers_that_mean_something_else_are_refused_by_name(tmp_path, caplog, arguments, named):
    path = own_file(tmp_path, **arguments)
    with pytest.raises(ValueError, match="was trained as another function") as error:
        start(path)
    assert named in str(error.value)
    assert str(path) in str(error.value)
    assert "--init-anyway" in str(error.value)
    with caplog.at_level(logging.WARNING, "nonlocalnet"):
        said = start(path, anyway=True)
    assert any(named in difference for difference in said.differences)
    assert named in caplog.text
    assert said.plain()["file"] == "own.safetensors"


def test_a_single_difference_is_named_alone(tmp_path):
    for arguments, _ in DIFFERENT:
        assert len(start(own_file(tmp_path, **arguments), anyway=True).differences) == 1, arguments


@pytest.mark.parametrize(
    "arguments", [{}, {"clip": "32x2"}, {"nonlocal_blocks": 0}, {"nonlocal_blocks": 10}, {"num_classes": 7}]
)
def test_the_same_function_starts_whatever_the_clip_the_classes_and_the_number_of_blocks(tmp_path, arguments):
    assert start(own_file(tmp_path, **arguments)).differences == ()


def test_only_blocks_that_both_have_are_compared(tmp_path):
    path = own_file(tmp_path, nonlocal_blocks=["res3.1"], pairwise="dot_product")
    assert start(path, nonlocal_blocks=["res4.4"]).differences == ()


@pytest.mark.parametrize("mode", ["dot_product", "gaussian", "embedded_gaussian"])
def test_mmaction2s_networks_are_another_function(tmp_path, mode):
    config = mmaction2.make_model(mode=mode)
    path = mmaction2.write_pth(tmp_path / "x.pth", mmaction2.make_state(config), mmaction2.config_text(config))
    with pytest.raises(ValueError, match="mean of the input is") as error:
        start(path)
    assert "pool1 padding is (0, 0, 0) here and (0, 1, 1) there" in str(error.value)
    assert (f"and '{mode}' there" in str(error.value)) == (mode != "embedded_gaussian")


def test_what_a_file_leaves_open_is_taken_to_be_as_the_network_and_said(tmp_path, caplog):
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS, instantiation="dot_product")
    path = slowfast.write_pyth(tmp_path / "bare.pyth", slowfast.make_state(cfg), plain=True)
    with caplog.at_level(logging.WARNING, "nonlocalnet"):
        assert start(path, variant="slowfast", pairwise="dot_product").differences == ()
    assert "leaves open what its network is; taken to be as this one" in caplog.text
    blobs = caffe2.make_blobs(i3d=True, nonlocal_blocks=5)
    assert start(caffe2.write_pickle(tmp_path / "model.pkl", blobs)).differences == ()  # no clip in its name


@pytest.mark.parametrize("name", ["SlowFast", "X3D", "PTVResNet"])
def test_pyslowfasts_other_models_are_refused_by_name(tmp_path, name):
    cfg = slowfast.make_cfg().replace("MODEL_NAME: ResNet", f"MODEL_NAME: {name}")
    path = slowfast.write_pyth(tmp_path / "x.pyth", slowfast.make_state(cfg), cfg)
    message = f"MODEL.MODEL_NAME is '{name}'; this library builds 'ResNet' only"
    with pytest.raises(ValueError, match=message):
        from_checkpoint(path)
    with pytest.raises(ValueError, match=f"{message}.*--init-anyway"):
        start(path, variant="slowfast")
    assert message in start(path, variant="slowfast", anyway=True).differences[0]


def test_mmaction2s_norms_of_another_eps_are_refused(tmp_path):
    config = mmaction2.make_model(mode="gaussian")
    for where in ("backbone", "non_local_cfg"):
        changed = {**config, "backbone": {**config["backbone"]}}
        norm = {"type": "BN3d", "eps": 1e-3}
        if where == "backbone":
            changed["backbone"]["norm_cfg"] = norm
        else:
            changed["backbone"]["non_local_cfg"] = {**config["backbone"]["non_local_cfg"], "norm_cfg": norm}
        text = mmaction2.config_text(changed)
        with pytest.raises(ValueError, match=f"the norm_cfg of its {where} has eps=0.001; this library builds 1e-05"):
            from_checkpoint(mmaction2.write_pth(tmp_path / "x.pth", mmaction2.make_state(config), text))


def test_a_2d_resnet_is_a_start_whatever_its_input(tmp_path):
    torch.save(ResNet(Bottleneck, [3, 4, 6, 3]).state_dict(), tmp_path / "r50.pth")
    assert start(tmp_path / "r50.pth", width=64).plain() == {"file": "r50.pth", "differences": []}


def test_a_bare_state_dict_of_ours_says_nothing_and_starts(tmp_path):
    torch.save(network(pairwise="dot_product").state_dict(), tmp_path / "bare.pth")
    assert start(tmp_path / "bare.pth").differences == ()


@pytest.mark.parametrize("subsample", [None, (1, 2, 2), (1, 4, 4)])
def test_a_caffe2_file_that_did_not_pool_is_asked_for(tmp_path, caplog, subsample):
    blobs = caffe2.make_blobs(i3d=True, nonlocal_blocks=5)
    path = caffe2.write_pickle(tmp_path / "x_8x8.pkl", blobs)
    with caplog.at_level(logging.INFO, "nonlocalnet"):
        model = from_checkpoint(path, subsample=subsample)
    blocks = formats.graph.block_facts(model).values()
    assert {facts["subsampling"] for facts in blocks} == {subsample}
    what = "no pooling in the blocks" if subsample is None else f"pooling {subsample} before phi and g"
    assert f"{what} (asked for): the release's unless asked for, since the blobs do not say it" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "nonlocalnet"):
        from_checkpoint(path)
    assert "pooling (1, 2, 2) before phi and g: the release's" in caplog.text


def test_a_pooling_against_the_files_own_word_is_refused(tmp_path):
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS)
    path = slowfast.write_pyth(tmp_path / "x.pyth", slowfast.make_state(cfg), cfg)
    config = mmaction2.make_model(mode="gaussian")
    other = mmaction2.write_pth(tmp_path / "x.pth", mmaction2.make_state(config))
    for file in (path, other):
        from_checkpoint(file, subsample=(1, 2, 2))
        with pytest.raises(ValueError, match=r"says that its blocks pool \(1, 2, 2\).*loaded with subsample=None"):
            from_checkpoint(file, subsample=None)
    with pytest.raises(ValueError, match="its card says what its blocks pool"):
        from_checkpoint(own_file(tmp_path), subsample=None)


def test_every_recipe_starts_from_the_recipe_that_it_names():
    by_name = {recipe.name: recipe for recipe in RECIPES if isinstance(recipe, VideoRecipe)}
    chained = [recipe for recipe in by_name.values() if recipe.starts_from in by_name]
    assert chained
    for recipe in chained:
        first = by_name[recipe.starts_from]
        with torch.device("meta"):
            pair = build_model(recipe), build_model(first)
        cards = make_card(recipe, class_names=None), make_card(first, class_names=None)
        found = formats.start.function_differences(
            pair[0], pair[1], inputs=(cards[0].preprocessing, cards[1].preprocessing)
        )
        assert found == [], recipe.name
