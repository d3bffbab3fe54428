"""Checkpoints that commit 3722137 wrote open, predict, test and resume here as they did there.

`old_checkpoints/make_old_checkpoints.py` says how they were made. Where PyTorch and the processor compute as they did
then, and nothing is summed in another order since, every number must be the same to the last bit; else to 1e-6, and to
1e-4 after more steps of training. The videos
and images are generated anew; where another build of FFmpeg or Pillow makes others of them, what depends on them is run
but not compared. The clips and the image of numbers depend on neither.
"""

from __future__ import annotations

import json
import lzma
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nonlocalnet import from_checkpoint
from nonlocalnet.commands.main import main
from nonlocalnet.data.generated import videos as generated_videos
from nonlocalnet.data.generated.images import write_far_cue_images, write_far_keypoint_images
from runs.old_checkpoints import jobs

OLD = Path(__file__).parent / "old_checkpoints"
EXPECTED = json.loads((OLD / "expected.json").read_text())
# Of the others the Gaussian forms go through PyTorch's flash attention by now, and a training's dot products differ.
SAME_SUMS = ("control",)
# Masks and keypoints are thresholds and maxima of maps: another rounding may move them by a pixel.
BITS_ONLY = ("mask", "segm", "keypoints", "hash")


@pytest.fixture(scope="module")
def exact() -> bool:
    """Whether this PyTorch and processor compute as those of the expected numbers."""
    return jobs.arithmetic() == EXPECTED["arithmetic"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patched:
        # As that commit encoded them, which gives the same each time where no encoder is beside another.
        patched.setattr(generated_videos, "ENCODER", {"crf": "18", "preset": "veryfast", "threads": "1"})
        patched.setattr(os, "cpu_count", lambda: 1)
        jobs.make_videos(root / "videos", main=main)
    images = {"num_train": jobs.NUM_TRAIN_IMAGES, "num_val": jobs.NUM_VAL_IMAGES}
    write_far_cue_images(root / "far_cue", **images)
    write_far_keypoint_images(root / "far_keypoint", **images)
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of the old runs as they were."""
    root = tmp_path_factory.mktemp("runs")
    for name in jobs.JOBS:
        shutil.copytree(OLD / name, root / name)
        packed = root / name / "last.ckpt.xz"
        (root / name / "last.ckpt").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return root


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text within dictionaries and lists, under the path that leads there."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{path}/{key}")
    else:
        yield path, value


def require_same(found: Any, name: str, asked: str, *, exact: bool, within: float = 1e-6) -> None:
    """What a job gives as it was; every bit, or else, `BITS_ONLY` left out, every number absolutely or relatively."""
    exact = exact and name in SAME_SUMS
    there, here = dict(leaves(expected_of(name)[asked])), dict(leaves(found))
    if not exact:
        there, here = without_bits_only(there), without_bits_only(here)
    assert here.keys() == there.keys()
    tolerance = 0 if exact else within
    wrong = {path: (here[path], there[path]) for path in there if not close(here[path], there[path], path, tolerance)}
    assert wrong == {}


def without_bits_only(all_leaves: dict[str, Any]) -> dict[str, Any]:
    return {path: leaf for path, leaf in all_leaves.items() if not set(path.split("/")) & set(BITS_ONLY)}


def close(one: Any, other: Any, path: str, tolerance: float) -> bool:
    if not (isinstance(one, float) and isinstance(other, float)):
        return one == other
    # The sides of a box are pixels: the tolerance is that of the widest image.
    size = 320 if path.split("/")[-2] in ("box", "bbox") else 1
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * size)


def skip_unless_same_data(folder: Path) -> None:
    if jobs.hash_of(folder) != EXPECTED["data"][folder.name]:
        pytest.skip(f"the generated {folder.name} differ from those of the expected numbers: another FFmpeg or Pillow")


def expected_of(name: str) -> dict[str, Any]:
    return EXPECTED["jobs"][name]


def scores_of_numbers(weights: Path, *, multi_label: bool) -> list[list[float]]:
    with torch.inference_mode():
        return from_checkpoint(weights).scores(jobs.clips_of_numbers(), multi_label=multi_label).tolist()


@pytest.mark.parametrize("name", jobs.VIDEO_JOBS)
def test_a_video_network_opens(name: str, runs: Path, exact: bool) -> None:
    weights = runs / name / "last.ckpt"
    kept = torch.load(weights, weights_only=True)["state_dict"]
    opened = from_checkpoint(weights).state_dict()
    assert kept.keys() == {f"model.{path}" for path in opened}
    assert [path for path, tensor in opened.items() if not torch.equal(tensor, kept[f"model.{path}"])] == []
    found = scores_of_numbers(weights, multi_label=name == "several_classes")
    require_same(found, name, "numbers", exact=exact)


@pytest.mark.parametrize("file", ["control/weights.safetensors", "several_classes/pretrained"])
def test_a_file_of_weights_opens(file: str, exact: bool) -> None:
    name = Path(file).parent.name
    found = scores_of_numbers(OLD / file, multi_label=name == "several_classes")
    require_same(found, name, "numbers", exact=exact)


@pytest.mark.parametrize("name", ["one_class", "several_classes"])
def test_the_blocks_have_a_part_in_the_scores(name: str, runs: Path) -> None:
    """So blocks that are lost, or computed otherwise, would be noticed above."""
    network = from_checkpoint(runs / name / "last.ckpt")
    for path, tensor in network.state_dict().items():
        if path.endswith("_nonlocal.out.weight"):
            tensor.zero_()
    with torch.inference_mode():
        without = network.scores(jobs.clips_of_numbers(), multi_label=name == "several_classes")
    assert (without - torch.tensor(expected_of(name)["numbers"])).abs().max() > 1e-3


@pytest.mark.parametrize("name", jobs.IMAGE_JOBS)
def test_a_detector_opens(name: str, runs: Path, tmp_path: Path, exact: bool) -> None:
    jobs.write_image_of_numbers(tmp_path / "numbers.png")
    found = jobs.detect(tmp_path / "numbers.png", weights=runs / name / "last.ckpt", main=main)
    require_same(found, name, "numbers", exact=exact)


@pytest.mark.parametrize("name", jobs.VIDEO_JOBS)
def test_a_video_network_is_tested_and_predicts(name: str, data: Path, runs: Path, tmp_path: Path, exact: bool) -> None:
    job, weights = jobs.JOBS[name], runs / name / "last.ckpt"
    tested = jobs.score_videos(job, data=data / job.data, weights=weights, out=tmp_path / "test", main=main)
    predicted = jobs.predict(data=data / job.data, weights=weights, main=main)
    assert sorted(predicted["names"]) == ["blue", "green", "red"]
    skip_unless_same_data(data / job.data)
    require_same(tested, name, "test", exact=exact)
    require_same(predicted, name, "predict", exact=exact)


@pytest.mark.parametrize("name", jobs.IMAGE_JOBS)
def test_a_detector_is_tested(name: str, data: Path, runs: Path, tmp_path: Path, exact: bool) -> None:
    job, weights = jobs.JOBS[name], runs / name / "last.ckpt"
    tested = jobs.evaluate_images(job, data=data / job.data, weights=weights, out=tmp_path / "test", main=main)
    assert len(tested["results"]["bbox"]) == len(expected_of(name)["test"]["results"]["bbox"])
    skip_unless_same_data(data / job.data)
    require_same(tested, name, "test", exact=exact)


@pytest.mark.parametrize("name", jobs.JOBS)
def test_a_run_resumes(name: str, data: Path, runs: Path, tmp_path: Path, exact: bool) -> None:
    job = jobs.JOBS[name]
    out = shutil.copytree(runs / name, tmp_path / name)
    old_rows = (out / "metrics.csv").read_text()
    found = jobs.resume(job, data=data / job.data, out=out, main=main)
    assert found["step"] == job.steps + jobs.MORE_STEPS
    assert (out / "metrics.csv").read_text().startswith(old_rows)
    skip_unless_same_data(data / job.data)
    # Two steps on, other roundings have grown.
    require_same(found, name, "resume", exact=exact, within=1e-4)
