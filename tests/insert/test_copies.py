"""The network with blocks survives what happens to networks: copies, pickles, checkpoints, compilers, two processes."""

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from insert.nets import AFTER, BEFORE, BLOCKS, SmallNet, clip, small_net, trained
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.functional import PAIRWISE
from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks
from processes import on_processes


def test_deep_copies_are_independent():
    model, x = small_net(), clip()
    y = model(x)
    other = copy.deepcopy(model)
    assert torch.equal(other(x), y)
    for block in nonlocal_blocks(model).values():
        nn.init.zeros_(block.norm.weight)
    assert not torch.equal(model(x), y)
    assert torch.equal(other(x), y)


def test_a_copied_layer_runs_its_own_block():
    model = small_net()
    layer, x = copy.deepcopy(model.middle), torch.randn(1, 6, 2, 3, 3)
    y = layer(x)
    nn.init.zeros_(model.middle.nonlocal_after.norm.weight)
    assert torch.equal(layer(x), y)
    assert not torch.equal(model.middle(x), y)


def test_pickle_in_this_process():
    model, x = small_net(), clip()
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), model(x))
    assert list(nonlocal_blocks(pickle.loads(pickle.dumps(model)))) == BLOCKS


_IN_ANOTHER_PROCESS = """
import pickle, sys
sys.path.insert(0, sys.argv[2])
model, x, y = pickle.load(open(sys.argv[1], "rb"))
import torch
torch.set_num_threads(1)
# Hook numbers start at 0 here: without the handles in the pickle one of these would replace a block's hook.
handles = [m.register_forward_hook(lambda *call: None) for m in (model.middle, model.last) for _ in range(20)]
handles += [m.register_forward_pre_hook(lambda *call: None) for m in (model.middle, model.last) for _ in range(20)]
assert torch.equal(model(x), y)
"""


def test_pickle_in_another_process(tmp_path):
    model, x = small_net(), clip()
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps((model, x, model(x))))
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", _IN_ANOTHER_PROCESS, str(path), tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_state_dict_round_trip():
    model, x = small_net(), clip()
    other = insert_nonlocal(SmallNet(), after=AFTER, before=BEFORE).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


def test_a_checkpoint_without_blocks_lacks_their_keys_only():
    plain = SmallNet()
    model = small_net()
    result = model.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys
    assert all(any(key.startswith(f"{block}.") for block in BLOCKS) for key in result.missing_keys)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_compile(pairwise):
    torch.compiler.reset()
    model, x = small_net(pairwise=pairwise, subsample=2), clip()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    compiled.train()
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_compile_with_the_default_compiler(pairwise):
    torch.compiler.reset()
    model, x = small_net(pairwise=pairwise, subsample=2), clip()
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), model(x))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_bf16_autocast(pairwise):
    fresh = insert_nonlocal(SmallNet(), after=AFTER, before=BEFORE, pairwise=pairwise)
    plain = SmallNet()
    plain.load_state_dict(fresh.state_dict(), strict=False)
    x = clip()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fresh(x), plain(x))
        y = trained(fresh)(x)
    torch.testing.assert_close(y.float(), fresh(x), rtol=0.1, atol=0.1)


def test_two_processes_give_the_gradients_of_one():
    """DDP finds and averages the blocks' parameters, in the Sequential and in the hooks."""
    on_processes("insert.ddp_cases", 2)


def test_inserting_into_a_wrapped_network_is_refused():
    class Wrapped(DistributedDataParallel):
        def __init__(self, module):
            nn.Module.__init__(self)
            self.module = module

    with pytest.raises(ValueError, match="before it is wrapped in DistributedDataParallel"):
        insert_nonlocal(Wrapped(SmallNet()), after=["module.middle"])


def test_a_block_put_in_the_place_of_another_is_run():
    """The hook finds its block by name: what replaces it (a wrapper, an adapter) runs."""
    model, x = small_net(), clip()
    y = model(x)
    model.middle.nonlocal_after = NonLocalBlock(4)
    assert not torch.equal(model(x), y)
