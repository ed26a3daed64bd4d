"""What the report says of each frame: its status, its numbers, its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from diar_ops._pixels import image_size
from diar_ops._threads import map_threads
from diar_ops._types import Alignment, Reason
from diar_ops.results import formatting as words
from diar_ops.results._maps import bend_map, bent_part, difference_map, frame_colours
from diar_ops.results._run import FinishedRun
from diar_ops.results.images import data_uri, reduce_image

_LONGEST = 480  # edge of the pictures, in pixels


class FrameCard(NamedTuple):
    """One frame as the page shows it."""

    name: str
    photo: str
    size: tuple[int, int]
    colour: str
    #: Mean share of the frame in the covered pixels of the clean picture, where it is known.
    share: float | None
    #: Quantiles of its points' residuals, see :class:`Spreads`.
    spread: dict[str, float] | None
    status: str = "left out"
    reason: str = ""
    facts: Sequence[tuple[str, str]] = ()
    #: Where it differs from the clean picture.
    difference: str = ""
    #: How far and where to its pixels are displaced beyond its homography, if they are.
    bend: str = ""


class Spreads(NamedTuple):
    """Quantiles of each frame's residuals in pixels, and the end of the axis that shows them."""

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


def frame_cards(run: FinishedRun, spreads: Spreads, corner_error: Sequence[float] | None) -> list[FrameCard]:
    """Return one card per frame; ``corner_error`` is NaN where it is not known."""
    alignment, reconstruction = run.alignment, run.reconstruction
    colours = frame_colours(len(run.frames))
    clean = reduce_image(reconstruction.image, _LONGEST)
    covered = max(1, int((reconstruction.coverage > 0).sum()))
    weights = reconstruction.weights

    def card_of(t: int) -> FrameCard:
        frame, name = run.frames[t], run.names[t]
        photo = reduce_image(frame, _LONGEST)
        card = FrameCard(
            name=name,
            photo=data_uri(photo, quality=84, icc_profile=run.icc_profile),
            size=image_size(photo),
            colour=colours[t],
            share=None if weights is None else float(weights[t].detach().sum(dtype=torch.float64)) / covered,
            spread=spreads.per_frame[t],
        )
        if not alignment.success[t]:
            return card._replace(reason=_explain(int(alignment.reason[t])))
        warped, valid = run.warp_reduced(t, photo, image_size(clean))
        difference, differing = difference_map(warped, valid, clean)
        facts = [
            ("agreeing points", f"{int(alignment.inliers[t]):,}".replace(",", "\u202f")),
            ("shows of the picture", words.percent(float(alignment.overlap[t]))),
            ("differs clearly in", words.percent(differing)),
            ("brightness factor", f"{float(reconstruction.gain[t].detach().double().mean()):.2f}"),
        ]
        if corner_error is not None and np.isfinite(corner_error[t]):
            facts.append(("corner error", words.pixels(float(corner_error[t]))))
        bend = ""
        displacement = run.displacement(t, image_size(clean))
        if displacement is not None:
            bent = bent_part(displacement, valid)
            length = bent.norm(dim=0)[valid[0]]
            if len(length):
                facts.append(("not flat: moves by, mean", words.pixels(float(length.mean()))))
                facts.append(("not flat: moves by, most", words.pixels(float(length.max()))))
            bend = data_uri(bend_map(bent, clean))
        status = "reference" if t == alignment.reference else "aligned"
        return card._replace(status=status, facts=facts, difference=data_uri(difference), bend=bend)

    return list(map_threads(card_of, range(len(run.frames))))


def _explain(code: int) -> str:
    """Explain why a frame was left out; alignments from elsewhere may not say."""
    known = code != Reason.OK and code in Reason.__members__.values()
    return Reason(code).explanation if known else "It could not be tied to the reference."
