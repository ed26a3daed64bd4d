"""From frames to homographies: match the pairs, choose a reference, chain, refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._checks import check_option
from diar_ops._types import Alignment, FeatureMap, Matches, PairMatches, Reason
from diar_ops.geometry import ransac_homography, transform_points, warp_homography
from diar_ops.matching import (
    DenseDescriptor,
    DenseSIFT,
    image_pyramid,
    level_features,
    match_local,
    match_pyramid,
)
from diar_ops.pipeline._frames import (
    Frames,
    check_device,
    check_frames,
    image_size,
    rescale_matrix,
    shrink,
)
from diar_ops.pipeline._graph import candidate_pairs, chain_to_reference, choose_reference

__all__ = ["Descriptor", "align_sequence"]

#: Maps images (B, 3, H, W) in [0, 1] to a :class:`FeatureMap`.
Descriptor: TypeAlias = Callable[[Tensor], FeatureMap]


class _Round(NamedTuple):
    """One round of refinement; lengths in pixels of the working copies.

    A frame is verified by the share of its cells that agree on one homography. The cells of
    another picture agree by chance, as often as the threshold covers of the search window: 5 %
    and 9 % were measured here. Twice that is asked for.
    """

    stride: int
    radius: int  # cells
    step: int  # cells
    threshold: float
    min_agreement: float


# The wide window catches what the coarse matches leave over, the fine cells settle it: on a
# rendered sequence stride 4 alone stops at 0.3 px, stride 2 reaches 0.05 px.
_REFINEMENT = (
    _Round(stride=4, radius=3, step=1, threshold=2.0, min_agreement=0.10),
    _Round(stride=2, radius=2, step=2, threshold=1.0, min_agreement=0.18),
    _Round(stride=2, radius=2, step=2, threshold=1.0, min_agreement=0.18),
)
# Of the distances that Alignment.spread reports.
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Refined cells beyond this number add time, not accuracy.
_MAX_REFINED = 20_000


class _Copy(NamedTuple):
    """A frame on the working scale: image (1, 3, h, w), mask, and full -> working pixels."""

    image: Tensor
    valid: Tensor | None
    working_full: Tensor


def align_sequence(
    frames: Frames,
    *,
    reference: str | int = "auto",
    descriptor: Descriptor | None = None,
    refinement: Callable[[int], Descriptor] | None = None,
    scales: Sequence[float] = (1.0, 0.7071, 0.5),
    matching_size: int = 512,
    refinement_size: int = 1024,
    max_matches: int = 3000,
    threshold: float = 4.0,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Alignment:
    """Align all frames of a sequence to one of them.

    1. Every pair of frames (for more than twelve frames: near neighbours and a few hubs) is
       matched by mutual nearest neighbours over all levels of a pyramid and verified by a robust
       homography.
    2. The verified pairs form a graph. The reference is given, or it is the best-connected, most
       complete, most frontal and sharpest frame. Each frame reaches it along the most reliable
       path, directly or through other frames.
    3. Each frame, warped by what is known so far, is matched again to the reference within a small
       window of fine cells, to a fraction of a pixel. A frame whose cells do not agree is left out.

    A frame that cannot be aligned has ``success`` False and a reason; it never affects the others.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16. R, G, B.
        reference: Index of the reference frame, or ``"auto"``.
        descriptor: Maps images (1, 3, h, w) in [0, 1] to a :class:`FeatureMap`, such as a
            :class:`DenseDescriptor`. ``None``: dense SIFT every 8 pixels.
        refinement: Maps a cell stride in pixels to the descriptor of step 3. ``None``: dense SIFT.
        scales: Pyramid scales of step 1.
        matching_size: Longest side of the copies that step 1 works on, in pixels.
        refinement_size: The same for step 3. Larger is more exact and slower.
        max_matches: Matches kept per pair, the best ones.
        threshold: Inlier threshold of step 1, in pixels of the copies.
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        device: Where to compute; ``None``: where the frames are.
        generator: Source of randomness; ``None``: a fixed seed.
        progress: Called with (name of the step, done, in all).

    Returns:
        :class:`Alignment`, on the CPU, homographies in float64.

    Raises:
        ShapeError, DtypeError: The frames are not pictures.
        OptionError: ``reference`` is not a frame, or a size is too small.
    """
    op = "align_sequence"
    frames = check_frames(op, frames, valid)
    count = len(frames)
    if reference != "auto":
        check_option(
            op,
            isinstance(reference, int) and 0 <= reference < count,
            f'reference to be "auto" or a frame from 0 to {count - 1}',
            reference,
        )
    check_option(op, matching_size >= 32, "matching_size >= 32", matching_size)
    check_option(op, refinement_size >= 32, "refinement_size >= 32", refinement_size)
    descriptor = _sift(8) if descriptor is None else descriptor
    refinement = _sift if refinement is None else refinement
    device = frames[0].device if device is None else check_device(op, device)
    masks = [None] * count if valid is None else list(valid)

    with torch.no_grad():
        finite = [not f.is_floating_point() or bool(f.isfinite().all()) for f in frames]
        copies = [
            _working_copy(f, m, matching_size, device) for f, m in zip(frames, masks, strict=True)
        ]
        features = []
        for t, copy in enumerate(copies):
            features.append(_pyramid_features(copy, descriptor, scales) if finite[t] else None)
            _report(progress, "describing photos", t + 1, count)
        pairs = _match_pairs(features, copies, max_matches, threshold, generator, progress)
        del features

        verified = pairs.estimate.success
        index, H_pairs = pairs.frames[verified], pairs.estimate.homography[verified]
        support = pairs.estimate.inliers.sum(dim=1)[verified]
        if reference == "auto":
            sizes = torch.tensor([f.shape[-2:] for f in frames], dtype=torch.float64)
            sharpness = torch.stack([_sharpness(c.image) for c in copies])
            reference = choose_reference(pairs, sharpness, sizes)
        assert isinstance(reference, int)
        chained = chain_to_reference(index, H_pairs, support, count, reference)
        del copies

        size = image_size(frames[reference])
        homography = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
        success = torch.zeros(count, dtype=torch.bool)
        reason = _pair_reasons(pairs, count)
        overlap = torch.zeros(count)
        spread = torch.full((count, len(_QUANTILES)), float("nan"))
        if len(chained) > 1:
            target = _working_copy(frames[reference], masks[reference], refinement_size, device)
            maps = {s: refinement(s)(target.image) for s in {r.stride for r in _REFINEMENT}}
        for done, t in enumerate(sorted(chained)):
            H = chained[t]
            agreed = True
            if t != reference:
                H, agreed, spread[t] = _refine(
                    _working_copy(frames[t], masks[t], refinement_size, device),
                    target, maps, H, refinement, generator,
                )  # fmt: skip
            overlap[t] = _overlap(H, image_size(frames[t]), size)
            success[t] = agreed
            reason[t] = Reason.OK if agreed else Reason.CHANCE_LEVEL
            if agreed:
                homography[t] = H
            _report(progress, "refining", done + 1, len(chained))
        for t in range(count):
            if not finite[t]:
                success[t], reason[t] = t == reference, int(Reason.NOT_FINITE)
    best = torch.zeros(count, dtype=torch.int64)
    for (i, j), n in zip(index.tolist(), support.tolist(), strict=True):
        best[i], best[j] = max(int(best[i]), n), max(int(best[j]), n)
    return Alignment(homography, success, reason, best, overlap, reference, size, spread, pairs)


def _sift(stride: int) -> Descriptor:
    return DenseDescriptor(DenseSIFT(stride=stride))


def _report(
    progress: Callable[[str, int, int], None] | None, step: str, done: int, total: int
) -> None:
    if progress is not None:
        progress(step, done, total)


def _working_copy(frame: Tensor, valid: Tensor | None, longest: int, device: torch.device) -> _Copy:
    image = shrink(frame, longest).to(device, torch.float32)
    full, small = image_size(frame), image_size(image)
    if valid is not None:
        share = torch.nn.functional.interpolate(valid[None].float(), small, mode="area")
        valid = (share > 0.99).to(device)
    return _Copy(image, valid, rescale_matrix(full, small))


def _pyramid_features(
    copy: _Copy, descriptor: Descriptor, scales: Sequence[float]
) -> list[FeatureMap]:
    image = copy.image
    if copy.valid is not None:
        # Descriptors treat pixels that are not finite as unknown.
        image = torch.where(copy.valid, image, float("nan"))
    return [
        level_features(descriptor(level.image), scale=level.scale)
        for level in image_pyramid(image, scales=scales)
    ]


def _match_pairs(
    features: list[list[FeatureMap] | None],
    copies: list[_Copy],
    max_matches: int,
    threshold: float,
    generator: torch.Generator | None,
    progress: Callable[[str, int, int], None] | None,
) -> PairMatches:
    """Match and verify the candidate pairs, in pixels of the copies; return full pixels."""
    index = candidate_pairs(len(features))
    found: list[Matches] = []
    for done, (i, j) in enumerate(index.tolist()):
        levels0, levels1 = features[i], features[j]
        if levels0 is not None and levels1 is not None:
            match = match_pyramid(levels0, levels1, subpixel=True, max_matches=max_matches)
            found.append(Matches(*(_pad(x.cpu(), max_matches) for x in match)))
        else:
            found.append(
                Matches(
                    torch.zeros(1, max_matches, 2),
                    torch.zeros(1, max_matches, 2),
                    torch.zeros(1, max_matches),
                    torch.zeros(1, max_matches, dtype=torch.bool),
                )
            )
        _report(progress, "matching pairs", done + 1, len(index))
    if not found:
        empty = torch.zeros(0, max_matches, 2)
        none = torch.zeros(0, max_matches, dtype=torch.bool)
        matches = Matches(empty, empty, empty[..., 0], none)
    else:
        matches = Matches(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    estimate = ransac_homography(
        matches.points0,
        matches.points1,
        matches.valid,
        score=matches.score,
        threshold=threshold,
        generator=generator,
    )
    _report(progress, "verifying pairs", 1, 1)

    working = torch.stack([c.working_full for c in copies])  # [T, 3, 3]
    full = torch.linalg.inv(working)
    i, j = index.unbind(dim=1)
    H = full[j] @ estimate.homography.to(torch.float64) @ working[i]
    H = torch.where(estimate.success[:, None, None], H, torch.eye(3, dtype=torch.float64))
    matches = matches._replace(
        points0=_affine(matches.points0, full[i]), points1=_affine(matches.points1, full[j])
    )
    return PairMatches(index, matches, estimate._replace(homography=H))


def _pad(x: Tensor, count: int) -> Tensor:
    """Return (1, count, ...), padded with zeros."""
    missing = count - x.shape[1]
    return torch.cat([x, x.new_zeros(1, missing, *x.shape[2:])], dim=1) if missing > 0 else x


def _affine(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply (P, 3, 3) scalings with offset to (P, N, 2) points."""
    matrix = matrix.to(points)
    scale = torch.diagonal(matrix, dim1=1, dim2=2)[:, None, :2]
    return points * scale + matrix[:, None, :2, 2]


