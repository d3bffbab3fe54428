"""torch.export and ONNX with dynamic batch, T, H and W, run on sizes that were not seen, against eager."""

import onnxruntime
import pytest
import torch
from torch.export import Dim

from insert.nets import clip, small_net
from nonlocalnet.functional import PAIRWISE

# A pooled axis needs at least two windows to be dynamic: PyTorch fixes sizes of 1 (its own MaxPool2d needs the same).
DYNAMIC = {0: Dim("batch", min=1), 2: Dim("frames", min=2), 3: Dim("height", min=4), 4: Dim("width", min=4)}
SIZES = [(1, 2, 4, 7), (3, 5, 9, 4)]
# Below it PyTorch exports no max_pool3d of dynamic size, nor a bare one: it asks for multiples of the window.
POOLS_DYNAMICALLY = torch.__version__ >= (2, 13)
# A full cover over the options costs minutes of tracing: every pairwise function, every way of pooling and folding.
CASES = [
    ("gaussian", {"subsample": 2}),
    ("embedded_gaussian", {"subsample": 2, "subsample_first": True, "scale": "rsqrt"}),
    ("dot_product", {"domain": "space", "subsample": 2}),
    ("concatenation", {"subsample": 2}),
]


@pytest.mark.parametrize(("pairwise", "options"), CASES)
def test_export_and_onnx(pairwise, options, tmp_path):
    _check(small_net(pairwise=pairwise, **options), DYNAMIC, SIZES, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("options", [{}, {"subsample": 2}, {"domain": "time"}])
def test_export_and_onnx_of_more_options(pairwise, options, tmp_path):
    _check(small_net(pairwise=pairwise, **options), DYNAMIC, SIZES, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_export_and_onnx_of_temporal_groups(pairwise, tmp_path):
    dynamic = {**DYNAMIC, 2: 2 * Dim("groups", min=2)}
    model = small_net(pairwise=pairwise, temporal_group_frames=2)
    _check(model, dynamic, [(1, 4, 4, 7), (3, 6, 9, 4)], tmp_path / "model.onnx")


def _check(model, dynamic, sizes, path):
    if not POOLS_DYNAMICALLY and any(getattr(part, "subsample", None) for part in model.modules()):
        pytest.skip("PyTorch below 2.13 exports no pool of dynamic size")
    program = torch.export.export(model, (clip(),), dynamic_shapes={"x": dynamic})
    torch.onnx.export(program, dynamo=True, verbose=False).save(path)
    exported, session = program.module(), onnxruntime.InferenceSession(path)
    for size in sizes:
        x = clip(*size)
        y = model(x)
        torch.testing.assert_close(exported(x), y, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), y, rtol=1e-4, atol=1e-4)
