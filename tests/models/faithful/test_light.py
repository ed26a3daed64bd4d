"""Coarse fields of light, and pixels that are brought to the light of the picture."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops.colour import srgb_to_linear
from diar_ops.models import WHOLE_SIZE, compensate, sample_field
from diar_ops.models.faithful.light import BLACK, frame_median, relight, token_window, whole_view
from tests.harness import assert_close, generator

NAN = float("nan")


def field(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(name), dtype=torch.float64)


def windows(*edges: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(edges, dtype=torch.float64)


@given(st.tuples(st.integers(1, 5), st.integers(1, 5)), st.tuples(st.integers(1, 24), st.integers(1, 24)), st.data())
def test_a_window_is_a_crop_of_the_interpolated_whole(
    cells: tuple[int, int], size: tuple[int, int], data: st.DataObject
) -> None:
    x = field("cells", 2, 3, 2, *cells)
    whole = F.interpolate(x.flatten(0, 1), size, mode="bilinear", align_corners=False)
    whole = whole.view(2, 3, 2, *size)
    assert_close(sample_field(x, size), whole)
    boxes = []
    height, width = size
    h, w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    for _ in range(2):  # one for each item
        top, left = data.draw(st.integers(0, height - h)), data.draw(st.integers(0, width - w))
        boxes.append((top, left, top + h, left + w))
    edges = windows(*((y / height, x / width, (y + h) / height, (x + w) / width) for y, x, _, _ in boxes))
    result = sample_field(x, (h, w), edges)
    for item, (top, left, bottom, right) in enumerate(boxes):
        assert_close(result[item], whole[item, ..., top:bottom, left:right])


def test_constant_beyond_the_outermost_centres() -> None:
    x = field("beyond", 1, 1, 1, 2, 2)
    result = sample_field(x, (4, 4), windows((-1.0, -1.0, 0.0, 0.0)))
    assert_close(result, x[..., :1, :1].expand(1, 1, 1, 4, 4))


def test_derivatives_of_field_and_place() -> None:
    x = field("gradcheck", 1, 2, 1, 3, 2).requires_grad_()
    edges = windows((0.13, 0.22, 0.71, 0.93)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, w: sample_field(f, (4, 3), w), (x, edges))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_places_keep_their_digits_in_half_precision(half: torch.dtype) -> None:
    """The 300 pixels of a ramp all lie apart, though the dtype has not as many places."""
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64)[:, None].expand(1, 1, 1, 16, 16)
    edges = windows((0.2, 0.1, 0.7, 0.8))
    exact = sample_field(ramp, (300, 7), edges)
    result = sample_field(ramp.to(half), (300, 7), edges)
    assert result.dtype == half
    # Only the values are rounded: those of the cells and those of the pixels.
    assert (result - exact).abs().max() < 2 * torch.finfo(half).eps
    with torch.autocast("cpu", torch.bfloat16):
        single = sample_field(ramp.float(), (300, 7), edges)
    assert single.dtype == torch.float32
    assert_close(single, exact)


@given(st.integers(1, 40), st.integers(1, 40))
def test_windows_of_tokens_reach_as_far_as_the_tokens(height: int, width: int) -> None:
    frames = torch.empty(2, 1, 3, height, width, dtype=torch.float64)
    edges = windows((0.2, 0.1, 0.6, 0.4), (0, 0, 1, 1))
    result = token_window(frames, edges, 8)
    assert result is not None
    padded = torch.tensor([-(-n // 8) * 8 / n for n in (height, width)], dtype=torch.float64)
    assert_close(result[:, :2], edges[:, :2])
    assert_close(result[:, 2:] - result[:, :2], (edges[:, 2:] - edges[:, :2]) * padded)
    alone = token_window(frames, None, 8)
    if height % 8 == width % 8 == 0:
        assert alone is None
    else:
        assert alone is not None
        assert_close(alone[:, 2:], padded.expand(2, 2))


def test_a_factor_on_the_value_is_one_on_light() -> None:
    """The 2.4th power of it, above the linear toe of the code."""
    values = torch.linspace(0.1, 0.6, 20, dtype=torch.float64)
    for log in (-0.15, 0.0, 0.3):
        factor = torch.tensor(log, dtype=torch.float64)
        light = srgb_to_linear(relight(values, factor, torch.zeros_like(factor)))
        assert_close(light, srgb_to_linear(values) * (2.4 * factor).exp())


def test_a_veil_is_taken_off_behind_the_factor() -> None:
    r"""With x and y of :math:`y^{2.4} = e^{2.4 g} x^{2.4} - v` as the docstring has them."""
    values, gain = 0.3 + 0.7 * field("values", 50).sigmoid(), 0.3 * field("gains", 50)
    veil = 0.02 * field("veils", 50)
    x, y = ((v + 0.055) / 1.055 for v in (values, relight(values, gain, veil)))
    expected = (2.4 * gain).exp() * x**2.4 - veil
    assert expected.min() > BLACK
    assert_close(y**2.4, expected)


def test_what_was_relit_can_be_put_back() -> None:
    """Put the veil back on, and divide: the inverse is of the same form."""
    values, gain = 0.3 + 0.7 * field("values", 50).sigmoid(), 0.3 * field("gains", 50)
    veil = 0.02 * field("veils", 50)
    changed = relight(values, gain, veil)
    assert changed.min() > 0
    assert (changed - values).abs().max() > 0.1
    assert_close(relight(changed, -gain, -veil * (-2.4 * gain).exp()), values)
    assert_close(relight(values, torch.zeros_like(gain), torch.zeros_like(veil)), values)


def test_brighter_stays_brighter() -> None:
    values = torch.linspace(0, 1, 300, dtype=torch.float64)
    for gain, veil in ((0.0, 0.0), (1.5, 0.2), (-1.5, 0.01), (0.4, -0.1)):
        result = relight(values, torch.tensor(gain).double(), torch.tensor(veil).double())
        assert result.min() >= -1e-12
        steps = result.diff()
        assert (steps > -1e-12).all()
        assert (steps[result[:-1] > 1e-12] > 0).all()


def test_black_stays_black() -> None:
    """Under a factor alone light of black would move: no factor below 1 makes it darker."""
    black = torch.zeros(3, dtype=torch.float64)
    gain = torch.tensor([-1.0, -0.2, 0.0], dtype=torch.float64)
    for veil in (0.0, 0.05, 10.0):
        assert relight(black, gain, torch.full_like(gain, veil)).abs().max() < 1e-12


def test_gradients_at_black_and_below_are_those_of_black() -> None:
    values = torch.tensor([0.0, 0.0, 0.3, 0.6], dtype=torch.float64).requires_grad_()
    gain = torch.tensor([0.0, -0.5, -1.0, 0.0], dtype=torch.float64).requires_grad_()
    veil = torch.tensor([0.0, 0.1, 0.2, 5.0], dtype=torch.float64).requires_grad_()
    result = relight(values, gain, veil)
    assert result.abs().max() < 1e-12
    result.sum().backward()
    for tensor in (values, gain, veil):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().min() > 0, "what is too dark must be able to come back"
    assert veil.grad is not None
    slope = 1.055 / 2.4 * BLACK ** (1 / 2.4 - 1)
    assert_close(veil.grad, torch.full_like(veil, -slope))


def test_derivatives_of_relight() -> None:
    values = (0.2 + 0.8 * field("values", 6).sigmoid()).requires_grad_()
    gain, veil = (x.requires_grad_() for x in (0.2 * field("g", 6), 0.01 * field("v", 6)))
    assert torch.autograd.gradcheck(relight, (values, gain, veil))


def test_compensate_is_relight_with_fields_over_the_whole() -> None:
    frames = field("frames", 1, 2, 3, 6, 9).sigmoid()
    gain, veil = field("gain", 1, 2, 3, 2, 2), 0.1 * field("veil", 1, 2, 3, 4, 3)
    g, v = (F.interpolate(x[0], (6, 9), mode="bilinear")[None] for x in (gain, veil))
    whole = relight(frames, g, v)
    assert_close(compensate(frames, gain, veil), whole)
    edges = windows((2 / 6, 3 / 9, 5 / 6, 7 / 9))
    part = compensate(frames[..., 2:5, 3:7], gain, veil, edges)
    assert_close(part, whole[..., 2:5, 3:7])


def test_the_median_has_no_gradient() -> None:
    x = field("median", 1, 3, 3, 2, 2).requires_grad_()
    valid = torch.ones(1, 3, 1, 2, 2, dtype=torch.bool)
    result = frame_median(x, valid)
    assert not result.requires_grad
    assert_close(result[:, 0], x.detach().median(dim=1).values)


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (64, 64), (130, 200)])
def test_small_copies_are_means_over_valid_pixels(size: tuple[int, int]) -> None:
    """Cell by cell, over the pixels that a cell touches."""
    rng = generator("small copies")
    frames = torch.rand(2, 2, 3, *size, generator=rng, dtype=torch.float64)
    valid = torch.rand(2, 2, 1, *size, generator=rng) < 0.6
    frames = frames * valid
    whole = whole_view(frames, valid)
    assert whole.frames.shape == (2, 2, 3, WHOLE_SIZE, WHOLE_SIZE)
    assert whole.valid.shape == (2, 2, 1, WHOLE_SIZE, WHOLE_SIZE)
    assert whole.window.tolist() == [[0, 0, 1, 1]] * 2
    for row, column in ((0, 0), (13, 40), (31, 32), (63, 63), (50, 7)):
        y, x = (
            slice(i * n // WHOLE_SIZE, -(-(i + 1) * n // WHOLE_SIZE)) for i, n in zip((row, column), size, strict=True)
        )
        known = valid[..., y, x].double()
        seen = known.mean((3, 4)) > 0.5
        mean = frames[..., y, x].sum((3, 4)) / known.sum((3, 4)).clamp_min(1)
        assert torch.equal(whole.valid[..., row, column], seen)
        assert_close(whole.frames[..., row, column], mean * seen)
