"""Joint adjustment against `scipy.optimize.least_squares`: time, memory, and the minimum reached.

Every frame is matched with the first and with the three after it, as `align_sequence` pairs frames;
a fifth of the matches is wrong, frames start a pixel off. Both minimise the same robust cost of the
same distances from the same initial values, with the noise given; SciPy's tolerances are such that
it stops at the same cost to eight digits. Its losses take every coordinate by itself, so the robust
cost is put into the residuals; its sparse Jacobian is made of sixteen differences, one for each
entry on which a match depends. "cost" is what either has reached of what both minimise. SciPy runs
once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import bundle_adjust_homographies, corner_error, homography_dlt, transform_points

SIZE, NOISE, WRONG, OFF, NEIGHBOURS = (480, 640), 0.5, 0.2, 1.0, 3
REACH = 6 * NOISE
F64 = torch.float64


class Sequence(NamedTuple):
    frames: Tensor  # (P, 2)
    points0: Tensor  # (P, N, 2)
    points1: Tensor
    initial: Tensor  # (T, 3, 3)
    sizes: Tensor  # (T, 2)
    truth: Tensor  # (T, 3, 3)


def make_sequence(count: int, number: int) -> Sequence:
    gen = torch.Generator().manual_seed(count)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=gen, dtype=F64)

    pairs = [(t, 0) for t in range(1, count)]
    pairs += [(t, t + d) for t in range(1, count) for d in range(1, NEIGHBOURS + 1)]
    frames = torch.tensor([pair for pair in pairs if max(pair) < count])
    span = torch.tensor([SIZE[1] - 1.0, SIZE[0] - 1.0], dtype=F64)
    corners = span * torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]], dtype=F64)
    corners = corners.expand(count, 4, 2)
    truth = homography_dlt(corners, corners + 100 * (uniform(count, 4, 2) - 0.5))
    truth[0] = torch.eye(3)
    picture = span * uniform(len(frames), number, 2)
    points = [
        transform_points(picture, torch.linalg.inv(truth[i])).points
        + NOISE * torch.randn(picture.shape, generator=gen, dtype=F64)
        for i in frames.unbind(1)
    ]
    wrong = uniform(len(frames), number, 1) < WRONG
    points[1] = torch.where(wrong, span * uniform(*picture.shape), points[1])
    near = homography_dlt(corners, corners + 2 * OFF * (uniform(count, 4, 2) - 0.5))
    near[0] = torch.eye(3)
    sizes = torch.tensor(SIZE).expand(count, 2)
    return Sequence(frames, points[0], points[1], near @ truth, sizes, truth)


def ours(s: Sequence, device: torch.device) -> Tensor:
    args = [x.to(device) for x in s[:5]]
    return bundle_adjust_homographies(*args, scale=NOISE).homography.cpu()


def scipy(s: Sequence, device: torch.device) -> Tensor:
    from scipy.optimize import least_squares
    from scipy.sparse import csr_array

    count, number = len(s.initial), s.points0.shape[1]
    unit = np.hypot(*SIZE) / 2
    to_unit = np.array([[1, 0, -(SIZE[1] - 1) / 2], [0, 1, -(SIZE[0] - 1) / 2], [0, 0, unit]])
    points = [((p - p.new_tensor(SIZE[::-1]) / 2 + 0.5) / unit).numpy() for p in s[1:3]]
    start = to_unit @ s.initial.numpy() @ np.linalg.inv(to_unit)
    start = (start / start[:, 2:, 2:]).reshape(count, 9)[:, :8]
    pairs = s.frames.numpy()

    def map_points(h: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """Positions of points (P, N, 2) in the reference, and G G^T."""
        a, b, c, d, e, f, g, i = h.T[:, :, None]
        x, y = p[..., 0], p[..., 1]
        w = 1 / (g * x + i * y + 1)
        u, v = (a * x + b * y + c) * w, (d * x + e * y + f) * w
        ux, uy, vx, vy = (a - g * u) * w, (b - i * u) * w, (d - g * v) * w, (e - i * v) * w
        return u, v, (ux * ux + uy * uy, ux * vx + uy * vy, vx * vx + vy * vy)

    def residuals(one: Any, other: Any) -> np.ndarray:
        """(P, N, 2) pixels: half the sum of their squares is the robust cost."""
        xx, xy, yy = (g + h for g, h in zip(one[2], other[2], strict=True))
        root = np.sqrt(xx)
        lean = xy / root
        x = (one[0] - other[0]) / root * unit
        y = (one[1] - other[1]) * unit - lean * x
        y /= np.sqrt(yy - lean * lean)
        square = x * x + y * y
        cost = 1 - np.clip(1 - square / REACH**2, 0, None) ** 3
        return np.stack((x, y), -1) * (REACH * np.sqrt(cost / (3 * square)))[..., None]

    def all_residuals(entries: np.ndarray) -> np.ndarray:
        h = entries.reshape(count, 8)
        return residuals(*(map_points(h[i], p) for i, p in zip(pairs.T, points, strict=True))).ravel()

    columns = (8 * pairs[:, :, None] + np.arange(8)).reshape(-1, 1, 16)
    columns = np.broadcast_to(columns, (len(pairs), 2 * number, 16)).ravel().astype(np.int32)
    rows = np.arange(0, columns.size + 1, 16, dtype=np.int32)
    free = (pairs != 0).repeat(8, 1)[:, None, None]  # the reference does not move

    def jacobian(entries: np.ndarray) -> csr_array:
        h, delta = entries.reshape(count, 8), 1e-7
        mapped = [map_points(h[i], p) for i, p in zip(pairs.T, points, strict=True)]
        base = residuals(*mapped)
        values = np.empty((*base.shape, 16))
        for side, (i, p) in enumerate(zip(pairs.T, points, strict=True)):
            for k in range(8):
                both = list(mapped)
                both[side] = map_points(h[i] + delta * np.eye(8)[k], p)
                values[..., 8 * side + k] = (residuals(*both) - base) / delta
        values *= free
        return csr_array((values.ravel(), columns, rows), shape=(base.size, 8 * count))

    result = least_squares(all_residuals, start.ravel(), jacobian, x_scale="jac", xtol=1e-8, ftol=1e-10, gtol=1e-10)
    h = np.concatenate((result.x.reshape(count, 8), np.ones((count, 1))), 1).reshape(count, 3, 3)
    return torch.from_numpy(np.linalg.inv(to_unit) @ h @ to_unit)


METHODS = {"ours": ours, "scipy": scipy}


@pytest.mark.benchmark(group="joint adjustment")
@pytest.mark.parametrize(("count", "number"), [(10, 500), (50, 2000)], ids=["10x500", "50x2000"])
@pytest.mark.parametrize("method", list(METHODS))
def test_bundle(
    benchmark: Any, bench_device: torch.device, peak_memory: Callable[..., float], method: str, count: int, number: int
) -> None:
    s = make_sequence(count, number)
    adjust = METHODS[method]
    adjust(make_sequence(3, 20), bench_device)  # the first call of a process pays for loading
    result: list[Tensor] = []

    def measured() -> None:
        rounds = 5 if method == "ours" else 1
        result.append(benchmark.pedantic(adjust, args=(s, bench_device), rounds=rounds))

    benchmark.extra_info["peak MiB"] = peak_memory(measured)
    judged = bundle_adjust_homographies(*s[:3], result[0], s.sizes, scale=NOISE, max_iterations=0)
    error = corner_error(result[0], s.truth, size=SIZE)
    benchmark.extra_info["pairs"] = len(s.frames)
    benchmark.extra_info["cost"] = f"{float(judged.cost):.8f}"
    benchmark.extra_info["worst corner error px"] = float(error.max())
