"""Networks of the known programs that this library does not build are refused by their own names."""

import pytest
import torch

from formats.originals import caffe2, mmaction2, slowfast
from nonlocalnet import formats, from_checkpoint


def test_pyslowfasts_two_pathways(tmp_path):
    cfg = slowfast.make_cfg(arch="slow")
    state = slowfast.make_state(cfg)
    both = {
        **state,
        "s1.pathway1_stem.conv.weight": torch.zeros(1, 3, 5, 7, 7),
        "s1_fuse.conv_f2s.weight": torch.zeros(2),
    }
    of_settings = cfg.replace("ARCH: slow\n", "ARCH: slowfast\n").replace("MODEL_NAME: ResNet", "MODEL_NAME: SlowFast")
    for settings in (None, of_settings):
        path = slowfast.write_pyth(tmp_path / "x.pyth", both, settings)
        with pytest.raises(ValueError, match=r"PySlowFast's SlowFast, which has two pathways \(s1\.pathway1_stem"):
            from_checkpoint(path)
    path = slowfast.write_pyth(tmp_path / "x.pyth", {**state, "s1.pathway0_stem.conv_xy.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="is PySlowFast's X3D"):
        from_checkpoint(path)
    blobs = caffe2.make_blobs()
    path = caffe2.write_pickle(tmp_path / "SLOWFAST_8x8_R50.pkl", {**blobs, "t_conv1_w": blobs["conv1_w"]})
    with pytest.raises(ValueError, match="SlowFast, which has two pathways"):
        from_checkpoint(path)


@pytest.mark.parametrize(
    ("rename", "kind", "what"),
    [
        (("backbone.", "backbone.slow_path."), "ResNet3dSlowFast", "which has two pathways"),
        ((".conv1.conv.weight", ".conv1.conv.net.weight"), "ResNetTSM", "which has shift modules"),
        (("nothing", ""), "ResNet", "which sees single frames"),
        (("nothing", ""), "ResNet2Plus1d", "this library builds C2D, ResNet3d, ResNet3dSlowOnly"),
    ],
)
def test_mmaction2s_other_backbones(tmp_path, rename, kind, what):
    config = mmaction2.make_model(arch="c2d")
    state = {name.replace(*rename): tensor for name, tensor in mmaction2.make_state(config).items()}
    text = mmaction2.config_text({**config, "backbone": {**config["backbone"], "type": f"mmaction.{kind}"}})
    with pytest.raises(ValueError, match=f"has mmaction2's {kind}.*{what}|has mmaction2's {kind}; {what}"):
        from_checkpoint(mmaction2.write_pth(tmp_path / "x.pth", state, text))
    if rename[0] != "nothing":
        with pytest.raises(ValueError, match=f"has mmaction2's {kind}, {what}"):
            from_checkpoint(mmaction2.write_pth(tmp_path / "x.pth", state))


def test_what_cannot_be_told_from_c2d_is_said(tmp_path, caplog):
    state = mmaction2.make_state(mmaction2.make_model(arch="c2d"))
    with caplog.at_level("INFO", "nonlocalnet"):
        from_checkpoint(mmaction2.write_pth(tmp_path / "x.pth", state))
    assert "taken to be C2D's, not TSN's, whose names are the same" in caplog.text


def test_a_detector_is_no_network_of_mmaction2(tmp_path):
    torch.save({"backbone.body.conv1.weight": torch.zeros(1), "rpn.head.x": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="is not a checkpoint of nonlocalnet"):
        from_checkpoint(tmp_path / "x.pth")


def test_mmaction2_reads_the_c2d_that_is_written_for_it(tmp_path):
    config = mmaction2.make_model(arch="c2d", width=64)
    state = mmaction2.make_state(config)
    network = from_checkpoint(mmaction2.write_pth(tmp_path / "in.pth", state, mmaction2.config_text(config)))
    (tmp_path / "out.pth").write_bytes(formats.encode(network, to="mmaction2"))
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert "'type': 'C2D'" in written["meta"]["cfg"]
    assert written["state_dict"].keys() == state.keys()
    assert all(torch.equal(written["state_dict"][name], state[name]) for name in state)
