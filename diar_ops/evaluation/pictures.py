"""The worst, median and best sequences of a method, to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from diar_ops.data import contact_sheet, write_image
from diar_ops.evaluation.aligned import Aligned
from diar_ops.evaluation.methods import Method
from diar_ops.evaluation.rows import Row
from diar_ops.evaluation.run import one_thread
from diar_ops.metrics import psnr

__all__ = ["BEST_FRAMES", "choose_sequences", "write_pictures"]

#: Frames that a row shows beside the label.
BEST_FRAMES = 2
TILE = 160


def choose_sequences(rows: Sequence[Row], count: int) -> list[Row]:
    """Return ``count`` rows each of the worst, median and best PSNR; worst first, none twice."""
    ranked = sorted(rows, key=lambda row: (row.psnr, row.sequence))
    middle = max(0, (len(ranked) - count) // 2)
    parts = (ranked[:count], ranked[middle : middle + count], ranked[-count:])
    return list({row.sequence: row for part in parts for row in part}.values())


def write_pictures(
    folder: Path,
    rows: Sequence[Row],
    methods: Sequence[Method],
    load: Callable[[Row], Aligned],
    count: int,
    *,
    progress: Callable[[], object] | None = None,
) -> list[Path]:
    """Write one sheet per set and method, of the most frames that the set was scored with.

    Rows of a sheet: :func:`choose_sequences` by this method's PSNR. Columns: the label, the frames
    that are closest to it, the pictures of all methods in their order.

    Args:
        folder: Where to.
        rows: Results, of one or several sets.
        methods: The columns.
        load: Returns the aligned frames that a row belongs to.
        count: Sequences of each kind.
        progress: Called after each sheet.

    Returns:
        The files.
    """
    shown: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
    files = []
    for name in dict.fromkeys(row.set for row in rows):
        most = max(row.frames for row in rows if row.set == name)
        for method in methods:
            of_method = [
                r for r in rows if (r.set, r.frames, r.method) == (name, most, method.name)
            ]
            strips = []
            for row in choose_sequences(of_method, count):
                place = (row.set, row.sequence)
                if place not in shown:
                    shown[place] = _strip(load(row), methods)
                strips.append(shown[place])
            files.append(folder / f"{_file_name(name)}_{_file_name(method.name)}.png")
            write_image(files[-1], contact_sheet(strips, tile=TILE), overwrite=True)
            if progress is not None:
                progress()
    return files


def _strip(aligned: Aligned, methods: Sequence[Method]) -> tuple[Tensor, Tensor]:
    """Return the label (3, H, W) and what stands beside it, (N, 3, H, W), both uint8."""
    frames, valid, label = aligned
    seen = None if valid is None else valid[0]
    quality = psnr(frames[0], label.expand_as(frames[0]), seen).nan_to_num(-torch.inf)
    best = frames[0, quality.argsort(descending=True)[:BEST_FRAMES]]
    with one_thread():
        made = [method.restore(frames, valid).float() for method in methods]
    pictures = (torch.cat((best, *made)).clamp(0, 1) * 255).round().to(torch.uint8)
    return (label[0] * 255).round().to(torch.uint8), pictures


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)
