"""Views from far apart: simulated views tie what no descriptor does, and the pixels decide."""

from __future__ import annotations

import math

import pytest
import torch

from diar_ops import Reason, align_sequence, corner_error, transform_points, warp_homography
from diar_ops._types import Matches
from diar_ops.pipeline import AlignOptions
from diar_ops.pipeline._align import hard_views, pairs
from diar_ops.pipeline._align.hard_views import LOOKS, TURNS, VERIFIED, tie_hard_views, tied_pair
from diar_ops.pipeline._align.match import as_descriptor, choose_matcher, choose_view_matcher
from diar_ops.pipeline._align.oriented import differ_in_size, refine_on_smaller
from diar_ops.pipeline._align.refine import is_reliable, refine_copies
from diar_ops.pipeline._align.views import affine_view, rotation, upright_shape
from diar_ops.pipeline._frames import working_copy
from tests.harness import generator

#: View ~ H @ picture: tilted by 70 degrees, turned by 110.
TILTED = torch.tensor([[-0.12, -0.80, 240.0], [0.34, -0.30, 150.0], [2e-5, -6e-4, 1.0]], dtype=torch.float64)


def painting(name: str, side: int = 256) -> torch.Tensor:
    """Return a picture (1, 3, side, side) with detail of all sizes."""
    source = generator(name)
    octaves = [torch.rand(1, 3, n, n, generator=source) for n in (5, 9, 17, 33, 65, 129)]
    sizes = (1.6, 1.3, 1.1, 0.9, 0.7, 0.5)
    layers = [
        size * torch.nn.functional.interpolate(x - 0.5, (side, side), mode="bicubic")
        for size, x in zip(sizes, octaves, strict=True)
    ]
    return (0.5 + sum(layers) / 2).clamp(0, 1)


def view_of(picture: torch.Tensor, homography: torch.Tensor, side: int = 256) -> torch.Tensor:
    """Return a photo (3, side, side) of a picture on a grey wall."""
    warped = warp_homography(picture, homography[None].float(), size=(side, side))
    return torch.where(warped.valid, warped.image, 0.5)[0]


def copy_of(photo: torch.Tensor):
    return working_copy(photo, None, 512, photo.device)


def default_matchers():
    options = AlignOptions()
    how = choose_matcher(as_descriptor("test", None), None, options)
    return how, choose_view_matcher(None, how, options, torch.device("cpu"))


