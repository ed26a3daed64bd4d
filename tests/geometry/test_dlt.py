"""homography_dlt against NumPy in float64 and OpenCV, and where others lose digits or give NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DeviceError, DtypeError, ShapeError, homography_dlt
from tests.harness import Call, OpTests, assert_close, generator

F64 = torch.float64
SQUARE = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]], dtype=F64)


def project(homography: Tensor, points: Tensor) -> Tensor:
    mapped = points.to(F64) @ homography[..., :2].to(F64).mT + homography[:, None, :, 2].to(F64)
    return mapped[..., :2] / mapped[..., 2:]


def some_homographies(name: str, count: int, size: float = 500.0) -> Tensor:
    """Return (count, 3, 3) views of a plane, each corner of ``size`` moved by up to a fifth."""
    gen = generator(name)
    corners = SQUARE.expand(count, -1, -1) * size
    moved = corners + (torch.rand(corners.shape, generator=gen, dtype=F64) - 0.5) * 0.4 * size
    return homography_dlt(corners, moved)


def numpy_dlt(src: np.ndarray, dst: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the normalised DLT by the textbook: an SVD of the design matrix."""

    def normaliser(points: np.ndarray) -> np.ndarray:
        mean = np.average(points, axis=0, weights=weights)
        s = np.sqrt(2 / np.average(((points - mean) ** 2).sum(1), weights=weights))
        return np.array([[s, 0, -s * mean[0]], [0, s, -s * mean[1]], [0, 0, 1]])

    t_src, t_dst = normaliser(src), normaliser(dst)
    p = np.c_[src, np.ones(len(src))] @ t_src.T
    q = np.c_[dst, np.ones(len(dst))] @ t_dst.T
    rows = []
    for a, b, w in zip(p, q, np.sqrt(weights), strict=True):
        rows.append(w * np.r_[a, 0 * a, -b[0] * a])
        rows.append(w * np.r_[0 * a, a, -b[1] * a])
    h = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    h = np.linalg.inv(t_dst) @ h @ t_src
    return h / np.cbrt(np.linalg.det(h))


