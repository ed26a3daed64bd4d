"""DeepResidualSets: every frame by itself, every pixel within the reach of the convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.harness import assert_close
from tests.models.restorers import every, network, sequence


@every
def test_padding_stays_out_of_sight(name: str) -> None:
    """A size that the stride does not divide gives what the frames padded by hand give."""
    frames, valid = sequence("padding", 1, 3, 8, 8)
    small = [x[..., :5, :6] for x in (frames, valid)]
    by_hand = [
        torch.cat((x, x[..., -1:].expand(*x.shape[:-1], 2)), dim=-1)
        for x in (torch.cat((x, *[x[..., -1:, :]] * 3), dim=-2) for x in small)
    ]
    built = network(name)
    assert_close(built(*small).image, built(*by_hand).image[..., :5, :6])


def test_frames_are_encoded_by_themselves() -> None:
    built = network("softmax")
    frames, _ = sequence("encoder", 4, 3, 8, 8)
    planes = torch.cat((frames, torch.ones_like(frames[:, :, :1])), dim=2).flatten(0, 1)
    before = built.encoder(planes)
    planes[5] += 0.5
    change = (built.encoder(planes) - before).abs().amax(dim=(1, 2, 3))
    assert change[5] > 0
    assert change.count_nonzero() == 1


def test_pixels_see_no_farther_than_the_convolutions_reach() -> None:
    """Without a norm over the frame, what is far away changes nothing: not even a little."""
    frames, _ = sequence("reach", 1, 2, 4, 400)
    built = network("sets")
    before = built(frames).image
    frames[..., 0] += 0.5
    change = (built(frames).image - before).abs().amax(dim=(0, 1, 2))
    assert change[:4].min() > 0
    assert change[200:].max() == 0


@pytest.mark.parametrize("at", [(4, 4), (5, 7), (7, 6)])
def test_a_token_counts_if_a_pixel_of_its_patch_does(at: tuple[int, int]) -> None:
    """Of a frame with a single valid pixel, exactly the token over that pixel is averaged."""
    built = network("sets")
    frames, valid = sequence("token", 1, 2, 12, 12)
    valid[:, 1] = False
    valid[0, 1, 0, at[0], at[1]] = True
    seen: list[Tensor] = []
    built.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    built(frames, valid)
    built(frames[:, :1], valid[:, :1])
    change = (seen[0] - seen[1]).abs().amax(dim=(0, 1))
    assert change[1, 1] > 0
    assert change.count_nonzero() == 1
