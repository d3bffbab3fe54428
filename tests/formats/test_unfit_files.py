"""Files that do not fit their network: every tensor is reported by its name, in every format."""

import io
import logging
import re
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.originals import caffe2, mmaction2, slowfast
from nonlocalnet import formats, from_checkpoint, models

QUIET = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def originals():
    """For every format: tensors by name, and how to write them to a folder."""
    cfg = slowfast.make_cfg(width=2, nonlocal_location=slowfast.FIVE_BLOCKS)
    config = mmaction2.make_model(width=2, mode="dot_product")
    text = mmaction2.config_text(config)
    blobs = caffe2.make_blobs(width=2, nonlocal_blocks=5, bookkeeping=False)
    network = models.c2d_resnet50(width=2, num_classes=5, nonlocal_blocks=1)

    def write_own(folder, tensors):
        path = folder / "own.safetensors"
        path.write_bytes(models.weights_file.to_bytes(tensors, models.video.network.fresh_card(network)))
        return path

    return {
        "caffe2": (blobs, lambda folder, tensors: caffe2.write_pickle(folder / "x_8x8.pkl", tensors, by_python2=False)),
        "slowfast": (slowfast.make_state(cfg), lambda folder, t: slowfast.write_pyth(folder / "x.pyth", t, cfg)),
        "mmaction2": (mmaction2.make_state(config), lambda folder, t: mmaction2.write_pth(folder / "x.pth", t, text)),
        "nonlocalnet": (network.state_dict(), write_own),
    }


@pytest.mark.parametrize("format_", ["caffe2", "slowfast", "mmaction2", "nonlocalnet"])
@pytest.mark.parametrize("fault", ["dropped", "renamed", "reshaped"])
@QUIET
@given(data=st.data())
def test_any_one_tensor_is_reported_by_its_name(originals, tmp_path_factory, format_, fault, data):
    whole, write = originals[format_]
    names = [name for name in whole if not name.endswith("num_batches_tracked")]
    name = data.draw(st.sampled_from(names))
    tensors = dict(whole)
    tensor = tensors.pop(name)
    expected = name
    if fault == "renamed":
        tensors[f"{name}x"] = tensor
        expected = data.draw(st.sampled_from([name, f"{name}x"]))  # both are reported
    elif fault == "reshaped":
        double = np.concatenate if isinstance(tensor, np.ndarray) else torch.cat
        tensors[name] = double([tensor, tensor])
    path = write(tmp_path_factory.mktemp("file"), tensors)
    with pytest.raises(ValueError, match=r"x|own") as error:
        from_checkpoint(path)
    assert expected in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("format_", ["caffe2", "slowfast", "mmaction2", "nonlocalnet"])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_classifier_that_disagrees_with_itself_is_reported_by_its_name(originals, tmp_path, format_, part):
    """Among the tensors of the test above it is one of hundreds."""
    whole, write = originals[format_]
    name = [name for name in whole if re.search(r"^pred_[wb]$|head\.projection|fc_cls", name)][part == "bias"]
    double = np.concatenate if isinstance(whole[name], np.ndarray) else torch.cat
    path = write(tmp_path, {**whole, name: double([whole[name], whole[name]])})
    with pytest.raises(ValueError, match=re.escape(name)):
        from_checkpoint(path)


def test_what_fits_is_loaded_where_that_is_asked_for(originals, tmp_path, caplog):
    blobs, write = originals["caffe2"]
    tensors = {name: blob for name, blob in blobs.items() if name != "res4_1_branch2a_w"} | {"odd": np.zeros(3)}
    path = write(tmp_path, tensors)
    with caplog.at_level(logging.WARNING, logger="nonlocalnet"):
        model = from_checkpoint(path, strict=False)
    assert "res4_1_branch2a_w is missing (for res4.1.conv1.weight, (8, 32, 1, 1, 1))" in caplog.text
    assert "odd (3,) has no place in the network" in caplog.text
    assert torch.equal(model.stem.conv.weight, torch.from_numpy(blobs["conv1_w"]))


def test_a_new_classifier_is_said_aloud(originals, tmp_path, caplog):
    blobs, write = originals["caffe2"]
    path = write(tmp_path, blobs)
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        model = from_checkpoint(path, num_classes=7)
    assert model.num_classes == 7
    assert "the classifier is new: 7 classes in place of 5; it must be trained before use" in caplog.text
    assert model.card.arguments["num_classes"] == 7
    assert torch.equal(from_checkpoint(path, num_classes=5).head.projection.bias, torch.from_numpy(blobs["pred_b"]))


def test_a_file_without_a_classifier_needs_one(originals, tmp_path):
    blobs, write = originals["caffe2"]
    path = write(tmp_path, {name: blob for name, blob in blobs.items() if not name.startswith("pred")})
    with pytest.raises(ValueError, match="has no classifier: give num_classes= for a fresh one"):
        from_checkpoint(path)
    assert from_checkpoint(path, num_classes=3).num_classes == 3


@pytest.mark.parametrize("format_", ["slowfast", "mmaction2", "nonlocalnet"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64])
def test_whole_numbers_are_no_weights(originals, tmp_path, format_, dtype):
    """What a program that quantises leaves without its scale: it loaded, rounded to 0 for the most part."""
    whole, write = originals[format_]
    name = next(name for name, tensor in whole.items() if tensor.ndim == 5)
    path = write(tmp_path, {**whole, name: whole[name].to(dtype)})
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is of {dtype}, and real numbers belong there"):
        from_checkpoint(path)


