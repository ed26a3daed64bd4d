"""Tiles of full resolution: they lie where tie points are, and mend what copies cannot resolve."""

from __future__ import annotations

import numpy as np
import torch

from diar_ops import AlignOptions, align_sequence, corner_error
from diar_ops.pipeline._align.adjust import AdjustedFrames, adjust_frames
from diar_ops.pipeline._align.place import LARGE
from diar_ops.pipeline._align.tie_points import TiePoints
from diar_ops.pipeline._align.tiles import TILE, _tile_corners, refine_in_tiles
from diar_ops.pipeline._frames import Frame
from diar_ops.pipeline._lens import Lens
from tests import photos
from tests.pipeline.align.test_adjust import shifted


def test_tiles_lie_where_tie_points_are() -> None:
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 400
    corners = _tile_corners(points.double(), (1000, 1200))
    assert 0 < len(corners) <= 9
    assert all(0 <= top <= 400 - TILE // 2 and 0 <= left <= 400 - TILE // 2 for top, left in corners)
    edge = torch.tensor([[1199.0, 999.0]]).repeat(20, 1)
    assert _tile_corners(edge, (1000, 1200)) == [(1000 - TILE, 1200 - TILE)]
    assert _tile_corners(edge[:3], (1000, 1200)) == []
    assert _tile_corners(points.double(), (TILE - 1, 1200)) == []


def test_tiles_mend_what_copies_cannot_resolve() -> None:
    """Tiles of the photos themselves mend what their copies could not see."""
    rng = photos.random("large")
    image = photos.picture("large", 700)
    # Detail that is gone in a copy.
    image = (image + 0.1 * rng.standard_normal(image.shape)).clip(0, 1)
    H = np.stack([photos.homography(name, 700) for name in ("front", "left")])
    given = [photos.as_frame(photos.view(image, h, noise="large")) for h in H]
    true = torch.from_numpy(H[0] @ np.linalg.inv(H[1]))
    near = torch.stack([torch.eye(3, dtype=torch.float64), shifted(true, 0.7, -0.6)])
    y, x = torch.meshgrid(torch.linspace(50, 650, 20), torch.linspace(50, 650, 20), indexing="ij")
    there = torch.stack((x, y), -1).reshape(-1, 2).double()
    mask = torch.ones(1, 700, 700, dtype=torch.bool)
    mask[..., :100] = False
    sizes = [(700, 700)] * 2
    (tie,) = refine_in_tiles(
        [TiePoints(1, 0, there, there)],
        AdjustedFrames(near, Lens(0.0, sizes), 0.0),
        [Frame(photo, mask) for photo in given],
        torch.device("cpu"),
        lambda *step: None,
    )
    assert len(tie.points0) > 5000
    assert (tie.points1[:, 0] > 95).all()
    assert (tie.points0[:, 0] > 95).all()
    result = adjust_frames([tie], near, sizes, 0).homography
    assert corner_error(result[1], true, size=(700, 700)) < 0.05


def test_pairs_without_tiles_add_nothing() -> None:
    nowhere = TiePoints(1, 0, torch.zeros(3, 2).double(), torch.zeros(3, 2).double())
    blank = Frame(torch.zeros(3, 300, 300, dtype=torch.uint8), None)
    eyes = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    adjusted = AdjustedFrames(eyes, Lens(0.0, [(300, 300)] * 2), 0.0)
    there = torch.rand(300, 2).double() * 300
    for tie in (nowhere, TiePoints(1, 0, there, there)):
        assert refine_in_tiles([tie], adjusted, [blank] * 2, torch.device("cpu"), lambda *s: None) == []


def test_align_sequence_compares_large_photos_in_tiles() -> None:
    image = photos.picture("closer", 400)
    H = np.stack([photos.homography(name, 400) for name in ("front", "left", "right")])
    given = [photos.as_frame(photos.view(image, h, noise="closer")) for h in H]
    true = torch.from_numpy(H[0] @ np.linalg.inv(H))
    steps = []
    result = align_sequence(
        given,
        reference=0,
        options=AlignOptions(matching_size=200, refinement_size=200),
        progress=lambda step, done, total: steps.append(step),
    )
    assert "looking closer" in steps
    plain = align_sequence(given, reference=0, options=AlignOptions(matching_size=200, refinement_size=399))
    assert LARGE * 399 > 400
    for alignment in (result, plain):
        error = corner_error(alignment.homography_reference_frame, true, size=(400, 400))
        assert error.max() < 0.1
