"""A folder of features: names, what is kept, what is refused, and what a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from make_videos import write_brightening_video
from nonlocalnet.data.annotations import UNLABELLED, FrameFiles, VideoEntry
from nonlocalnet.data.annotations.given import Given
from nonlocalnet.data.clips.windows import ClipGeometry
from nonlocalnet.runs.video.features.extract import FeatureSettings, VideoFeatures
from nonlocalnet.runs.video.features.folder import FeatureFolder, key_of, open_folder, settings_of
from runs.video.tiny import tiny_network

SETTINGS = FeatureSettings("pooled", ClipGeometry(4, 2), 2, "centre")


def opened(folder: Path, **changes: Any):
    return open_folder(folder, {"level": "pooled", "weights": "a", **changes}, file_format="npy")


def add(folder: FeatureFolder, path: Path) -> str:
    path.touch()
    made = VideoFeatures(str(path), torch.arange(3.0), torch.tensor([[0.0, torch.nan]]).double(), "")
    return folder.add(Given(VideoEntry(path, UNLABELLED), "wave"), made)


def has(folder: FeatureFolder, path: Path) -> bool:
    return folder.has(VideoEntry(path, UNLABELLED))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_names_differ_where_the_frames_do(tmp_path: Path) -> None:
    entries = [
        VideoEntry(tmp_path / "a" / "one.mp4", 0),
        VideoEntry(tmp_path / "b" / "one.mp4", 0),
        VideoEntry(tmp_path / "a" / "one.avi", 0),
        VideoEntry(tmp_path / "a" / "one.mp4", 0, fps=24.0),
        VideoEntry(tmp_path / "a" / "one.mp4", 0, frames=FrameFiles("img_", 5)),
    ]
    assert len({key_of(entry, "npy").lower() for entry in entries}) == len(entries)
    assert key_of(entries[0], "npy") == key_of(entries[0]._replace(label=3), "npy")
    assert key_of(entries[0], "npy").startswith("one-")


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300))
def test_every_name_of_a_video_gives_one_that_every_file_system_takes(name: str) -> None:
    key = key_of(VideoEntry(Path("/videos") / name, 0), "safetensors")
    assert len(key.encode()) < 230  # beside it a partial file has some letters more
    assert not key.startswith(".")
    assert all(letter.isalnum() or letter in "_.-" for letter in key)


def test_a_row_a_video_and_nothing_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out) as folder:
        key = add(folder, tmp_path / "a.mp4")
    row = json.loads((out / "index.jsonl").read_text())
    assert row == {
        "file": str(tmp_path / "a.mp4"),
        "key": key,
        "shape": [3],
        "seconds": [[0.0, None]],
        "label": "wave",
    }
    before = contents(out)
    with opened(out) as folder:
        assert has(folder, tmp_path / "a.mp4")
        assert not has(folder, tmp_path / "b.mp4")
        (tmp_path / "a.mp4").unlink()
        assert has(folder, tmp_path / "a.mp4")
    assert contents(out) == before


def test_a_video_that_was_changed_since_is_made_again(tmp_path: Path) -> None:
    out, video = tmp_path / "out", tmp_path / "a.mp4"
    with opened(out) as folder:
        key = add(folder, video)
        later = (out / key).stat().st_mtime_ns + 10**9
        os.utime(video, ns=(later, later))
        assert not has(folder, video)
        add(folder, video)
    assert (out / "index.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("left", [0, 12])
def test_a_file_that_was_cut_short_is_made_again(tmp_path: Path, left: int) -> None:
    video, out = tmp_path / "a.mp4", tmp_path / "out"
    with opened(out) as folder:
        key = add(folder, video)
    whole = (out / key).read_bytes()
    (out / key).write_bytes(whole[:left])
    rows = (out / "index.jsonl").read_text()
    with opened(out) as folder:
        assert not has(folder, video)
        assert add(folder, video) == key
        assert has(folder, video)
    assert (out / key).read_bytes() == whole
    assert (out / "index.jsonl").read_text() == rows


def test_a_part_of_the_last_line_and_a_file_that_was_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out) as folder:
        keys = [add(folder, tmp_path / name) for name in ("a.mp4", "b.mp4")]
    whole = (out / "index.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for length in (first + 1, first + 30, len(whole) - 1):
        (out / "index.jsonl").write_bytes(whole[:length])
        with opened(out) as folder:
            assert [has(folder, tmp_path / name) for name in ("a.mp4", "b.mp4")] == [True, False]
            add(folder, tmp_path / "b.mp4")
        assert (out / "index.jsonl").read_bytes() == whole
    (out / keys[0]).unlink()
    with opened(out) as folder:
        assert [has(folder, tmp_path / name) for name in ("a.mp4", "b.mp4")] == [False, True]
    assert (out / "index.jsonl").read_bytes() == whole[first:]
    (out / "index.jsonl").write_text("one,two\n")
    with pytest.raises(ValueError, match=r"index.jsonl: line 1 is not one that `nonlocalnet"), opened(out):
        pass


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out, level="map"):  # nothing was written: these settings bind nobody
        pass
    with opened(out) as folder:
        add(folder, tmp_path / "a.mp4")
    with pytest.raises(
        ValueError, match=r'made otherwise: level was "pooled", is "clip"; the weights are others; give'
    ):
        opened(out, level="clip", weights="b").__enter__()
    with opened(out):  # let go after the error
        pass
    (out / "settings.json").write_text("[]")
    with pytest.raises(ValueError, match=r"settings.json is not one that"), opened(out):
        pass


def test_what_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"exists and is not empty \(it holds thesis.tex\)"), opened(tmp_path):
        pass
    with pytest.raises(ValueError, match="is not a folder"), opened(tmp_path / "thesis.tex"):
        pass


def test_what_decides_the_numbers_is_in_the_settings() -> None:
    model, other = tiny_network(), tiny_network()
    same = settings_of(model, SETTINGS, bf16=False)
    assert same == settings_of(other, SETTINGS, bf16=False)
    with torch.no_grad():
        other.stem.conv.weight[0, 0, 0, 0, 0] += 1
    assert settings_of(other, SETTINGS, bf16=False)["weights"] != same["weights"]
    # The same tensors in another graph.
    assert settings_of(tiny_network(scale=0.5), SETTINGS, bf16=False)["weights"] != same["weights"]
    assert {"level", "clip", "clips", "crops", "bf16", "mean", "std", "short_side", "crop"} < same.keys()


def test_two_processes_do_not_write_into_one_folder(tmp_path: Path) -> None:
    holds = (
        "import sys; from pathlib import Path; from nonlocalnet.system.folder_lock import hold_folder\n"
        "hold_folder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holds, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process is writing into"), opened(tmp_path):
            pass
        holder.communicate("")


# To the disk: the settings, two videos and two lines of the index, most as bytes, as a name and as a folder.
@pytest.mark.parametrize(("every", "kills"), [(3, 4), pytest.param(1, 11, marks=pytest.mark.slow)])
def test_killed_at_any_moment_and_run_again_it_equals_one_that_was_not(tmp_path: Path, every: int, kills: int) -> None:
    tiny_network().save_pretrained(tmp_path / "weights")
    for name in ("a/one.mp4", "b/one.mp4"):
        (tmp_path / name).parent.mkdir()
        write_brightening_video(tmp_path / name, num_frames=8)
    (tmp_path / "runs").mkdir()
    script = Path(__file__).with_name("kill_each.py")
    arguments = [tmp_path / "a", tmp_path / "b", "--weights", tmp_path / "weights", "--views", "1x1", "--device", "cpu"]
    command = [sys.executable, script, every, tmp_path / "runs", *arguments]
    subprocess.run([str(part) for part in command], check=True, timeout=280, capture_output=True)
    undisturbed, *killed, at_last = sorted((tmp_path / "runs").iterdir())
    assert contents(at_last) == contents(undisturbed)
    assert len(killed) == kills
    assert len(contents(undisturbed)) == 4
    for folder in killed:
        assert contents(folder) == contents(undisturbed)
