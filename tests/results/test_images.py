"""Frames reduced to screen size."""

from __future__ import annotations

import torch

from diar_ops.results.images import reduce_image


def test_reduction_keeps_each_depth_in_range() -> None:
    for dtype, top in ((torch.uint8, 255), (torch.uint16, 65535), (torch.float32, 1)):
        image = torch.tensor([0, top], dtype=torch.float64).repeat_interleave(20).to(dtype)
        small = reduce_image(image.expand(3, 30, 40), 20)
        assert small.shape == (3, 15, 20)
        assert small.dtype == torch.float32
        assert (small[..., :10] == 0).all()
        assert (small[..., 10:] == 1).all()
