"""The commands that open, convert, list and fetch weights."""

import functools
import http.server
import json
import threading

import pytest
import torch
import yaml

from formats.originals import caffe2, mmaction2, slowfast
from make_videos import decode_sequentially, write_video
from nonlocalnet import from_checkpoint
from nonlocalnet.commands.main import main
from nonlocalnet.formats import Preprocessing, VideoCard, encode
from nonlocalnet.formats.catalogue import CATALOGUE
from nonlocalnet.models import c2d_resnet50


@pytest.fixture
def released(tmp_path):
    """A file with a released name, of a tiny network."""
    blobs = caffe2.make_blobs(width=2, i3d=True, nonlocal_blocks=5, momentum=True, num_classes=400)
    return caffe2.write_pickle(tmp_path / "i3d_nonlocal_8x8_IN_pretrain_400k.pkl", blobs)


def test_inspect_says_everything_of_a_file(released, capsys):
    assert main(["inspect", str(released), "--input", "8x64x64"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Caffe2 video-nonlocal-net" in out
    assert "i3d_resnet50" in out
    assert "clip 8x8, from the file's name" in out
    assert "mean 114.75" in out
    assert "top1 74.7%" in out
    assert "CC-BY-NC 4.0" in out
    assert "optimiser state" in out
    assert "Non-local blocks" in out
    assert out.count("1x2x2 before") == 5
    assert "multiply-adds" in out


def test_inspect_lists_every_name(released, capsys):
    assert main(["inspect", str(released), "--keys", "--input", "8x64x64"]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert "nonlocal_conv4_3_theta_w res4.3_nonlocal.theta.weight" in lines
    assert "res2_0_branch1_bn_riv res2.0.downsample.norm.running_var" in lines
    assert any(line.startswith("model_iter (not used: a training counter") for line in lines)


def test_names_with_markup_and_escape_codes_are_printed_as_they_are(tmp_path, capsys):
    network = c2d_resnet50(width=2, num_classes=2)
    names = ["a[/b]", "\x1b[2J[red]x"]
    further = {"preprocessing": Preprocessing.of_clip("8x8"), "licence": "[/] \x1b]0;t"}
    network.card = VideoCard(**network.built_from, class_names=names, **further)
    folder = tmp_path / "[red] [] \x1b[31m"
    folder.mkdir()
    path = folder / "w.safetensors"
    path.write_bytes(encode(network, to="nonlocalnet"))
    video = write_video(folder / "[bold].mp4", num_frames=16)
    predict = ["predict", str(video), "--weights", str(path), "--views", "1x1"]
    for command in (["inspect", str(path)], predict):
        assert main(command) == 0
        printed = capsys.readouterr()
        assert "a[/b]" in printed.out
        assert "\\x1b[2J[red]x" in printed.out
        assert "\x1b" not in printed.out + printed.err
    for wrong in (folder / "no[].ckpt", folder):
        assert main(["inspect", str(wrong)]) == 2
        error = capsys.readouterr().err
        assert "\x1b" not in error
        assert "[red] [] \\x1b[31m" in error


def test_inspect_shows_what_is_missing(released, tmp_path, capsys):
    blobs = caffe2.make_blobs(width=2)
    del blobs["res5_2_branch2c_w"]
    path = caffe2.write_pickle(tmp_path / "part.pkl", blobs)
    assert main(["inspect", str(path), "--clip", "8x8", "--input", "8x64x64"]) == 0
    assert "res5_2_branch2c_w is missing" in " ".join(capsys.readouterr().out.split())
    assert main(["inspect", str(path)]) == 2
    assert "give clip='8x8', '32x2'" in capsys.readouterr().err


def test_convert_and_refuse(tmp_path, capsys):
    cfg = slowfast.make_cfg(width=2)
    source = slowfast.write_pyth(tmp_path / "in.pyth", slowfast.make_state(cfg), cfg)
    for to, name in (("nonlocalnet", "out.safetensors"), ("slowfast", "out.pyth")):
        target = tmp_path / name
        assert main(["convert", str(source), str(target), "--to", to]) == 0
        assert f"{name}: {to}," in capsys.readouterr().out
        x = torch.randn(1, 3, 8, 48, 48)
        assert torch.equal(from_checkpoint(target)(x), from_checkpoint(source)(x))
        assert main(["convert", str(source), str(target), "--to", to]) == 2
        assert "exists; it is not overwritten" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "x.pkl"), "--to", "caffe2"]) == 2
    assert "would build another graph: pool1 padding is (0, 1, 1) here and (0, 0, 0) there" in capsys.readouterr().err
    assert not (tmp_path / "x.pkl").exists()
    assert main(["convert", str(source), str(tmp_path / "no" / "x.pth"), "--to", "slowfast"]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_predict_and_test_use_the_preprocessing_of_other_programs(tmp_path, capsys):
    """A network of PySlowFast that takes BGR: its own clip, mean and channel order reach it."""
    cfg = yaml.safe_load(slowfast.make_cfg(arch="c2d", num_frames=4, sampling_rate=2, test_crop_size=48, num_classes=2))
    cfg["DATA"] |= {"REVERSE_INPUT_CHANNEL": True, "MEAN": [0.5, 0.4, 0.3], "TRAIN_CROP_SIZE": 48}
    weights = slowfast.write_pyth(tmp_path / "in.pyth", slowfast.make_state(cfg), yaml.safe_dump(cfg))
    video = write_video(tmp_path / "clip.mp4", num_frames=7, height=48, width=48)
    assert main(["predict", str(video), "--weights", str(weights), "--views", "1x1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    frames = decode_sequentially(video)[::2].float()  # 4 frames at stride 2: all of the video
    x = frames.flip(-1).permute(3, 0, 1, 2)[None]
    mean = 255 * torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1, 1)
    expected = slowfast.scores(slowfast.make_state(cfg), cfg, (x - mean) / (255 * 0.225))[0]
    for index, score in zip(found["classes"], found["scores"], strict=True):
        assert score == pytest.approx(expected[index].item(), abs=1e-4)
    (tmp_path / "val.csv").write_text("path,label\nclip.mp4,1\n")
    command = ["test", "c2d_r50", "--weights", str(weights), "--data.root", str(tmp_path), "--data.val", "val.csv"]
    sizes = ["--data.test_short_side", "48", "--data.test_clips", "1", "--data.workers", "0"]
    assert main([*command, *sizes, "--out", str(tmp_path / "out")]) == 0
    about = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert about["clip"] == "4x2"
    target = tmp_path / "measured.safetensors"
    results = ["--results", str(tmp_path / "out")]
    assert main(["convert", str(weights), str(target), "--to", "nonlocalnet", *results]) == 0
    measured = from_checkpoint(target).card.results["measured"]
    assert measured == {"top1": about["top1"], "top5": about["top5"], "videos": 1, "protocol": "c2d_r50"}
    assert about["recipe"]["model"]["num_classes"] == 2
    # The figures of other weights, or of weights that it does not say, are no figures of these.
    capsys.readouterr()
    other = convert_other(tmp_path, cfg)
    again = ["--to", "nonlocalnet", *results]
    assert main(["convert", str(other), str(tmp_path / "other.safetensors"), *again]) == 2
    assert f"is of a test of other weights, those of {weights}; give the test of these" in capsys.readouterr().err
    del about["weights_digest"]
    (tmp_path / "out" / "summary.json").write_text(json.dumps(about))
    assert main(["convert", str(weights), str(tmp_path / "old.safetensors"), *again]) == 2
    assert "does not say what its weights were: run `nonlocalnet test` once more" in capsys.readouterr().err
    assert not list(tmp_path.glob("o*.safetensors"))


def convert_other(folder, cfg):
    """A file of another network of the same settings."""
    state = {name: tensor + 0.5 for name, tensor in slowfast.make_state(cfg).items()}
    return slowfast.write_pyth(folder / "other.pyth", state, yaml.safe_dump(cfg))


def test_a_test_in_which_nothing_could_be_read_is_none(tmp_path, capsys):
    cfg = yaml.safe_load(slowfast.make_cfg(arch="c2d", num_frames=4, sampling_rate=2, test_crop_size=48, num_classes=2))
    weights = slowfast.write_pyth(tmp_path / "in.pyth", slowfast.make_state(cfg), yaml.safe_dump(cfg))
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"x" * 500)
    (tmp_path / "val.csv").write_text("path,label\nbroken.mp4,1\n")
    command = ["test", "c2d_r50", "--weights", str(weights), "--data.root", str(tmp_path), "--data.val", "val.csv"]
    assert main([*command, "--data.workers", "0", "--out", str(tmp_path / "out")]) == 2
    assert "none of the 1 videos of the test could be read (the log names each)" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_train_starts_from_any_program(tmp_path):
    from nonlocalnet.formats import read_tensors
    from nonlocalnet.formats.initialise import initialise
    from nonlocalnet.models import i3d_resnet50

    config = mmaction2.make_model(mode="dot_product", num_classes=3)
    state = mmaction2.make_state(config)
    path = mmaction2.write_pth(tmp_path / "x.pth", state, mmaction2.config_text(config))
    network = i3d_resnet50(width=4, num_classes=5, nonlocal_blocks=5, pairwise="dot_product")
    report = initialise(network, read_tensors(path), source=str(path))
    assert {name for name, *_ in report.resized} == {"head.projection.weight", "head.projection.bias"}
    assert report.unused == ()
    assert torch.equal(network.res4[0].conv2.weight, state["backbone.layer3.0.conv2.conv.weight"])


def test_weights_lists_the_catalogue(capsys):
    assert main(["weights"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "CC-BY-NC 4.0" in out
    assert all(file.name in out for file in CATALOGUE)
    assert main(["weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 15
    assert rows[0]["url"].endswith("/video-nonlocal/c2d_baseline_32x2_IN_pretrain_400k.pkl")
    assert rows[0]["published"] == {"top1": 72.0, "top5": 90.0}


@pytest.fixture
def server(tmp_path):
    """A local HTTP server over a folder; gives its address and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler_class = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = functools.partial(handler_class, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


def test_weights_fetches_a_file_and_shows_its_licence_first(server, tmp_path, monkeypatch, capsys, released):
    address, folder = server
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (folder / released.name).write_bytes(released.read_bytes())
    assert main(["weights", released.stem, "--url", f"{address}/{released.name}"]) == 0
    captured = capsys.readouterr()
    assert "is under CC-BY-NC 4.0" in captured.err
    path = captured.out.strip()
    assert path == str(tmp_path / "hub" / "checkpoints" / released.name)
    assert from_checkpoint(path).card.results["published"] == {"top1": 74.7, "top5": 91.6}
    assert main(["weights", released.stem, "--url", f"{address}/gone.pkl"]) == 0  # from the cache
    assert main(["weights", CATALOGUE[0].name, "--url", f"{address}/gone.pkl"]) == 2
    assert f"cannot fetch {address}/gone.pkl" in capsys.readouterr().err
    assert main(["weights", "nope"]) == 2
    assert "'nope' is no released file" in capsys.readouterr().err


def test_a_file_with_another_hash_is_not_kept(server, tmp_path, monkeypatch):
    import dataclasses

    from nonlocalnet.formats.download import download

    address, folder = server
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (folder / "file.pkl").write_bytes(b"something else")
    file = dataclasses.replace(CATALOGUE[0], sha256="0123456789")
    with pytest.raises(ValueError, match="the file is not the one published: invalid hash value"):
        download(file, url=f"{address}/file.pkl", progress=False)
    assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []


def test_what_opens_as_no_weights_is_not_kept(server, tmp_path, monkeypatch, capsys):
    address, folder = server
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    for content, said in (
        (b"<!DOCTYPE html><p>gone", "is a page of the web"),
        (b"\x80\x02}q\x00", "is no whole pickle"),
    ):
        (folder / "file.pkl").write_bytes(content)
        assert main(["weights", CATALOGUE[0].name, "--url", f"{address}/file.pkl"]) == 2
        error = capsys.readouterr().err
        assert f"{address}/file.pkl gives no file of weights, and nothing is kept: {CATALOGUE[0].name} {said}" in error
        assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []


def test_a_released_name_that_is_not_there_says_how_to_fetch_it(capsys):
    assert main(["predict", "x.mp4", "--weights", CATALOGUE[0].name]) == 2
    assert f"`nonlocalnet weights {CATALOGUE[0].name}` fetches it" in capsys.readouterr().err


def test_a_caffe2_file_that_did_not_pool_opens_by_an_option(released, tmp_path, capsys):
    assert main(["inspect", str(released), "--input", "8x64x64", "--subsample", "none"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "1x2x2 before" not in out
    assert "no pooling in the blocks (asked for)" in out
    assert main(["convert", str(released), str(tmp_path / "x.pkl"), "--to", "caffe2", "--subsample", "none"]) == 2
    assert "subsampling is None here and (1, 2, 2) there" in capsys.readouterr().err
    assert main(["inspect", str(released), "--subsample", "2"]) == 2
    assert "--subsample must be frames x rows x columns, such as 1x2x2, or none, got '2'" in capsys.readouterr().err


def test_init_anyway_alone_has_no_effect(capsys):
    assert main(["train", "c2d_r50", "--init-anyway"]) == 2
    assert "--init-anyway has no effect without --init FILE" in capsys.readouterr().err


def test_published_results_are_of_the_released_classes(tmp_path):
    name = "i3d_nonlocal_8x8_IN_pretrain_400k.pkl"
    blobs = caffe2.make_blobs(width=2, i3d=True, nonlocal_blocks=5, num_classes=6)
    assert from_checkpoint(caffe2.write_pickle(tmp_path / name, blobs)).card.results is None


def test_classes_are_named_on_request(released, tmp_path, capsys):
    target = tmp_path / "named.safetensors"
    assert main(["convert", str(released), str(target), "--to", "nonlocalnet", "--classes", "kinetics400"]) == 0
    names = from_checkpoint(target).card.class_names
    assert (len(names), names[0], names[399]) == (400, "abseiling", "zumba")
    few = tmp_path / "few.txt"
    few.write_text("a\nb\n")
    assert main(["convert", str(released), str(tmp_path / "x"), "--to", "nonlocalnet", "--classes", str(few)]) == 2
    assert "names 2 classes, and the network of" in capsys.readouterr().err
    few.write_text("\n".join(["other", *names[1:]]))
    assert main(["convert", str(target), str(tmp_path / "x"), "--to", "nonlocalnet", "--classes", str(few)]) == 2
    assert "names class 0 'abseiling'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["weights", "--url", "http://127.0.0.1/x"], "--url says where a file comes from; name the file too"),
        (["weights", "i3d_baseline_8x8_IN_pretrain_400k.pkl", "--json"], "--json is for the list"),
        (["demo", "--smallest", "--seeds", "1"], "--seeds has no effect with --smallest"),
        (["demo", "--task", "detection", "--smallest", "--steps", "3"], "--steps has no effect with --smallest"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
