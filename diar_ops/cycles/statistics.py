"""Statistics of a data set: how spoiled its frames are, and how far a median gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from diar_ops._checks import check_option
from diar_ops.aggregate import median_aggregate
from diar_ops.data.dataset import SequenceItem
from diar_ops.geometry import warp_homography
from diar_ops.metrics import colour_gain, psnr
from diar_ops.scene.flags import FrameShares, frame_shares

#: Wider tables do not fit on a page: counts of many frames are taken together.
MAX_COLUMNS = 16


@dataclass(frozen=True, eq=False)
class DatasetStatistics:
    """The measures of :func:`dataset_statistics` over N sequences of T frames.

    Attributes:
        shares: (N, T, 5) float64, :class:`FrameShares` of each frame.
        clean: (N, T + 1) float64, share of the label's pixels that are clean in 0, 1, ... T
            frames: seen, nothing in front, no flag set.
        frame_psnr: (N, T) float64, dB of each frame against the label, where it shows it; NaN if
            it does nowhere.
        median_psnr: (N,) float64, dB of the median of all frames, warped to the label.
        median_psnr_gain: (N,) float64, the same after one least-squares factor per channel.
    """

    shares: Tensor
    clean: Tensor
    frame_psnr: Tensor
    median_psnr: Tensor
    median_psnr_gain: Tensor


def dataset_statistics(
    items: Iterable[SequenceItem], *, progress: Callable[[int], None] | None = None
) -> DatasetStatistics:
    """Measure a data set.

    Args:
        items: Whole sequences with both masks and equally many frames: a
            ``SequenceDataset(folder, masks=("occluded", "flags"))``, or a ``DataLoader`` of it with
            ``batch_size=None``.
        progress: Called with the number of sequences done.

    Returns:
        The :class:`DatasetStatistics`.

    Raises:
        OptionError: There is no sequence, masks are missing, or numbers of frames differ.
        ImageError: From the dataset.
    """
    op = "dataset_statistics"
    shares: list[list[FrameShares]] = []
    clean: list[Tensor] = []
    frames_psnr: list[Tensor] = []
    medians: list[Tensor] = []
    medians_gain: list[Tensor] = []
    for item in items:
        expected = 'items of a SequenceDataset with masks=("occluded", "flags")'
        check_option(op, {"occluded", "flags"} <= item.keys(), expected, sorted(item))
        frames, label, H = item["frames"], item["label"][None], item["homography_frame_label"]
        count = len(frames)
        equal = not clean or len(clean[0]) == count + 1
        check_option(op, equal, "equally many frames in all sequences", count)
        size = (label.shape[-2], label.shape[-1])
        occluded, flags = item["occluded"], item["flags"]
        shares.append([frame_shares(h, o, f, label_size=size) for h, o, f in zip(H, occluded, flags, strict=True)])
        warped, valid, spoiled = _warp_to_label(frames, H, occluded | (flags > 0), size)
        times_clean = (valid & ~spoiled).sum(dim=0).flatten()
        counts = times_clean.bincount(minlength=count + 1).double()
        clean.append(counts / times_clean.numel())
        frames_psnr.append(psnr(warped, label.expand_as(warped), valid))
        median, mask = median_aggregate(warped[None], valid[None]), valid.any(dim=0)[None]
        medians.append(psnr(median, label, mask))
        with_gain = (median * colour_gain(median, label, mask)).clamp(0, 1)
        medians_gain.append(psnr(with_gain, label, mask))
        if progress is not None:
            progress(len(clean))
    check_option(op, bool(clean), "at least one sequence", 0)
    return DatasetStatistics(
        shares=torch.tensor(shares, dtype=torch.float64),
        clean=torch.stack(clean),
        frame_psnr=torch.stack(frames_psnr).double(),
        median_psnr=torch.cat(medians).double(),
        median_psnr_gain=torch.cat(medians_gain).double(),
    )


def _warp_to_label(
    frames: Tensor, homography_frame_label: Tensor, spoiled: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Warp frames and masks to the label; return them and where each frame shows it."""
    eye = torch.eye(3, dtype=homography_frame_label.dtype)
    if frames.shape[-2:] == size and torch.equal(homography_frame_label, eye.expand(len(frames), 3, 3)):
        return frames, torch.ones_like(spoiled), spoiled
    homography_label_frame = torch.linalg.inv(homography_frame_label)
    warped, valid = warp_homography(frames, homography_label_frame, size=size)
    masks, _ = warp_homography(spoiled.to(frames), homography_label_frame, size=size, mode="nearest")
    return warped, valid, masks > 0


def statistics_table(statistics: DatasetStatistics) -> str:
    """Return statistics as two tables in Markdown."""
    rows = ["| of a frame | mean | 10th percentile | median | 90th percentile |", "| --- | ---: | ---: | ---: | ---: |"]
    for number, name in enumerate(FrameShares._fields):
        rows.append(_row(_WORDS[name], statistics.shares[..., number] * 100, "%"))
    rows.append(_row("PSNR against the label", statistics.frame_psnr, "dB"))
    rows.append(_row("median of all frames, per sequence", statistics.median_psnr, "dB"))
    rows.append(_row("the same after one colour gain", statistics.median_psnr_gain, "dB"))
    clean = statistics.clean.mean(dim=0) * 100
    mean = float((clean * torch.arange(len(clean))).sum() / 100)
    step = -(-len(clean) // MAX_COLUMNS)
    groups = list(torch.split(clean, step))
    bounds = [(i * step, i * step + len(group) - 1) for i, group in enumerate(groups)]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in bounds]
    rows += [
        "",
        f"A pixel is clean (seen, nothing in front, no flag) in {mean:.1f} of {len(clean) - 1} frames on average.",
        "",
        "| clean in so many frames | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(groups),
        "| share of pixels, % | " + " | ".join(f"{float(g.sum()):.1f}" for g in groups) + " |",
    ]
    return "\n".join(rows) + "\n"


_WORDS = {
    "visible": "picture within the frame",
    "occluded": "something in front",
    "shadow": "in shadow",
    "highlight": "in a highlight",
    "saturated": "clipped",
}


def _row(name: str, values: Tensor, unit: str) -> str:
    values = values[values.isfinite()]
    if not values.numel():
        return f"| {name} | | | | |"
    levels = torch.tensor([0.1, 0.5, 0.9], dtype=values.dtype)
    figures = [float(values.mean()), *values.quantile(levels).tolist()]
    return f"| {name} | " + " | ".join(f"{figure:.1f} {unit}" for figure in figures) + " |"
