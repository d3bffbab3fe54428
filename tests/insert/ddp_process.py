"""What each of two processes does; in a module of its own, since a spawned process must be able to import it."""

import torch
from torch.nn.parallel import DistributedDataParallel

from insert.nets import clip, small_net


def gradients_of_half(rank, port_file, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = small_net(norm=None)
    ddp, data = DistributedDataParallel(model), clip(batch=4)
    ddp(data[2 * rank : 2 * rank + 2]).square().mean().backward()
    torch.save([p.grad for p in model.parameters()], f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()