def _refine(
    copy: _Copy,
    target: _Copy,
    maps: dict[int, FeatureMap],
    homography_reference_frame: Tensor,
    refinement: Callable[[int], Descriptor],
    generator: torch.Generator | None,
) -> tuple[Tensor, bool, Tensor]:
    """Return the refined homography, whether enough cells agree on it, and their spread."""
    size = image_size(target.image)
    to_copy = torch.linalg.inv(copy.working_full)
    H = target.working_full @ homography_reference_frame @ to_copy
    for stride, radius, step, threshold, min_agreement in _REFINEMENT:
        warped = warp_homography(copy.image, H[None].to(copy.image), size=size, valid=copy.valid)
        image = torch.where(warped.valid, warped.image, float("nan"))
        found = match_local(maps[stride], refinement(stride)(image), radius=radius, step=step)
        keep = found.valid[0].nonzero().squeeze(1)
        keep = keep[:: max(1, len(keep) // _MAX_REFINED)]
        estimate = ransac_homography(
            found.points1[:, keep],
            found.points0[:, keep],
            threshold=threshold,
            generator=generator,
        )
        share = float(estimate.inliers.sum()) / max(1, len(keep))
        agreed = bool(estimate.success[0]) and share >= min_agreement
        if not agreed:
            return homography_reference_frame, False, torch.full((len(_QUANTILES),), float("nan"))
        H = estimate.homography[0].to("cpu", torch.float64) @ H
    used = keep[estimate.inliers[0]]
    landed = transform_points(found.points1[:, used], estimate.homography).points
    distance = (landed - found.points0[:, used]).norm(dim=-1)[0].cpu()
    spread = torch.quantile(distance, torch.tensor(_QUANTILES)) / target.working_full[0, 0]
    return torch.linalg.inv(target.working_full) @ H @ copy.working_full, True, spread


def _pair_reasons(pairs: PairMatches, count: int) -> Tensor:
    """Return, for each frame, why its most promising pair failed; UNCONNECTED if one did not."""
    reason = torch.full((count,), int(Reason.TOO_FEW))
    most = torch.full((count,), -1)
    usable = pairs.matches.valid.sum(dim=1)
    for (i, j), n, why in zip(
        pairs.frames.tolist(), usable.tolist(), pairs.estimate.reason.tolist(), strict=True
    ):
        if why == Reason.OK:
            n, why = 1 << 40, int(Reason.UNCONNECTED)
        for t in (i, j):
            if n > most[t]:
                most[t], reason[t] = n, why
    return reason


def _sharpness(image: Tensor) -> Tensor:
    """Return the mean gradient per contrast: independent of exposure."""
    grey = image.mean(dim=1)
    dx = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean()
    dy = (grey[:, 1:] - grey[:, :-1]).abs().mean()
    return ((dx + dy) / (grey.std() + 0.02)).cpu().double().nan_to_num(0.0)


def _overlap(
    homography_reference_frame: Tensor, frame: tuple[int, int], reference: tuple[int, int]
) -> float:
    """Return the share of the reference's area that the frame shows, on a grid of 64 x 64."""
    y, x = torch.meshgrid(
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference[0] / 64 - 0.5,
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference[1] / 64 - 0.5,
        indexing="ij",
    )
    grid = torch.stack([x, y], dim=-1).reshape(-1, 2)
    points, in_front = transform_points(grid, torch.linalg.inv(homography_reference_frame))
    limit = torch.tensor([frame[1] - 0.5, frame[0] - 0.5], dtype=torch.float64)
    inside = ((points >= -0.5) & (points <= limit)).all(dim=-1)
    return float((inside & in_front).double().mean())
