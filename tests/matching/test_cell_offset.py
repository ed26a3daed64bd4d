"""measure_cell_offset finds where cells look that are known to look somewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops import OptionError, ResNetTrunk, ShapeError, load_pretrained
from diar_ops.matching import measure_cell_offset


class Means(nn.Module):
    """Means of squares of 8 x 8 pixels, moved by ``shift`` pixels."""

    stride = 8

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images.roll((-self.shift, -self.shift), (2, 3)), 8)


@pytest.mark.parametrize("shift", [-3, 0, 4])
def test_oracle_means_of_squares(shift: int) -> None:
    assert abs(measure_cell_offset(Means(shift).eval())[0] - 3.5 - shift) < 0.5


def test_oracle_a_centred_network() -> None:
    """Odd kernels, padded by half: cell j of a stage of stride s looks at pixel j * s."""
    trunk = ResNetTrunk().eval()
    for index, parameter in enumerate(trunk.parameters()):
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, generator=torch.Generator().manual_seed(index))
    found = measure_cell_offset(trunk, side=192)
    for stage, stride in enumerate(trunk.stride[:3]):
        assert abs(found[stage]) < 0.1 * stride


def test_oracle_the_descriptor_that_comes_with_the_package() -> None:
    trunk = load_pretrained("dual")
    found = measure_cell_offset(trunk)
    for stage, offset in trunk.offset.items():
        assert abs(found[stage] - offset) < 0.15 * trunk.stride[stage]


def test_exception() -> None:
    with pytest.raises(OptionError, match="a trunk that states its stride, got 'Identity'"):
        measure_cell_offset(nn.Identity())
    with pytest.raises(OptionError, match="in eval mode"):
        measure_cell_offset(ResNetTrunk())
    with pytest.raises(OptionError, match="side >= 64, got 8"):
        measure_cell_offset(Means(0).eval(), side=8)
    flat = Means(0).eval()
    flat.forward = lambda images: images.mean((2, 3))  # type: ignore[method-assign]
    with pytest.raises(ShapeError, match=r"stage 0 of Means must have shape \(B C h w\)"):
        measure_cell_offset(flat)
