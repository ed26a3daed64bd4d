"""What stands still in photos while the rest moves, and what does not count as that."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._seeds import generator_for
from diar_ops.pipeline._align.overlay import find_overlay, hide_overlay
from diar_ops.pipeline._frames import Frame, WorkingCopy

SIZE = (96, 128)
#: Rows from which on a caption covers the photos.
TOP = 76


def noise(name: str, height: int, width: int) -> Tensor:
    """Return smooth noise (3, height, width) in [0, 1]."""
    grain = torch.rand(3, height + 2, width + 2, generator=generator_for(name), dtype=torch.float32)
    return F.avg_pool2d(grain[None], 3, 1)[0]


def moving(count: int, step: int) -> list[Tensor]:
    """Return photos whose view moves by ``step`` px from one to the next."""
    scene = noise("scene", 200, 300)
    height, width = SIZE
    return [scene[:, step * t : step * t + height, 2 * step * t : 2 * step * t + width].clone() for t in range(count)]


def under_caption(photos: list[Tensor]) -> list[Tensor]:
    caption = noise("caption", SIZE[0] - TOP, SIZE[1])
    return [torch.cat([photo[:, :TOP], caption], 1) for photo in photos]


def find(photos: list[Tensor]) -> Tensor | None:
    return find_overlay([WorkingCopy(photo[None], None, torch.eye(3, dtype=torch.float64)) for photo in photos])


def test_a_caption_is_found_and_little_else() -> None:
    overlay = find(under_caption(moving(5, 7)))
    assert overlay is not None
    assert overlay.shape == (1, 1, *SIZE)
    assert overlay[..., TOP:, :].float().mean() > 0.9
    assert overlay[..., : TOP - 12, :].float().mean() < 0.02


def test_a_caption_with_most_of_the_texture_is_found_along_any_edge() -> None:
    """Of a dark picture, little beside the caption can be seen."""
    scene = [photo.clone() for photo in moving(5, 7)]
    for photo in scene:
        photo[:, :72] *= 0.02
    overlay = find(under_caption(scene))
    assert overlay is not None
    assert overlay[..., TOP:, :].float().mean() > 0.9
    assert overlay[..., : TOP - 12, :].float().mean() < 0.02
    turned = find([photo.mT for photo in under_caption(scene)])
    assert turned is not None
    assert torch.equal(turned, overlay.mT)


def test_what_stands_still_in_the_middle_is_the_scene() -> None:
    """More than half of the texture, and no bar: the camera stands still, and things pass along its edges."""
    scene = moving(5, 7)
    still = noise("still", *SIZE)
    for photo in scene:
        photo[:, :76, 20:108] = still[:, :76, 20:108]
    assert find(scene) is None


def test_a_camera_that_stands_still_hides_nothing() -> None:
    assert find(under_caption(moving(5, 0))) is None


def test_photos_without_a_caption_hide_nothing() -> None:
    assert find(moving(5, 7)) is None


def test_of_two_photos_nothing_is_said() -> None:
    assert find(under_caption(moving(2, 7))) is None
    assert find([]) is None


def test_frames_of_another_size_and_their_masks_stay() -> None:
    photos = under_caption(moving(4, 7))
    known = torch.ones(1, *SIZE, dtype=torch.bool)
    known[:, :10] = False
    large = [F.interpolate(photo[None], scale_factor=2.0)[0] for photo in photos]
    frames = [
        *(Frame(photo, None) for photo in large),
        Frame(torch.rand(3, 50, 60, generator=generator_for("small")), None),
        Frame(large[0], F.interpolate(known[None].float(), scale_factor=2.0)[0] > 0),
    ]
    eye = torch.eye(3, dtype=torch.float64)
    copies = [*(WorkingCopy(photo[None], None, eye) for photo in photos), None, None]
    hidden = hide_overlay(frames, copies)
    assert hidden is not None
    for before, after in zip(frames[:4], hidden, strict=False):
        assert after.image is before.image
        assert after.valid is not None
        assert after.valid.shape == (1, 2 * SIZE[0], 2 * SIZE[1])
        assert not after.valid[:, 2 * TOP + 8 :].any()
        assert after.valid[:, : 2 * TOP - 40].float().mean() > 0.95
    assert hidden[4] is frames[4]
    assert hidden[5].valid is not None
    assert not hidden[5].valid[:, :20].any()
    assert not hidden[5].valid[:, 2 * TOP + 8 :].any()
