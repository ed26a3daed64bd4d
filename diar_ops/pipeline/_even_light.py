"""Even out the light of photos that show different parts of a picture, so that no border between them is seen.

Photos that all show the same are compared with what most of them show. Those of parts meet a few others
each: their light must be told by all overlaps at once, lest it steps or drifts along a chain.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._pixels import fit_size, image_size
from diar_ops.colour import srgb_to_linear
from diar_ops.geometry import transform_points
from diar_ops.pipeline._light_fields import TERMS, EvenLight, light_terms
from diar_ops.pipeline._warp import AlignedSequence, onto_canvas

#: Longest side of the copy on which light is compared, in pixels.
_SIZE = 256
#: A photo that shows less of what all show is one of parts.
_PART = 0.5
#: Log ratios beyond are of something in front, or of glare; and linear values that tell none.
_NEAR, _DARK, _BRIGHT = 0.1, 0.005, 0.95
_ROUNDS = 8
#: Photos are as evenly lit as their overlaps allow: by how much a pixel of all speaks for that.
_EVENNESS = 2e-3
#: Weights fall towards a photo's border over this part of its shorter side, to this share.
_RIM, _LEAST_WEIGHT = 0.15, 1e-3


def even_light(sequence: AlignedSequence) -> EvenLight | None:
    """Find the light of photos of parts; ``None`` where each photo shows most of what all show.

    Least squares over all pixels that two photos show, robust against what differs in one of them: each
    photo's log factors are a quadratic, as a lamp and a lens make them, and no larger than need be.
    """
    used = sequence.used
    if sequence.canvas is None or len(used) < 2:
        return None
    small = fit_size(sequence.size, _SIZE)
    frames, valid = sequence.resized(small, 2 * _SIZE).warp((0, 0, *small))
    shown = valid[0, :, 0].cpu()  # [T', h, w]
    share = shown.flatten(1).sum(1) / shown.any(0).sum().clamp_min(1)
    if not bool((share < _PART).any()):
        return None
    count = len(sequence.frames)
    light = EvenLight(torch.zeros(count, 3, TERMS), torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(count, 1))
    y, x = ((torch.arange(n, dtype=torch.float32) + 0.5) / n for n in small)
    terms = []
    for t, mask in zip(used, shown, strict=True):
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        if len(rows):
            top, bottom, left, right = (float(n) for n in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
            box = [left / small[1], top / small[0], (right - left) / small[1], (bottom - top) / small[0]]
            light.boxes[t] = torch.tensor(box)
        terms.append(light_terms(x[None, :], y[:, None], light.boxes[t]))
    linear = srgb_to_linear(frames[0].cpu())
    usable = shown[:, None] & (linear > _DARK) & (linear < _BRIGHT)
    basis = torch.stack(terms).flatten(2).double()  # [T', 6, N]
    for channel in range(3):
        log = linear[:, channel].clamp_min(_DARK).log().flatten(1).double()
        light.coefficients[used, channel] = _fit(log, usable[:, channel].flatten(1), basis).float()
    return light


def _fit(log: Tensor, usable: Tensor, basis: Tensor) -> Tensor:
    """Return coefficients (T, 6) for which ``log`` (T, N) + coefficients @ ``basis`` (T, 6, N) is alike."""
    T, K, _ = basis.shape
    meet = usable & (usable.sum(0, keepdim=True) >= 2)
    prior = torch.full((K,), _EVENNESS, dtype=log.dtype)
    prior[0] = 1e-6  # whatever the exposures are
    ridge = torch.diag((prior * usable.sum(1, keepdim=True).clamp_min(1)).flatten())
    weight, found = meet.to(log), torch.zeros(T, K, dtype=log.dtype)
    for _ in range(_ROUNDS):
        # The common picture is eliminated: at each pixel it is the weighted mean of the photos.
        total = weight.sum(0).clamp_min(1e-9)
        weighted = (basis * weight[:, None]).flatten(0, 1)  # [6 T, N]
        normal = -(weighted / total) @ weighted.mT
        blocks = torch.einsum("tkn,tn,tln->tkl", basis, weight, basis)
        normal = normal + _block_diagonal(blocks) + ridge
        right = -weighted.view(T, K, -1) @ (log - (weight * log).sum(0) / total)[..., None]
        found = torch.linalg.solve(normal, right.flatten()).view(T, K)
        lit = log + torch.einsum("tk,tkn->tn", found, basis)
        residual = lit - (weight * lit).sum(0) / total
        weight = meet / (1 + (residual / _NEAR).square())
    return found - torch.nn.functional.pad(found[:, :1].mean(0, keepdim=True), (0, K - 1))


def _block_diagonal(blocks: Tensor) -> Tensor:
    """Return (T K, T K) with (T, K, K) along its diagonal."""
    T, K, _ = blocks.shape
    return torch.einsum("tij,ts->tisj", blocks, torch.eye(T, dtype=blocks.dtype)).reshape(T * K, T * K)


def fade_out(sequence: AlignedSequence, window: tuple[int, int, int, int]) -> Tensor:
    """Return (1, T', 1, h, w), logs of weights that fall towards the borders of the used photos."""
    top, left, height, width = window
    y, x = (torch.arange(n, dtype=torch.float64) + first for n, first in ((height, top), (width, left)))
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
    planes = []
    for t in sequence.used:
        H = onto_canvas(sequence.canvas, sequence.alignment.homography_reference_frame[t])
        seen = transform_points(points, torch.linalg.inv(H)).points
        limit = torch.tensor(image_size(sequence.frames[t])).flip(0)
        inside = torch.minimum(seen + 0.5, limit - 0.5 - seen).amin(-1) / (_RIM * float(limit.min()))
        planes.append(inside.clamp(_LEAST_WEIGHT, 1).log().view(1, height, width))
    return torch.stack(planes)[None].float()
