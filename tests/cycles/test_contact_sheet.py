"""Contact sheets: every picture is where it belongs, in its own shape and colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError
from diar_ops.cycles import contact_sheet, mask_overlay
from diar_ops.cycles.contact_sheet import GAP, OCCLUDED_COLOUR
from diar_ops.data.masks import FLAG_COLOURS
from diar_ops.scene import FrameFlag

TILE = 8


def plain(*levels: int, size: tuple[int, int] = (16, 16)) -> Tensor:
    """Pictures (T, 3, *size) of one grey level each."""
    column = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None]
    return column.expand(-1, 3, *size).clone()


def levels(sheet: Tensor, columns: int, rows: int) -> list[list[int]]:
    """Return the level in the middle of each tile: the label's column, then the frames'."""
    middle = TILE // 2
    x = [GAP + middle] + [GAP + (n + 1) * (TILE + GAP) + 2 * GAP + middle for n in range(columns)]
    y = [GAP + n * (TILE + GAP) + middle for n in range(rows)]
    return [[int(sheet[0, v, u]) for u in x] for v in y]


def test_every_picture_is_in_its_place() -> None:
    sheet = contact_sheet([(plain(9)[0], plain(1, 2, 3)), (plain(8)[0], plain(4, 5))], tile=TILE)
    assert sheet.dtype == torch.uint8
    assert sheet.shape == (3, 2 * (TILE + GAP) + GAP, 4 * (TILE + GAP) + 3 * GAP)
    assert levels(sheet, 3, 2) == [[9, 1, 2, 3], [8, 4, 5, 255]]


def test_rows_wrap_and_overlays_follow_their_row() -> None:
    sheet = contact_sheet([(plain(9)[0], plain(1, 2, 3))], overlays=[plain(11, 12, 13)], columns=2, tile=TILE)
    assert levels(sheet, 2, 4) == [[9, 1, 2], [255, 11, 12], [255, 3, 255], [255, 13, 255]]


def test_floats_are_levels_and_shapes_are_kept() -> None:
    frames = torch.full((1, 3, 32, 64), 0.2)
    sheet = contact_sheet([(plain(9)[0], frames)], tile=TILE)
    tile = sheet[:, GAP:, GAP + TILE + 3 * GAP :]
    assert (tile[:, : TILE // 2, :TILE] == 51).all()
    assert (tile[:, TILE // 2 :] == 255).all()


def test_a_sequence_without_frames_shows_its_label() -> None:
    sheet = contact_sheet([(plain(9)[0], plain(1)[:0])], tile=TILE)
    assert levels(sheet, 0, 1) == [[9]]


def test_overlays_paint_masks_in_their_order() -> None:
    frames = plain(100, size=(2, 4))
    occluded = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)[None, None]
    flags = torch.tensor([[7, 7, 1, 0], [0, 2, 3, 0]], dtype=torch.uint8)[None, None]
    painted = mask_overlay(frames, occluded, flags)

    def colour(*steps: tuple[int, int, int]) -> list[int]:
        value = torch.full((3,), 45.0)
        for step in steps:
            value = 0.25 * value + 0.75 * torch.tensor(step)
        return value.round().int().tolist()

    shadow, highlight, saturated = (FLAG_COLOURS[flag] for flag in FrameFlag)
    expected = [
        [
            colour(shadow, highlight, saturated, OCCLUDED_COLOUR),
            colour(shadow, highlight, saturated),
            colour(shadow),
            colour(),
        ],
        [colour(OCCLUDED_COLOUR), colour(highlight), colour(shadow, highlight), colour()],
    ]
    assert painted[0].permute(1, 2, 0).int().tolist() == expected
    assert (mask_overlay(frames, None) == 45).all()


def test_wrong_arguments_are_refused() -> None:
    good = (plain(9)[0], plain(1, 2))
    with pytest.raises(OptionError, match="at least one sequence"):
        contact_sheet([])
    with pytest.raises(OptionError, match="columns above 0"):
        contact_sheet([good], columns=0)
    with pytest.raises(OptionError, match="tile above 0"):
        contact_sheet([good], tile=0)
    with pytest.raises(OptionError, match="pictures with pixels"):
        contact_sheet([(torch.zeros(3, 0, 4), torch.zeros(2, 3, 4, 4))])
    with pytest.raises(OptionError, match="1 overlays, got 0"):
        contact_sheet([good], overlays=[])
    with pytest.raises(ShapeError, match="label"):
        contact_sheet([good[::-1]])
    with pytest.raises(DtypeError, match="uint8 or floating point"):
        contact_sheet([(good[0].int(), good[1])])
