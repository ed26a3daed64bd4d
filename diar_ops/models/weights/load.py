"""Pretrained weights: by name or from a local file, and the files of trained networks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from diar_ops._checks import check_option
from diar_ops._errors import WeightsError
from diar_ops._files import atomic_path
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.models._pretrained.hub import WEIGHTS_NAME, Pretrained
from diar_ops.models._pretrained.network_file import encode_network, holds_network, network_from
from diar_ops.models._pretrained.state import read_state
from diar_ops.models.dual_descriptor import DualDescriptor
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights.download import fetch
from diar_ops.models.weights.registry import NETWORKS
from diar_ops.models.weights.torchvision import URLS, trunk_from

#: Weights that come with the package, as NAME.safetensors.
SHIPPED = Path(__file__).parent / "shipped"
#: Those of them that restore pictures: for all photos; for photos of what is behind glass.
SHIPPED_RESTORERS = ("diar", "diar-glass")


def load_pretrained(name_or_path: str | os.PathLike[str], *, progress: bool = True) -> nn.Module:
    """Return a network with its weights, in eval mode, on the CPU, in float32.

    A name of weights that come with the package reads their file. The name of a ResNet is looked
    up in the folder where torch.hub and torchvision keep their downloads
    (``torch.hub.get_dir()/checkpoints``) and downloaded there if it is missing; the file's
    SHA-256 is compared with the digits in its name either way. A path is read as it is: a file of
    :func:`save_pretrained` says which network it holds, in others the architecture follows from
    the keys. Nothing in a file is ever executed.

    Trained cells of a ResNet do not look at the centre of their receptive field: the offsets of
    the returned trunk are those measured on ResNet-18's ImageNet weights, (0.3, 1.35, 2.7, 7.0)
    pixels for stages 0 to 3. Assign ``trunk.offset`` if a file holds weights that look elsewhere.

    Args:
        name_or_path: ``"resnet18"``, ``"resnet34"`` or ``"resnet50"`` (torchvision's ImageNet
            weights); the name of weights that come with the package (an unknown name lists them
            all); or the path of a file of :func:`save_pretrained` (or of the folder that a
            network's own ``save_pretrained`` writes), or of a ``.safetensors`` file or of a
            ``.pth`` file that holds a state dict with torchvision's keys. ``layer4`` and ``fc``
            are ignored.
        progress: Report the download on standard error.

    Raises:
        WeightsError: The name is unknown, the download fails, or the file is missing, damaged, no
            weights file, of a newer version, or does not fit a network.

    Example:
        >>> network = load_pretrained("dual")
        >>> type(network).__name__, network.training
        ('DualDescriptor', False)
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}
    if isinstance(name_or_path, str) and name_or_path in shipped:
        path = shipped[name_or_path]
    elif isinstance(name_or_path, str) and name_or_path in URLS:
        path = fetch(name_or_path, URLS[name_or_path], progress=progress)
    else:
        path = Path(name_or_path)
        path = path / WEIGHTS_NAME if path.is_dir() else path
        if not path.is_file():
            raise WeightsError(
                f"load_pretrained: expected one of {[*URLS, *shipped]} or the path of a weights "
                f"file, got {os.fspath(name_or_path)!r}, which is neither"
            )
    with torch.inference_mode(False):  # in which nothing could be trained that is made here
        file = read_state(path)
        classes = {name: entry.network for name, entry in NETWORKS.items()}
        return network_from(file, classes) if holds_network(file) else trunk_from(file)


def save_pretrained(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network to one safetensors file that :func:`load_pretrained` makes it from again.

    The file holds the state dict, and in its header the name of the architecture, the config as
    JSON, the version of the format and of the library, and ``metadata``
    (``safetensors.safe_open(path, "pt").metadata()`` reads them). It appears whole or not at all.

    Args:
        network: A ``DeepResidualSets``, ``DIAR``, ``FaithfulDIAR`` or ``DualDescriptor``, on any
            device, compiled or not. One of a subclass is stored as its base.
        path: The file to write; must end in ``.safetensors``.
        metadata: Words by name to keep with the weights: what they were trained on, and how. Names
            that start with ``diar_ops.`` are taken.
        dtype: ``torch.float16``, ``torch.bfloat16`` or ``torch.float32`` to store floating-point
            tensors in; ``None`` stores each as it is. Loading returns float32 either way.
        overwrite: Replace an existing file.

    Raises:
        OptionError: An argument is not as stated.
        WeightsError: A weight is not finite, or too large for ``dtype``.
        OutputError: ``path`` exists and ``overwrite`` is False, or the operating system refused.

    Example:
        >>> import tempfile
        >>> network = DualDescriptor(DualDescriptorConfig(widths=(8, 8, 16, 16)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(network, f"{folder}/mine.safetensors", metadata={"data": "none"})
        ...     same = load_pretrained(f"{folder}/mine.safetensors")
        >>> same.config == network.config
        True
    """
    op, path = "save_pretrained", Path(path)
    network = getattr(network, "_orig_mod", network)  # what torch.compile wrapped
    check_option(op, isinstance(network, Pretrained), f"a network among {list(NETWORKS)}", type(network).__name__)
    check_option(op, path.suffix == ".safetensors", "a path that ends in .safetensors", path.name)
    content = encode_network(network, dict(metadata or {}), dtype)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def load_descriptor(name_or_path: str = "sift", *, device: torch.device | str = "cpu") -> DenseDescriptor:
    """Load a dense descriptor for :func:`align_sequence`.

    Args:
        name_or_path: ``"sift"`` for dense SIFT every 8 pixels, which needs no weights; ``"dual"``
            for the coarse stage of the :class:`DualDescriptor` that comes with the package, or the
            path of another one; or a ResNet that :func:`load_pretrained` takes, for its second
            stage. (The paper uses the third, whose cells are 16 pixels apart: too coarse to verify
            a pair by.)
        device: Where it shall run.

    Returns:
        The descriptor, in eval mode.

    Raises:
        WeightsError: The weights are missing, do not fit, or are of another network.

    Example:
        >>> describe = load_descriptor("sift")
        >>> features = describe(torch.zeros(1, 3, 64, 96))
        >>> features.descriptors.shape, features.stride
        (torch.Size([1, 128, 7, 11]), (8.0, 8.0))
    """
    if name_or_path == "sift":
        descriptor = DenseDescriptor(DenseSIFT(stride=8))
    else:
        trunk = load_pretrained(name_or_path)
        if isinstance(trunk, DualDescriptor):
            descriptor = DenseDescriptor(trunk, stages="coarse")
        elif isinstance(trunk, ResNetTrunk):
            descriptor = DenseDescriptor(trunk, stages=2)
        else:
            raise WeightsError(
                f"load_descriptor: expected 'sift' or the weights of a DualDescriptor or a ResNet, "
                f"got {name_or_path!r}, which holds a {type(trunk).__name__}"
            )
    return descriptor.to(device).eval()
