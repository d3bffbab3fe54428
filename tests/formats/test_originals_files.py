"""The files that `originals` writes: what the original programs write; no library code."""

import io
import pickle
import pickletools

import numpy as np
import pytest
import torch
import yaml

from formats.originals import caffe2, mmaction2, slowfast


class Recorder(pickle.Unpickler):
    """Notes what a pickle imports. (pickletools cannot read protocol 0's byte strings.)"""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.imported: set[str] = set()

    def find_class(self, module: str, name: str) -> object:
        self.imported.add(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_pickle_is_python_2s(tmp_path, wrapped, protocol):
    blobs = caffe2.make_blobs(nonlocal_blocks=5, momentum=True, pred_5d=True)
    path = caffe2.write_pickle(tmp_path / "net.pkl", blobs, wrapped=wrapped, protocol=protocol)
    content = path.read_bytes()
    recorder = Recorder(content)
    read = recorder.load()
    assert recorder.imported == {"numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"}
    if protocol == 0:
        assert b"S'conv1_w'\n" in content
        assert b"Vmodel_iter\n" in content
    else:
        codes = {code.name for code, _, _ in pickletools.genops(content)}
        assert {"SHORT_BINSTRING", "BINSTRING", "BINUNICODE"} <= codes
        assert not codes & {"BINBYTES", "SHORT_BINBYTES", "SHORT_BINUNICODE", "STACK_GLOBAL", "FRAME"}
    read = read["blobs"] if wrapped else read
    assert list(read) == list(blobs)
    assert all(type(name) is str for name in read)
    for name, blob in blobs.items():
        np.testing.assert_array_equal(read[name], blob)
    assert read["pred_w"].shape == (5, 128, 1, 1, 1)


def test_a_pickle_by_python_3_imports_codecs(tmp_path):
    path = caffe2.write_pickle(tmp_path / "net.pkl", caffe2.make_blobs(), by_python2=False)
    recorder = Recorder(path.read_bytes())
    recorder.load()
    assert "_codecs.encode" in recorder.imported


def test_a_pyth_reads_with_weights_only(tmp_path):
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS)
    state = slowfast.make_state(cfg)
    read = torch.load(slowfast.write_pyth(tmp_path / "net.pyth", state, cfg), weights_only=True)
    assert set(read) == {"epoch", "model_state", "optimizer_state", "cfg"}
    assert yaml.safe_load(read["cfg"])["NONLOCAL"]["LOCATION"] == [[[]], [[1, 3]], [[1, 3, 5]], [[]]]
    assert torch.equal(read["model_state"]["head.projection.weight"], state["head.projection.weight"])
    assert set(torch.load(slowfast.write_pyth(tmp_path / "plain.pyth", state, plain=True), weights_only=True)) == set(
        state
    )


@pytest.mark.parametrize("old", [False, True])
def test_a_pth_carries_its_configuration(tmp_path, old):
    model = mmaction2.make_model(mode="gaussian")
    text = mmaction2.config_text(model, old=old)
    path = mmaction2.write_pth(tmp_path / "net.pth", mmaction2.make_state(model), text, old=old, classes=["a", "b"])
    meta = torch.load(path, weights_only=True)["meta"]
    said: dict = {}
    exec(meta["config" if old else "cfg"], {"__builtins__": {"dict": dict}}, said)  # our own text
    assert said["model"]["backbone"] == model["backbone"]
    assert ("img_norm_cfg" in said) == old
    assert said["test_pipeline"][1]["clip_len"] == 32


def test_an_unpublished_pth_holds_mmengines_objects(tmp_path):
    path = mmaction2.write_pth(tmp_path / "net.pth", {"a": torch.zeros(1)}, "model = dict()", message_hub=True)
    with pytest.raises(pickle.UnpicklingError, match=r"mmengine\.logging\.history_buffer\.HistoryBuffer"):
        torch.load(path, weights_only=True)


def test_the_stored_preprocessing_of_the_first_files(tmp_path):
    path = mmaction2.write_pth(tmp_path / "net.pth", {"a": torch.zeros(1)}, preprocessor=True)
    read = torch.load(path, weights_only=True)
    assert read["data_preprocessor.mean"].flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert read["data_preprocessor.std"].shape == (3, 1, 1, 1)