class TestHomographyDlt(OpTests):
    op = "homography_dlt"
    free = ((0, 1),) * 3

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        gen = generator("dlt call")
        src = torch.rand(3, 12, 2, generator=gen, dtype=F64) * 500
        dst = project(some_homographies("dlt call", 3), src)
        dst = dst + torch.randn(dst.shape, generator=gen, dtype=F64)
        weights = torch.rand(3, 12, generator=gen)
        return Call(tuple(x.to(device, dtype) for x in (src, dst, weights)))

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        args, _ = self.call(device, F64)
        scaled = (args[0] / 100, args[1] / 100, args[2])
        return homography_dlt, tuple(x[:2, :6].clone().requires_grad_() for x in scaled)

    def test_exception(self) -> None:
        points = torch.zeros(2, 5, 2)
        with pytest.raises(ShapeError, match="N = 5 as in points_src"):
            homography_dlt(points, torch.zeros(2, 4, 2))
        with pytest.raises(ShapeError, match="weights must have shape"):
            homography_dlt(points, points, torch.ones(2, 5, 1))
        with pytest.raises(DtypeError, match="floating point"):
            homography_dlt(points.long(), points)
        with pytest.raises(DtypeError, match=r"torch\.Tensor"):
            homography_dlt([[0.0, 0.0]], points)  # type: ignore[arg-type]
        with pytest.raises(DeviceError, match="move them to one device"):
            homography_dlt(points, points.to("meta"))

    @pytest.mark.parametrize("batch", [0, 1, 3])
    @pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 40])
    def test_cardinality(self, batch: int, number: int, device: torch.device, dtype: torch.dtype) -> None:
        points = torch.rand(batch, number, 2, generator=generator("card")).to(device, dtype)
        result = homography_dlt(points, points)
        assert result.shape == (batch, 3, 3)
        assert_close(result, torch.eye(3).expand(batch, 3, 3), atol=1e-4)

    @pytest.mark.parametrize("number", [4, 5, 30])
    def test_oracle_numpy(self, number: int) -> None:
        gen = generator(f"oracle {number}")
        src = torch.rand(8, number, 2, generator=gen, dtype=F64) * 500
        dst = project(some_homographies("oracle", 8), src)
        if number > 4:
            dst = dst + torch.randn(dst.shape, generator=gen, dtype=F64)
        weights = torch.rand(8, number, generator=gen, dtype=F64) + 0.1
        actual = homography_dlt(src, dst, weights)
        for i in range(8):
            expected = numpy_dlt(src[i].numpy(), dst[i].numpy(), weights[i].numpy())
            assert_close(actual[i], expected, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("repeats", [1, 2], ids=["closed form", "eigenvectors"])
    def test_oracle_minimal_problems_keep_their_digits(self, repeats: int) -> None:
        """Thousands of four-point problems in float32: forming A^T A there loses 6 % of them."""
        import cv2

        gen = generator("minimal problems")
        src, dst = (torch.rand(4000, 4, 2, generator=gen) * 511 for _ in range(2))
        ours = homography_dlt(src.repeat(1, repeats, 1), dst.repeat(1, repeats, 1))
        peer = np.stack([cv2.getPerspectiveTransform(a, b) for a, b in zip(src.numpy(), dst.numpy(), strict=True)])
        peer_32 = torch.from_numpy(peer.astype(np.float32))
        error, peer_error = ((project(h, src) - dst).norm(dim=-1).amax(-1) for h in (ours, peer_32))
        # What is left is the rounding of the nine numbers to float32, which costs the peer as much:
        # one problem in a thousand is that ill-conditioned.
        assert (error > 1).double().mean() < 0.002
        for q in (0.5, 0.9, 0.99):
            assert error.quantile(q) <= 1.3 * peer_error.quantile(q)

    @pytest.mark.parametrize("number", [4, 9])
    def test_oracle_float64_is_exact(self, number: int) -> None:
        h = some_homographies("exact", 50)
        src = torch.rand(50, number, 2, generator=generator("exact"), dtype=F64) * 500
        result = homography_dlt(src, project(h, src))
        assert (project(result, src) - project(h, src)).abs().max() < 1e-6

    @given(angle=st.floats(-3.1, 3.1), scale=st.floats(1e-3, 1e3), x=st.floats(-1e3, 1e3), y=st.floats(-1e3, 1e3))
    def test_property_similarity_equivariance(self, angle: float, scale: float, x: float, y: float) -> None:
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        similarity = torch.tensor([[[c, -s, x], [s, c, y], [0.0, 0.0, 1.0]]], dtype=F64)
        (src, dst, weights), _ = self.call(torch.device("cpu"), F64)
        plain = homography_dlt(src, dst, weights)
        moved_dst = homography_dlt(src, project(similarity, dst), weights)
        moved_src = homography_dlt(project(similarity, src), dst, weights)
        assert_close(project(moved_dst, src), project(similarity @ plain, src), rtol=1e-7)
        assert_close(project(moved_src @ similarity, src), project(plain, src), rtol=1e-7)

    def test_property_weights(self) -> None:
        """Weights are relative; integers are repetitions; zero removes."""
        (src, dst, weights), _ = self.call(torch.device("cpu"), F64)
        assert_close(homography_dlt(src, dst, weights), homography_dlt(src, dst, weights * 1e-30))
        assert_close(homography_dlt(src, dst, weights * 1e300), homography_dlt(src, dst, weights))
        double = torch.ones(3, 12, dtype=F64)
        double[:, 5] = 2
        repeated = (torch.cat([p, p[:, 5:6]], 1) for p in (src, dst))
        assert_close(homography_dlt(src, dst, double), homography_dlt(*repeated))
        zero = torch.ones(3, 12, dtype=F64)
        zero[:, 8:] = 0
        assert_close(homography_dlt(src, dst, zero), homography_dlt(src[:, :8], dst[:, :8]))
        zero[:, 8:] = -1
        assert_close(homography_dlt(src, dst, zero), homography_dlt(src[:, :8], dst[:, :8]))

    def test_property_scale_and_sign(self) -> None:
        (src, dst, _), _ = self.call(torch.device("cpu"), F64)
        result = homography_dlt(src, dst)
        assert_close(torch.linalg.det(result), torch.ones(3, dtype=F64))
        mirrored = dst * torch.tensor([-1.0, 1.0])
        result = homography_dlt(src, mirrored)
        assert_close(torch.linalg.det(result), -torch.ones(3, dtype=F64))
        assert ((src @ result[:, 2:, :2].mT).squeeze(-1) + result[:, 2, 2:] > 0).all()

    def test_property_items_are_independent(self) -> None:
        (src, dst, weights), _ = self.call(torch.device("cpu"), F64)
        changed = dst.clone()
        changed[1] = torch.nan
        before, after = homography_dlt(src, dst, weights), homography_dlt(src, changed, weights)
        assert torch.equal(before[[0, 2]], after[[0, 2]])
        assert torch.equal(after[1], torch.eye(3, dtype=F64))

    @pytest.mark.parametrize("number", [5, 12])
    @pytest.mark.parametrize("bad", [torch.nan, torch.inf])
    def test_nan_rows_are_ignored(self, number: int, bad: float) -> None:
        (src, dst, weights), _ = self.call(torch.device("cpu"), F64)
        src, dst, weights = (x[:, :number].clone() for x in (src, dst, weights))
        expected = homography_dlt(src[:, 1:], dst[:, 1:], weights[:, 1:])
        for spoiled in range(3):
            inputs = [src.clone(), dst.clone(), weights.clone()]
            inputs[spoiled][:, 0] = bad
            for x in inputs:
                x.requires_grad_()
            result = homography_dlt(*inputs)
            # With five rows the reference takes the closed form, so digits differ.
            assert_close(result, expected, rtol=1e-7, atol=1e-7)
            result.square().sum().backward()
            for x in inputs:
                assert x.grad is not None
                assert x.grad.isfinite().all()
                assert (x.grad[:, 0] == 0).all()

    @pytest.mark.parametrize("number", [4, 5])
    def test_gradient_at_a_square_onto_itself(self, number: int) -> None:
        """The null space is unique there, but other singular values coincide."""
        centre = torch.full((1, 1, 2), 0.5, dtype=F64)
        points = torch.cat([SQUARE, centre], 1)[:, :number]
        src, dst = points.clone().requires_grad_(), points.clone().requires_grad_()
        assert torch.autograd.gradcheck(homography_dlt, (src, dst))

    def test_infinite_origin(self) -> None:
        """H[2, 2] = 0: the source's origin goes to infinity."""
        h = torch.tensor([[[0.0, 1.0, 2.0], [3.0, 0.0, 1.0], [1.0, 0.5, 0.0]]], dtype=F64)
        for number in (4, 10):
            src = torch.rand(1, number, 2, generator=generator("infinite"), dtype=F64) + 0.5
            result = homography_dlt(src, project(h, src))
            size = torch.linalg.det(h).abs() ** (1 / 3)
            assert_close(result, h / size, atol=1e-7)

    def test_vmap(self) -> None:
        (src, dst, weights), _ = self.call(torch.device("cpu"), F64)

        def single(s: Tensor, d: Tensor, w: Tensor) -> Tensor:
            return homography_dlt(s[None], d[None], w[None])[0]

        expected = homography_dlt(src, dst, weights)
        assert_close(torch.func.vmap(single)(src, dst, weights), expected)
        jacobian = torch.func.vmap(torch.func.jacrev(single))(src, dst, weights)
        assert jacobian.shape == (3, 3, 3, 12, 2)
        assert jacobian.isfinite().all()
        four = torch.func.vmap(lambda s, d: homography_dlt(s[None], d[None])[0])
        assert_close(four(src[:, :4], dst[:, :4]), homography_dlt(src[:, :4], dst[:, :4]))

    def test_half_precision(self) -> None:
        (src, dst, weights), _ = self.call(torch.device("cpu"), torch.float16)
        result = homography_dlt(src, dst, weights)
        assert result.dtype == torch.float16
        expected = homography_dlt(src.to(F64), dst.to(F64), weights.to(F64))
        assert_close(result, expected.half())

    @pytest.mark.parametrize("precision", [torch.float32, F64], ids=["float32", "float64"])
    @pytest.mark.parametrize("number", [4, 5, 30])
    @pytest.mark.parametrize("kind", ["collinear", "all but one collinear", "coincident", "two points", "far line"])
    def test_degenerate_gives_the_identity(self, kind: str, number: int, precision: torch.dtype) -> None:
        gen = generator(kind)
        t = torch.rand(number, 1, generator=gen, dtype=F64)
        general = torch.rand(number, 2, generator=gen, dtype=F64) * 500
        bad = t * torch.tensor([300.0, 170.0], dtype=F64) + 20
        if kind == "all but one collinear":
            bad[0] = torch.tensor([5.0, 400.0])
        elif kind == "coincident":
            bad = torch.full_like(bad, 7.3)
        elif kind == "two points":
            bad = torch.where(t > t.median(), 3.1, 470.7).expand(-1, 2)
        elif kind == "far line":
            bad = bad + 1e4
        moved = project(some_homographies("degenerate", 1), bad[None])[0]
        pairs = [(bad, moved), (bad, bad)]
        if kind != "all but one collinear" or number == 4:
            pairs += [(bad, general), (general, bad)]
        src, dst = (torch.stack(x).to(precision).requires_grad_() for x in zip(*pairs, strict=True))
        result = homography_dlt(src, dst)
        assert_close(result, torch.eye(3).expand(len(pairs), 3, 3), atol=0, rtol=0)
        result.sum().backward()
        assert src.grad is not None
        assert (src.grad == 0).all()