class TestViews:
    @pytest.mark.parametrize("angle", [0, 40, 115])
    def test_foreshortening_is_undone(self, angle):
        picture = painting("shape")[0]
        seen = rotation(math.radians(angle)) @ torch.diag(torch.tensor([1.0, 0.4]).double())
        shapes = [upright_shape(copy_of(picture)), upright_shape(affine_view(copy_of(picture), seen))]
        for shape in shapes:
            assert torch.allclose(shape, shape.mT)
            assert torch.linalg.eigvalsh(shape)[1] == pytest.approx(1)
        left = torch.linalg.svdvals(shapes[1] @ seen @ torch.linalg.inv(shapes[0]))
        assert left[0] / left[1] < 1.25, "2.5 before"

    def test_flat_copies_have_no_shape(self):
        assert torch.equal(upright_shape(copy_of(torch.full((3, 64, 64), 0.5))), torch.eye(2).double())

    def test_gradients_along_one_line_stay_bounded(self):
        stripes = (torch.arange(64) // 4 % 2).float().expand(3, 64, 64)
        shape = upright_shape(copy_of(stripes))
        assert torch.linalg.eigvalsh(shape)[0] >= 1 / 8 - 1e-9

    def test_a_view_shows_all_of_the_copy(self):
        copy = copy_of(painting("whole")[0, :, :200])
        view = affine_view(copy, 0.5 * rotation(math.radians(30)))
        corners = torch.tensor([[0.0, 0], [255, 0], [255, 199], [0, 199]]).double()
        there = transform_points(corners, view.homography_copy_frame).points
        height, width = view.size
        assert (there >= -1e-9).all()
        assert (there <= torch.tensor([width - 1, height - 1])).all()


class TestOnSmallerGrid:
    def test_both_ways(self):
        """A photo and one of half of it, from nearer: refined on the first one's grid, either way."""
        picture = painting("smaller", 384)
        far = torch.tensor([[0.4, 0.05, 30.0], [-0.04, 0.35, 60.0], [1e-4, 0, 1]]).double()
        near = torch.tensor([[1.5, 0.0, -150.0], [0.1, 1.4, -160.0], [0, 0, 1]]).double()
        copies = [copy_of(view_of(picture, H)) for H in (far, near)]
        H_near_far = near @ torch.linalg.inv(far)
        start = torch.eye(3).double()
        start[:2, 2] = torch.tensor([1.5, -1.0])
        for i, j, H in ((0, 1, H_near_far), (1, 0, torch.linalg.inv(H_near_far))):
            off = H @ start if i == 0 else start @ H  # in pixels of the photo from far away
            assert differ_in_size(off, copies[i], copies[j])
            refined = refine_on_smaller(copies[i], copies[j], off)
            assert is_reliable(refined, 256)
            points = torch.tensor([[100.0, 110.0], [130.0, 120.0], [110.0, 140.0]]).double()
            points = points if i == 0 else transform_points(points, H_near_far).points
            there, true = (transform_points(points, x).points for x in (refined.homography[0], H))
            pixel = 1.0 if j == 0 else 3.8  # of the near photo in one of the far one
            assert (there - true).norm(dim=-1).max() < 0.15 * pixel
            keep = refined.matches.valid[0]
            mapped = transform_points(refined.matches.points0[0, keep].double(), H).points
            assert (mapped - refined.matches.points1[0, keep]).norm(dim=-1).median() < 0.2 * pixel

    def test_equal_sizes_go_the_usual_way(self):
        photo = painting("equal")[0]
        copy = copy_of(photo)
        assert not differ_in_size(torch.eye(3).double(), copy, copy)
        assert refine_copies(copy, copy, torch.eye(3).double()).success[0]


@torch.no_grad()
def tie(copies, matcher):
    return tie_hard_views(*copies, matcher=matcher, threshold=4.0, generator=None)


class TestTie:
    def test_tilted_and_turned(self):
        picture = painting("tilted")
        copies = [copy_of(picture[0]), copy_of(view_of(picture, TILTED))]
        _, matcher = default_matchers()
        tied = tie(copies, matcher)
        assert tied is not None
        assert corner_error(tied.homography_1_0[None], TILTED[None], size=(256, 256))[0] < 0.5
        pair = tied_pair(tied, 4, 7, *copies, 500)
        assert pair.frames.tolist() == [[4, 7]]
        assert pair.estimate.success[0]
        assert pair.matches.points0.shape == (1, 500, 2)
        keep = pair.estimate.inliers[0]
        assert 50 <= keep.sum() <= hard_views.MOST_MATCHES
        mapped = transform_points(pair.matches.points0[0, keep].double(), TILTED).points
        assert (mapped - pair.matches.points1[0, keep]).norm(dim=-1).median() < 0.5

    def test_foreign_photos_are_not_tied_at_bounded_cost(self):
        _, matcher = default_matchers()
        matched = []

        class Counting:
            def prepare(self, copies):
                return matcher.prepare(copies)

            def match(self, sides):
                matched.append(len(sides))
                return matcher.match(sides)

        copies = [copy_of(painting(name, 160)[0]) for name in ("one", "another")]
        assert tie(copies, Counting()) is None
        assert len(matched) <= len(LOOKS)
        assert sum(matched) <= len(LOOKS) * len(TURNS)
        assert len(TURNS) > VERIFIED

    def test_tiny_copies_are_left(self):
        class NoMatcher:
            def prepare(self, copies):
                raise AssertionError("too small to be described")

        copy = copy_of(painting("tiny", 40)[0])
        assert tie([copy, copy], NoMatcher()) is None


class TestSequences:
    def test_a_hard_photo_is_aligned_and_a_foreign_one_refused(self):
        picture = painting("hard sequence")
        easy = torch.tensor([[0.95, 0.04, 3.0], [-0.03, 1.0, 2.0], [0, 0, 1]]).double()
        photos = [picture[0], view_of(picture, easy), view_of(picture, TILTED), painting("foreign")[0]]
        alignment = align_sequence(photos, reference=0)
        assert alignment.success.tolist() == [True, True, True, False]
        assert alignment.reason[3] == Reason.CHANCE_LEVEL
        found = torch.linalg.inv(alignment.homography_reference_frame[2])
        assert corner_error(found[None], TILTED[None], size=(256, 256))[0] < 0.5

    def test_many_foreign_photos_do_not_cost_more_and_more(self, monkeypatch):
        tried = []
        monkeypatch.setattr(pairs, "tie_hard_views", lambda *copies, **_: tried.append(copies))
        photos = [painting(f"foreign {k}", 64)[0] for k in range(9)]
        alignment = align_sequence(photos, reference=0)
        assert alignment.success.sum() == 1
        assert len(tried) <= hard_views.MOST_FAILURES * hard_views.HUBS

    def test_ordinary_photos_need_no_views(self, monkeypatch):
        def refuse(*_, **__):
            raise AssertionError("tried although all frames are connected")

        monkeypatch.setattr(pairs, "tie_hard_views", refuse)
        photo = painting("ordinary")[0]
        assert align_sequence([photo[:, :240, :240], photo[:, 6:246, 10:250]], reference=0).success.all()

    def test_a_matcher_of_ones_own_matches_the_views(self):
        calls = []

        def nothing(image0, image1):
            calls.append(image0.shape)
            none = torch.zeros(1, 0)
            return Matches(torch.zeros(1, 0, 2), torch.zeros(1, 0, 2), none, none.bool())

        alignment = align_sequence([painting("mine", 96)[0], painting("yours", 96)[0]], reference=0, matcher=nothing)
        assert not alignment.success[1]
        assert len(calls) > len(TURNS)
