"""What the levels of a factor look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from diar_ops._files import write_image
from diar_ops.cycles import contact_sheet
from diar_ops.evaluation.methods import Method
from diar_ops.evaluation.robustness.factors import FACTORS
from diar_ops.evaluation.robustness.methods import ALIGNED
from diar_ops.evaluation.robustness.photos import choose_pictures, take_photos
from diar_ops.evaluation.robustness.score import exactly_laid
from diar_ops.evaluation.run import one_thread

__all__ = ["write_level_sheets"]

TILE = 112


def write_level_sheets(
    folder: Path,
    factors: Sequence[str],
    methods: Mapping[str, Method],
    textures: Sequence[str],
    *,
    frames: int,
    side: int,
    sequence: int = 0,
    progress: Callable[[], object] | None = None,
) -> list[Path]:
    """Write one sheet per factor: a row per level, with label, frames, and what is made of them.

    Args:
        folder: Where to.
        factors: Of :data:`FACTORS`.
        methods: Whose pictures to show behind the frames, of exactly aligned frames.
        textures: Folders of images; procedural pictures without any.
        frames: How many a sequence has.
        side: Of the frames, in pixels.
        sequence: Which sequence.
        progress: Called after each sheet.

    Returns:
        The files.
    """
    shown = [method for name, method in methods.items() if not name.endswith(ALIGNED)]
    files = []
    with one_thread():
        pictures = choose_pictures(textures, sequence, (side, side))
        for name in factors:
            rows = []
            for level in FACTORS[name].levels:
                photos = take_photos(name, level, sequence, pictures, frames)
                laid = exactly_laid(photos)
                made = [m.restore(laid.frames, laid.valid).float().clamp(0, 1) for m in shown]
                rows.append((photos.label, torch.cat((photos.frames, *made))))
            files.append(folder / f"{name}_{sequence}.png")
            write_image(files[-1], contact_sheet(rows, tile=TILE), overwrite=True)
            if progress is not None:
                progress()
    return files
