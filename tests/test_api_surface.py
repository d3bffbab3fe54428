"""The public surface: a name added or lost is a decision, not an accident."""

import importlib

import pytest

SURFACE = {
    "nonlocalnet": [
        "NonLocalBlock",
        "create_model",
        "explain",
        "formats",
        "from_checkpoint",
        "functional",
        "insert_nonlocal",
        "models",
        "nonlocal_blocks",
        "predict",
        "timeline",
    ],
    "nonlocalnet.functional": [
        "PAIRWISE",
        "Pairwise",
        "PairwiseFunction",
        "affinity",
        "algorithm",
        "causal_sum",
        "concatenation",
        "dot_product",
        "embedded_gaussian",
        "gaussian",
    ],
    "nonlocalnet.models": [
        "ModelSummary",
        "VideoResNet",
        "c2d_resnet50",
        "c2d_resnet50_control",
        "c2d_resnet101",
        "c2d_resnet101_control",
        "detection",
        "i3d_resnet50",
        "i3d_resnet101",
        "summarise",
    ],
    "nonlocalnet.models.detection": [
        "DetectorCost",
        "add_nonlocal",
        "detector_cost",
        "keypointrcnn_resnet50_fpn",
        "keypointrcnn_resnet101_fpn",
        "keypointrcnn_slim_fpn",
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet101_fpn",
        "maskrcnn_resnext152_32x8d_fpn",
        "maskrcnn_slim_fpn",
        "receptive_field",
    ],
    "nonlocalnet.block": [
        "Affinities",
        "AffinityRows",
        "BlockArguments",
        "BlockOptions",
        "Domain",
        "NonLocalBlock",
        "Norm",
    ],
    "nonlocalnet.formats": [
        "CARD_KEY",
        "CATALOGUE",
        "FORMATS",
        "Card",
        "Format",
        "Hints",
        "InflationReport",
        "InitReport",
        "LoadPlan",
        "LoadReport",
        "OpenedFile",
        "Preprocessing",
        "ReleasedFile",
        "Start",
        "VideoCard",
        "block_from_state_dict",
        "card_of",
        "encode",
        "from_checkpoint",
        "inflate",
        "initialise",
        "kind_of",
        "load",
        "open_file",
        "plan_file",
        "read_checkpoint",
        "read_tensors",
        "start_network",
    ],
    "nonlocalnet.explanation": [
        "BlockExplanation",
        "Explanation",
        "Histogram",
        "Look",
        "Survey",
        "draw_look",
        "explain",
        "look",
    ],
}


@pytest.mark.parametrize("module", SURFACE)
def test_public_names(module):
    imported = importlib.import_module(module)
    assert sorted(imported.__all__) == sorted(SURFACE[module])
    assert all(hasattr(imported, name) for name in imported.__all__)
