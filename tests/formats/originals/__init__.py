"""The original programs' networks, restated: what the library's loaded networks are compared with.

Each module says, in plain `torch.nn.functional` calls over the original names, the graph that one program builds, and
makes files of that program's format from random values. Nothing here imports the library or is shared with it.

| module | program |
|---|---|
| `caffe2` | video-nonlocal-net, the authors' release (`.pkl`) |
| `slowfast` | PySlowFast (`.pyth`) |
| `mmaction2` | mmaction2 on mmcv and mmengine (`.pth`) |
| `blocks` | single blocks: AlexHex7/Non-local_pytorch, mmcv, PySlowFast, PyTorchVideo, GluonCV |
| `imagenet` | the 2-D ImageNet ResNets of the authors' release (`.pkl`) |
| `python2` | pickles as Python 2 wrote them |
| `layers`, `draws` | what the others share: layers over tensors, and random values |

Shape legend: B batch, C channels, K classes, T H W time and space, N positions i, M summed positions j.
"""