def test_not_finite_tensors_are_loaded_with_a_warning(originals, tmp_path, caplog):
    state, write = originals["slowfast"]
    state = {name: tensor.clone() for name, tensor in state.items()}
    state["s4.pathway0_nonlocal3.conv_theta.bias"][0] = float("nan")
    with caplog.at_level(logging.WARNING, logger="nonlocalnet"):
        from_checkpoint(write(tmp_path, state))
    assert "these tensors hold NaN or infinity: s4.pathway0_nonlocal3.conv_theta.bias" in caplog.text


def test_the_clip_of_a_caffe2_file_is_asked_for(originals, tmp_path):
    blobs, _ = originals["caffe2"]
    path = caffe2.write_pickle(tmp_path / "model.pkl", blobs)
    with pytest.raises(ValueError, match=r"neither in the blobs nor in the file's name: give clip='8x8'.*--clip"):
        from_checkpoint(path)
    assert from_checkpoint(path, clip="32x2").geometry.pool1.kernel == (2, 3, 3)
    with pytest.raises(ValueError, match=r"clip must be one of 8x8, 32x2, 32x4, 128x1, got '16x4'"):
        from_checkpoint(path, clip="16x4")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "gaussian",
            "it is asked to be gaussian, but its tensors are those of embedded_gaussian or dot_p",
        ),
        (
            "embedded_gaussian",
            "its settings say dot_product, it cannot be loaded as pairwise='embedded_g",
        ),
    ],
)
def test_a_contradiction_is_refused(originals, tmp_path, asked, message):
    state, write = originals["mmaction2"]
    with pytest.raises(ValueError, match=message):
        from_checkpoint(write(tmp_path, state), pairwise=asked)


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("RESNET", "STRIDE_1X1", True, "RESNET.STRIDE_1X1 is True; this library builds False only"),
        ("RESNET", "NUM_GROUPS", 32, "RESNET.NUM_GROUPS is 32"),
        ("MODEL", "ARCH", "slowfast", "MODEL.ARCH is 'slowfast', which is no single-pathway ResNet"),
        ("DETECTION", "ENABLE", True, "DETECTION.ENABLE is True"),
        ("NONLOCAL", "INSTANTIATION", "l2", "NONLOCAL.INSTANTIATION is 'l2'; known are softmax, dot_product"),
    ],
)
def test_slowfast_settings_of_another_graph(tmp_path, section, name, value, message):
    import yaml

    cfg = yaml.safe_load(slowfast.make_cfg(width=2, nonlocal_location=slowfast.FIVE_BLOCKS))
    state = slowfast.make_state(cfg)
    cfg[section][name] = value
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        from_checkpoint(slowfast.write_pyth(tmp_path / "x.pyth", state, yaml.safe_dump(cfg)))


def test_mmaction2_settings_of_another_graph(tmp_path):
    for change, message in (
        ({"style": "caffe"}, "its backbone has style='caffe'; this library builds 'pytorch' only"),
        ({"conv1_stride_t": 4}, r"\(conv1_stride_t, pool1_stride_t, with_pool2\) = \(4, 2, True\); known: "),
    ):
        config = mmaction2.make_model(width=2)
        state = mmaction2.make_state(config)
        config["backbone"] |= change
        path = mmaction2.write_pth(tmp_path / "x.pth", state, mmaction2.config_text(config))
        with pytest.raises(ValueError, match=message):
            from_checkpoint(path)


def test_an_unpublished_mmengine_file_is_refused_by_what_it_holds(tmp_path):
    config = mmaction2.make_model(width=2)
    text = mmaction2.config_text(config)
    path = mmaction2.write_pth(tmp_path / "x.pth", mmaction2.make_state(config), text, message_hub=True)
    with pytest.raises(ValueError, match=r"it asks to load mmengine\.logging\.history_buffer\.HistoryBuffer"):
        from_checkpoint(path)


def test_another_depth_or_pattern_is_refused(tmp_path):
    blobs = caffe2.make_blobs(width=2)
    fewer = {name: blob for name, blob in blobs.items() if not name.startswith("res4_5_")}
    with pytest.raises(ValueError, match="its residual blocks are 3 in res2, 4 in res3, 5 in res4, 3 in res5"):
        from_checkpoint(caffe2.write_pickle(tmp_path / "x_8x8.pkl", fewer))
    for name in ("res2_0_branch2a_w", "res2_1_branch2a_w", "res3_3_branch2a_w"):
        blobs[name] = np.repeat(blobs[name], 3, axis=2)
    with pytest.raises(ValueError, match=r"kernels that span several frames are res2\.0\.conv1 3, res2\.1\.conv1 3"):
        from_checkpoint(caffe2.write_pickle(tmp_path / "x_8x8.pkl", blobs))


def test_torch_files_that_declare_more_than_they_hold(tmp_path):
    path = tmp_path / "x.pyth"
    huge = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"model_state": {"s1.pathway0_stem.conv.weight": huge}}, path)
    with pytest.raises(ValueError, match=r"conv\.weight declares the shape \(1000000, 1000000\) .* and holds 4 bytes"):
        from_checkpoint(path)


def test_a_compressed_archive_is_refused(tmp_path):
    content = io.BytesIO()
    torch.save({"model_state": {"s1.pathway0_stem.conv.weight": torch.zeros(1000)}}, content)
    path = tmp_path / "x.pyth"
    with zipfile.ZipFile(content) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as other:
        for entry in archive.infolist():
            other.writestr(entry.filename, archive.read(entry))
    with pytest.raises(ValueError, match=r"its entry .* is compressed"):
        from_checkpoint(path)


def test_safetensors_without_a_card_or_cut_off(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"it holds a dictionary with the keys a, and no card"):
        from_checkpoint(path)
    path.write_bytes(formats.encode(models.c2d_resnet50(width=2), to="nonlocalnet")[:-100])
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        from_checkpoint(path)
