"""What a dry run counts and tries of a detector is what a training step computes."""

import dataclasses

import pytest
import torch

from nonlocalnet.engine.estimate import estimate_memory
from nonlocalnet.models.detection import detector_cost, keypointrcnn_slim_fpn, maskrcnn_slim_fpn
from nonlocalnet.recipes import recipe
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.runs.detection.trial import RandomStep, TrainedParts

SIZE = (64, 96)


def make(name):
    run = recipe(name)
    data = dataclasses.replace(run.data, min_sizes=(SIZE[0],), max_size=SIZE[1])
    return build_detector(dataclasses.replace(run, data=data), pretrained=False)


def test_features_are_counted_to_the_byte():
    parts = TrainedParts(make("farcue_nl"), SIZE).train()
    own = {t.untyped_storage().data_ptr() for t in (*parts.parameters(), *parts.buffers())}
    held = {}

    def keep(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        parts(torch.randn(2, 3, *SIZE)).sum()
    expected = sum(storage.nbytes() for address, storage in held.items() if address not in own)
    assert estimate_memory(parts, (2, 3, *SIZE)).features == expected


@pytest.mark.parametrize(("name", "keypoints"), [("farcue_nl", None), ("farkeypoint_nl", 2)])
def test_a_random_step_gives_every_trained_part_a_gradient(name, keypoints):
    detector = make(name)
    keypoints = None if keypoints is None else recipe(name).model.num_keypoints
    losses = RandomStep(detector, keypoints=keypoints).train()(torch.randn(2, 3, *SIZE))
    assert losses.shape == (1, 5)
    assert losses.isfinite().all()
    losses.sum().backward()
    by_step = {n for n, p in detector.named_parameters() if p.grad is not None}
    other = make(name)
    TrainedParts(other, SIZE).train()(torch.randn(1, 3, *SIZE)).sum().backward()
    assert by_step == {n for n, p in other.named_parameters() if p.grad is not None}


def test_smaller_images_have_fewer_regions():
    parts = TrainedParts(make("farcue_nl"), SIZE)
    seen = []
    parts.detector.roi_heads.box_head.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    for size, number in ((SIZE, 1), (SIZE, 2), ((32, 96), 1)):
        parts(torch.randn(number, 3, *size))
    whole = parts.detector.roi_heads.fg_bg_sampler.batch_size_per_image
    assert seen == [whole, 2 * whole, whole // 2]


@pytest.mark.parametrize("factory", [maskrcnn_slim_fpn, keypointrcnn_slim_fpn])
def test_parameters_of_the_parts_are_those_of_the_detector(factory):
    detector = factory()
    cost = detector_cost(detector, image_size=(64, 64))
    assert cost.parameters.keys() == cost.parts.keys()
    assert sum(cost.parameters.values()) == sum(p.numel() for p in detector.parameters())
