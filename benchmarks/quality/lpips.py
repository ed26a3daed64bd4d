"""LPIPS: how unlike two pictures look, by the features of an AlexNet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_bool, check_floating, check_shapes
from diar_ops._errors import ShapeError, WeightsError
from diar_ops.models._pretrained.state import read_state, some


class Layer(NamedTuple):
    """A layer of torchvision's AlexNet: name, shape of its kernel, and whether input is pooled."""

    name: str
    kernel: tuple[int, int, int, int]
    stride: int
    padding: int
    pooled: bool


LAYERS = (
    Layer("features.0", (64, 3, 11, 11), stride=4, padding=2, pooled=False),
    Layer("features.3", (192, 64, 5, 5), stride=1, padding=2, pooled=True),
    Layer("features.6", (384, 192, 3, 3), stride=1, padding=1, pooled=True),
    Layer("features.8", (256, 384, 3, 3), stride=1, padding=1, pooled=False),
    Layer("features.10", (256, 256, 3, 3), stride=1, padding=1, pooled=False),
)
#: Shapes of the parameters of AlexNet, and of the linear layers.
SHAPES: tuple[dict[str, tuple[int, ...]], ...] = (
    {
        f"{layer.name}.{kind}": shape
        for layer in LAYERS
        for kind, shape in (("weight", layer.kernel), ("bias", layer.kernel[:1]))
    },
    {f"lin{n}.model.1.weight": (1, layer.kernel[0], 1, 1) for n, layer in enumerate(LAYERS)},
)
#: What the colours of a picture in [-1, 1] are brought to before the first layer.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: Added to the length of features before they are divided by it.
EPS = 1e-10
#: Fewer pixels leave nothing of the last layers.
LEAST = 63


class LpipsFiles(NamedTuple):
    """Weights of LPIPS 0.1, which the package does not hold.

    Attributes:
        alexnet: torchvision's AlexNet, ``alexnet-owt-7be5be79.pth``.
        linear: The linear layers of LPIPS 0.1 for it, ``alex.pth``.
    """

    alexnet: Path
    linear: Path


def load_lpips(files: LpipsFiles) -> dict[str, Tensor]:
    """Read the weights that :func:`lpips_distance` takes; nothing in the files is executed.

    Raises:
        WeightsError: A file is missing, damaged, or holds something else.
    """
    params: dict[str, Tensor] = {}
    for path, shapes in zip(files, SHAPES, strict=True):
        state = read_state(path).state
        wrong = [k for k, shape in shapes.items() if k not in state or state[k].shape != shape]
        if wrong:
            raise WeightsError(f"{path} does not hold {some(wrong)} in the shapes of LPIPS 0.1")
        params.update((k, state[k].float()) for k in shapes)
    return params


def lpips_digest(files: LpipsFiles) -> str:
    """Return a SHA-256 of both files.

    Raises:
        WeightsError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise WeightsError(f"cannot read {path} ({error})") from error
    return digest.hexdigest()


def lpips_distance(image: Tensor, target: Tensor, params: Mapping[str, Tensor], valid: Tensor | None = None) -> Tensor:
    """Return LPIPS 0.1 with AlexNet: 0 for equal pictures, larger the less alike they look.

    Features of five layers are divided by their length at each cell; their squared differences,
    weighted per channel, are averaged over the cells and summed over the layers.

    Args:
        image: (B, 3, H, W) sRGB in [0, 1], H and W at least 63.
        target: (B, 3, H, W).
        params: Of :func:`load_lpips`; differentiable.
        valid: Optional (B, 1, H, W) bool; elsewhere both pictures show the target, and cells count
            by the share of their pixels that are valid.

    Returns:
        (B,) in the dtype of the parameters; NaN for an item without a valid pixel.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: An image is not floating point or ``valid`` not bool.

    Source: Zhang, Isola, Efros, Shechtman and Wang, The Unreasonable Effectiveness of Deep Features
    as a Perceptual Metric, CVPR 2018, equation 1.
    """
    op = "lpips_distance"
    sizes = check_shapes(op, image=(image, "B 3 H W"), target=(target, "B 3 H W"), valid=(valid, "? B 1 H W"))
    check_floating(op, image=image, target=target)
    check_bool(op, valid=valid)
    if min(sizes["H"], sizes["W"]) < LEAST:
        raise ShapeError(f"{op}: images must be at least {LEAST} x {LEAST} pixels, got {sizes['H']} x {sizes['W']}")
    dtype = params["features.0.weight"].dtype
    x, y = image.to(dtype), target.to(dtype)
    weight = None
    if valid is not None:
        x, weight = torch.where(valid, x, y), valid.to(dtype)
    shift, scale = (x.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
    # One pass for both.
    features = (2 * torch.cat([x, y]) - 1 - shift) / scale
    total = x.new_zeros(len(x))
    for number, (name, _, stride, padding, pooled) in enumerate(LAYERS):
        if pooled:
            features = F.max_pool2d(features, 3, 2)
        kernel, bias = params[f"{name}.weight"], params[f"{name}.bias"]
        features = F.conv2d(features, kernel, bias, stride=stride, padding=padding).relu()
        length = features.square().sum(dim=1, keepdim=True).sqrt()
        a, b = (features / (length + EPS)).chunk(2)
        difference = F.conv2d((a - b).square(), params[f"lin{number}.model.1.weight"])
        if weight is None:
            total = total + difference.mean(dim=(1, 2, 3))
        else:
            share = F.interpolate(weight, difference.shape[-2:], mode="area")
            total = total + (difference * share).sum(dim=(1, 2, 3)) / share.sum(dim=(1, 2, 3))
    return total
