"""What the tests of networks share."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def randomise_norms(model: nn.Module) -> nn.Module:
    """Give every BatchNorm random scale, shift and statistics: fresh residual branches would add nothing."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def tiny(factory, **arguments):
    """A network of the real architecture at width 8 with random norms, in eval mode."""
    return randomise_norms(factory(**{"width": 8, "num_classes": 5, "crop": 64, **arguments})).eval()
