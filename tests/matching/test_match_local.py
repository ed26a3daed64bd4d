"""Local matching of almost aligned maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from diar_ops import DtypeError, FeatureMap, Matches, OptionError, ShapeError, match_local
from tests.harness import Call, OpTests, generator


def smooth_map(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """Return random features that vary over a few cells, as descriptors do."""
    noise = torch.randn(shape, generator=generator(name), dtype=dtype)
    for _ in range(2):
        noise = F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return noise


def grid(descriptors: Tensor, valid: Tensor | None = None) -> FeatureMap:
    return FeatureMap(descriptors, (4.0, 2.0), (1.5, 0.5), valid)


class TestMatchLocal(OpTests):
    op = "match_local"
    module = "MatchLocal"
    half_result = torch.float32  # half precision holds no pixel positions

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        d0 = smooth_map("local-0", (2, 6, 7, 9), dtype).to(device)
        d1 = torch.roll(d0, (1, -1), (2, 3)) + 0.05 * smooth_map("local-1", d0.shape, dtype).to(d0)
        return Call((grid(d0), grid(d1)), {"radius": 2, "step": 1})

    def gradcheck_call(self, device: torch.device):
        d0 = smooth_map("local-grad", (1, 4, 4, 5)).to(device).requires_grad_()
        d1 = (d0.detach() + 0.1 * smooth_map("local-grad-1", d0.shape).to(device)).requires_grad_()

        def function(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            matches = match_local(FeatureMap(a), FeatureMap(b), radius=1)
            return torch.where(matches.valid[..., None], matches.points1, 0.0), matches.score

        return function, (d0, d1)

    def test_exception(self) -> None:
        d = torch.zeros(1, 4, 5, 5)
        with pytest.raises(ShapeError, match="features1"):
            match_local(grid(d), grid(d[..., :4]))
        with pytest.raises(ShapeError, match="one grid"):
            match_local(grid(d), FeatureMap(d))
        with pytest.raises(DtypeError, match="floating point"):
            match_local(grid(d.long()), grid(d.long()))
        with pytest.raises(OptionError, match="radius"):
            match_local(grid(d), grid(d), radius=0)
        with pytest.raises(OptionError, match="step"):
            match_local(grid(d), grid(d), step=0)

    @pytest.mark.parametrize("shape", [(0, 4, 3, 3), (1, 4, 1, 1), (1, 4, 0, 3), (3, 1, 1, 8)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        d = torch.ones(shape)
        matches = match_local(grid(d), grid(d))
        assert matches.points0.shape == (shape[0], shape[2] * shape[3], 2)
        assert matches.valid.shape == matches.score.shape == matches.points0.shape[:2]

    def test_oracle_brute_force(self) -> None:
        """The integer part of each match is the argmax over an explicit double loop."""
        (a, b), _ = self.call(torch.device("cpu"), torch.float64)
        matches = match_local(a, b, radius=2)
        u, v = F.normalize(a.descriptors, dim=1), F.normalize(b.descriptors, dim=1)
        _, _, h, w = u.shape
        for n in range(2):
            for i in range(h):
                for j in range(w):
                    scores = {
                        (p, q): float(u[n, :, i, j] @ v[n, :, p, q])
                        for p in range(max(0, i - 2), min(h, i + 3))
                        for q in range(max(0, j - 2), min(w, j + 3))
                    }
                    p, q = max(scores, key=scores.__getitem__)
                    k = i * w + j
                    on_rim = abs(p - i) == 2 or abs(q - j) == 2 or p in (0, h - 1) or q in (0, w - 1)
                    if on_rim or scores[p, q] <= 0:
                        assert not matches.valid[n, k]
                        continue
                    assert matches.valid[n, k]
                    assert abs(float(matches.score[n, k]) - scores[p, q]) < 1e-12
                    cell = (matches.points1[n, k] - torch.tensor([1.5, 0.5])) / torch.tensor([4.0, 2.0])
                    assert (cell - torch.tensor([q, p])).abs().max() <= 0.5 + 1e-9

    @given(st.floats(-1.4, 1.4), st.floats(-1.4, 1.4))
    def test_property_recovers_a_translation(self, dx: float, dy: float) -> None:
        """Bilinear interpolation between random cells falls off linearly: the fit is near exact."""
        big = torch.randn(1, 256, 16, 18, generator=generator("local-shift"), dtype=torch.float64)
        y, x = torch.meshgrid(
            torch.arange(10, dtype=torch.float64), torch.arange(12, dtype=torch.float64), indexing="ij"
        )
        at = torch.stack([(x + 3 - dx + 0.5) / 18, (y + 3 - dy + 0.5) / 16], dim=-1) * 2 - 1
        moved = F.grid_sample(big, at[None], align_corners=False)
        matches = match_local(FeatureMap(big[:, :, 3:13, 3:15]), FeatureMap(moved), radius=3)
        assert matches.valid.float().mean() > 0.4
        shift = (matches.points1 - matches.points0)[matches.valid].median(dim=0).values
        assert (shift - torch.tensor([dx, dy])).abs().max() < 0.2

    def test_property_identity_is_exact(self) -> None:
        d = smooth_map("local-same", (2, 8, 6, 6))
        matches = match_local(grid(d), grid(d), radius=2)
        inner = torch.zeros(6, 6, dtype=torch.bool)
        inner[1:-1, 1:-1] = True
        assert torch.equal(matches.valid, inner.flatten().expand(2, -1))
        difference = (matches.points1 - matches.points0)[matches.valid]
        # Neighbours on either side differ, so the fit is not zero, but stays within half a cell.
        assert difference.abs().max() <= 2.0

    @pytest.mark.parametrize("step", [2, 3])
    def test_property_a_step_leaves_cells_out(self, step: int) -> None:
        (a, b), _ = self.call(torch.device("cpu"), torch.float64)
        every, some = match_local(a, b), match_local(a, b, step=step)
        cells = torch.arange(63).reshape(7, 9)[::step, ::step].flatten()
        for x, y in zip(every, some, strict=True):
            assert torch.equal(x[:, cells], y)

    def test_property_items_are_independent(self) -> None:
        (a, b), _ = self.call(torch.device("cpu"), torch.float64)
        before = match_local(a, b)
        changed = b.descriptors.clone()
        changed[0, :, 2, 3] += 1.0
        after = match_local(a, replace(b, descriptors=changed))
        assert torch.equal(before.points1[1], after.points1[1])
        assert not torch.equal(before.score[0], after.score[0])

    @pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
    def test_nan_and_zero_descriptors_never_match(self, value: float) -> None:
        (a, b), _ = self.call(torch.device("cpu"), torch.float64)
        spoiled = a.descriptors.clone()
        spoiled[0, :, 3, 4] = value
        before, after = match_local(a, b), match_local(replace(a, descriptors=spoiled), b)
        cell = 3 * 9 + 4
        assert not after.valid[0, cell]
        assert after.score[0, cell] == 0
        others = torch.arange(63) != cell
        assert torch.equal(before.score[0, others], after.score[0, others])
        spoiled.requires_grad_()
        match_local(replace(a, descriptors=spoiled), b).score.sum().backward()
        assert spoiled.grad is not None
        assert spoiled.grad.isfinite().all()

    def test_masked_cells_never_match(self) -> None:
        (a, b), _ = self.call(torch.device("cpu"), torch.float64)
        valid = torch.ones(2, 7, 9, dtype=torch.bool)
        valid[:, :, :5] = False
        result: Matches = match_local(replace(a, valid=valid), b)
        assert not result.valid[:, (~valid).flatten(1)[0]].any()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_descriptors_keep_their_positions(half: torch.dtype) -> None:
    d = smooth_map("local-half", (1, 8, 5, 300), torch.float32).to(half)
    matches = match_local(FeatureMap(d, (8.0, 8.0), (3.5, 3.5)), FeatureMap(d, (8.0, 8.0), (3.5, 3.5)))
    assert matches.points0[0, 299].tolist() == [2395.5, 3.5]
    assert matches.points0.dtype == matches.score.dtype == torch.float32


def test_a_tensor_is_no_feature_map() -> None:
    with pytest.raises(DtypeError, match="expected a FeatureMap as features0, got Tensor"):
        match_local(torch.zeros(1, 4, 5, 5), torch.zeros(1, 4, 5, 5))  # type: ignore[arg-type]
