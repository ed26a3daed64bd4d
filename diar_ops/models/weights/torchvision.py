"""Files with torchvision's keys, and its ImageNet weights by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diar_ops._errors import WeightsError
from diar_ops.models._pretrained.state import StateFile, check_fit, some
from diar_ops.models.resnet import ARCHITECTURES, ResNetTrunk

#: torchvision's ImageNet weights (IMAGENET1K_V1; V2 for ResNet-50). A file's name ends with the
#: first digits of its SHA-256.
URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
}
#: Where the cells of stages 0 to 3 of ImageNet weights look, in pixels from the centre of their
#: receptive field: the offset at which the maps of pictures and of resized copies of them agree
#: best, measured on ResNet-18. Training on mirrored pictures of even size pulls the maps
#: towards the centre of the image, half a stride from where the kernels are centred.
_IMAGENET_OFFSET = (0.3, 1.35, 2.7, 7.0)
#: Parts of a ResNet behind the trunk.
_IGNORED = ("layer4.", "fc.")


def trunk_from(file: StateFile) -> ResNetTrunk:
    """Return the trunk that a file with torchvision's keys holds, in eval mode.

    Raises:
        WeightsError: It holds none, or not all of it.
    """
    file = file._replace(state={k: v for k, v in file.state.items() if not k.startswith(_IGNORED)})
    architecture = _architecture_name(file)
    # The initial parameters are overwritten: leave the caller's random numbers alone.
    with torch.random.fork_rng(devices=[]):
        trunk = ResNetTrunk(architecture, offset=_IMAGENET_OFFSET).to(torch.float32)
    check_fit(file, trunk, architecture)
    trunk.load_state_dict({**trunk.state_dict(), **file.state})
    return trunk.eval()


def _architecture_name(file: StateFile) -> str:
    """Return the name of the architecture, by the names of its blocks."""
    state: Mapping[str, Tensor] = file.state
    bottleneck = "layer1.0.conv3.weight" in state
    blocks = tuple(len({key.split(".")[1] for key in state if key.startswith(f"layer{layer}.")}) for layer in (1, 2, 3))
    for name, architecture in ARCHITECTURES.items():
        if architecture.blocks == blocks and architecture.bottleneck == bottleneck:
            return name
    raise WeightsError(
        f"load_pretrained: expected {file.path} to hold the trunk of one of "
        f"{list(ARCHITECTURES)}, got {blocks} blocks in layer1 to layer3 and the keys "
        f"{some(state)}"
    )
