"""What the report says of each frame: its status, its numbers, its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diar_ops._types import Alignment, Reconstruction
from diar_ops.results import _words as words
from diar_ops.results._images import data_uri, place_frame, reduce_image
from diar_ops.results._maps import difference_map, frame_colours

__all__ = ["FrameCard", "Spreads", "frame_cards", "spreads_of"]

_LONGEST = 480  # edge of the pictures, in pixels


class FrameCard(NamedTuple):
    """One frame as the page shows it.

    Attributes:
        name: File name.
        status: ``"reference"``, ``"aligned"`` or ``"left out"``.
        photo: Data URI of the frame.
        width: Of that picture, in pixels.
        height: Of that picture, in pixels.
        colour: Hex colour that stands for the frame.
        share: Mean share of the frame in the covered pixels of the clean picture.
        spread: Quantiles of its points' residuals in pixels, if they are known.
        reason: Why the frame was left out; empty if it was not.
        facts: (label, value) lines of an aligned frame.
        difference: Data URI of where an aligned frame differs from the clean picture.
    """

    name: str
    status: str
    photo: str
    width: int
    height: int
    colour: str
    share: float
    spread: dict[str, float] | None
    reason: str = ""
    facts: Sequence[tuple[str, str]] = ()
    difference: str = ""


class Spreads(NamedTuple):
    """Quantiles of each frame's residuals in pixels, and the axis that shows them.

    Attributes:
        per_frame: ``p5``, ``p25``, ``p50``, ``p75`` and ``p95``; None where they are not known.
        median: Over the frames, of ``p50``; None if none is known.
        axis: End of the axis.
    """

    per_frame: list[dict[str, float] | None]
    median: float | None
    axis: float


def spreads_of(alignment: Alignment) -> Spreads:
    """Return the spread of each frame's points as the page shows it."""
    names = ("p5", "p25", "p50", "p75", "p95")
    per_frame: list[dict[str, float] | None] = [
        dict(zip(names, row, strict=True)) if np.isfinite(row).all() else None
        for row in alignment.spread.cpu().double().tolist()
    ]
    known = [spread for spread in per_frame if spread is not None]
    largest = max((spread["p95"] for spread in known), default=1.0)
    axis = next((a for a in (0.5, 1, 2, 3, 5, 10, 20, 50, 100) if a >= largest), largest)
    median = float(np.median([spread["p50"] for spread in known])) if known else None
    return Spreads(per_frame, median, float(axis))


def frame_cards(
    frames: Sequence[Tensor],
    names: Sequence[str],
    alignment: Alignment,
    reconstruction: Reconstruction,
    *,
    spreads: Spreads,
    corner_error: Sequence[float] | None = None,
) -> list[FrameCard]:
    """Return one card per frame; arguments are those of :func:`render_report`."""
    colours = frame_colours(len(frames))
    clean = reduce_image(reconstruction.image, _LONGEST)
    covered = max(1, int((reconstruction.coverage > 0).sum()))
    cards = []
    for t, (frame, name) in enumerate(zip(frames, names, strict=True)):
        photo = reduce_image(frame, _LONGEST)
        card = FrameCard(
            name=name,
            status="left out",
            photo=data_uri(photo, quality=84),
            width=photo.shape[2],
            height=photo.shape[1],
            colour=colours[t],
            share=float(reconstruction.weights[t].detach().sum(dtype=torch.float64)) / covered,
            spread=spreads.per_frame[t],
        )
        if not alignment.success[t]:
            cards.append(card._replace(reason=words.reason(int(alignment.reason[t]))))
            continue
        placement = place_frame(frames, alignment, reconstruction, t)
        difference, differing = difference_map(photo, clean, placement)
        facts = [
            ("agreeing points", f"{int(alignment.inliers[t]):,}".replace(",", "\u202f")),
            ("shows of the picture", words.percent(float(alignment.overlap[t]))),
            ("differs clearly in", words.percent(differing)),
            ("brightness factor", f"{float(placement.gain.mean()):.2f}"),
        ]
        if corner_error is not None and np.isfinite(corner_error[t]):
            facts.append(("corner error", words.pixels(float(corner_error[t]))))
        status = "reference" if t == alignment.reference else "aligned"
        cards.append(card._replace(status=status, facts=facts, difference=data_uri(difference)))
    return cards
