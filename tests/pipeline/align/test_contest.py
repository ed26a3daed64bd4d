"""The place of a photo on its anchor must win against the second best."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._types import Reason
from diar_ops.geometry import transform_points
from diar_ops.pipeline._align.contest import Contest, _quarter_turns, contest
from diar_ops.pipeline._align.refine import refine_copies
from diar_ops.pipeline._align.rivals import look_at
from diar_ops.pipeline._frames import WorkingCopy
from tests.harness import generator

EYE = torch.eye(3, dtype=torch.float64)


def ruled_sheet(name: str, turned: bool = False) -> WorkingCopy:
    """A square sheet with a broad border, and faint lines of words, each as long as it likes."""
    rng = generator(name)
    sheet = torch.full((240, 240), 0.95)
    for y in range(20, 220, 14):
        for x in range(12, 228, 4):
            sheet[y : y + 6, x : x + 3] -= 0.25 * float(torch.rand((), generator=rng) < 0.6)
    sheet = sheet.rot90() if turned else sheet
    picture = torch.full((1, 3, 280, 280), 0.2)
    picture[..., 20:-20, 20:-20] = sheet
    picture += 0.01 * torch.randn(picture.shape, generator=rng)
    return WorkingCopy(picture.clamp(0, 1), None, EYE)


def ask(photo: WorkingCopy, anchor: WorkingCopy) -> Contest:
    """Ask whether a photo lies over its anchor as it is."""

    def refine(homography: Tensor) -> Tensor | None:
        refined = refine_copies(photo, anchor, homography)
        return refined.homography[0] if refined.success.item() else None

    return contest(photo, look_at(anchor), EYE, refine)


def test_a_sheet_of_which_the_border_alone_agrees_is_found_to_be_turned() -> None:
    outcome = ask(ruled_sheet("sheet", turned=True), ruled_sheet("sheet"))
    assert outcome.reason == Reason.AMBIGUOUS
    assert outcome.better is not None
    turn = outcome.better[:2, :2]
    torch.testing.assert_close(turn, torch.tensor([[0.0, -1], [1, 0]], dtype=torch.float64), rtol=0, atol=0.01)


def test_a_sheet_in_its_place_wins() -> None:
    assert ask(ruled_sheet("sheet"), ruled_sheet("sheet")).reason == Reason.OK


def test_another_sheet_of_one_layout_does_not() -> None:
    assert ask(ruled_sheet("another"), ruled_sheet("sheet")).reason != Reason.OK


def test_what_hides_the_detail_is_no_other_detail() -> None:
    """Lines all over and specks in one corner, which something in front hides for the most part."""
    rng = generator("hidden detail")
    picture = torch.full((280, 280), 0.6)
    for k in range(12, 280, 23):
        picture[k : k + 3], picture[:, k : k + 3] = 0.8, 0.35
    picture[140:, 140:] = torch.rand(35, 35, generator=rng).repeat_interleave(4, 0).repeat_interleave(4, 1) * 0.5 + 0.3
    photo = picture.clone()
    photo[130:240, 130:240] = 0.15
    one, other = (
        WorkingCopy((p + 0.01 * torch.randn(280, 280, generator=rng)).expand(1, 3, -1, -1), None, EYE)
        for p in (photo, picture)
    )
    assert ask(one, other).reason == Reason.OK
    assert ask(other, one).reason == Reason.OK


def test_quarter_turns_lay_a_square_on_itself() -> None:
    look = look_at(ruled_sheet("sheet"))
    corners = torch.tensor([[20.0, 20], [260, 20], [260, 260], [20, 260]], dtype=torch.float64) - 0.5
    for k, turn in enumerate(_quarter_turns(EYE, look, look)):
        moved = transform_points(corners, turn).points
        torch.testing.assert_close(moved, corners.roll(-(k + 1), 0), rtol=0, atol=6.0)
