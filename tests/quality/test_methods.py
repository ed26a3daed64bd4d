"""Every method gives the known answer on frames that are easy to reason about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.quality.methods import CLASSICAL, DEFAULT_METHODS, compensate_exposure, resolve_methods
from diar_ops import DeepResidualSets, DeepResidualSetsConfig, OptionError, WeightsError, save_pretrained
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.models.weights.load import SHIPPED_RESTORERS
from tests.harness import assert_close, generator

SIZE = (48, 40)


def constant(*values: float) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1, 1).expand(1, len(values), 3, *SIZE).clone()


def exposed(factors: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W) and frames of it under several exposures."""
    smooth = torch.rand(1, 3, 4, 4, generator=generator("picture")) * 0.4 + 0.3
    picture = torch.nn.functional.interpolate(smooth, SIZE, mode="bicubic").clamp(0.2, 0.8)
    gains = torch.tensor(factors).view(1, -1, 1, 1, 1)
    return picture, linear_to_srgb(srgb_to_linear(picture[:, None]) * gains)


def restore(name: str, frames: Tensor, valid: Tensor | None = None) -> Tensor:
    (method,) = resolve_methods([name])
    assert (method.name, method.digest) == (name, None)
    return method.restore(frames, valid)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "sets.safetensors"
    config = DeepResidualSetsConfig(channels=(4, 8), blocks=(1, 1), decoder_blocks=(0, 1))
    save_pretrained(DeepResidualSets(config), path)
    return path


@pytest.mark.parametrize("name", [*CLASSICAL, *DEFAULT_METHODS[:-1]])
def test_equal_frames_are_their_own_picture(name: str) -> None:
    picture, _ = exposed((1.0,))
    frames = picture[:, None].expand(-1, 5, -1, -1, -1)
    assert_close(restore(name, frames), picture, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean", 0.4), ("median", 0.3), ("intrinsic", 0.3), ("consensus", 0.3), ("soft_minimum", 0.3)],
)
def test_constant_frames(name: str, expected: float) -> None:
    picture = restore(name, constant(0.3, 0.3, 0.3, 0.7))
    assert_close(picture, torch.full_like(picture, expected), atol=1e-3)


def test_masks_reach_the_methods() -> None:
    frames = constant(0.3, 0.7, 0.3, 0.3, 0.3, 0.3)
    valid = torch.ones(1, 6, 1, *SIZE, dtype=torch.bool)
    valid[:, 1] = False
    for name in ("mean", "mean+exposure", "rpca", "intrinsic+exposure"):
        picture = restore(name, frames, valid)
        assert_close(picture, torch.full_like(picture, 0.3), atol=1e-3)


def test_compensation_makes_exposures_equal() -> None:
    picture, frames = exposed((1.0, 0.5, 1.0, 1.6, 1.0))
    even = compensate_exposure(frames)
    assert_close(even, picture[:, None].expand_as(even), atol=1e-3)
    plain = (restore("mean", frames) - picture).abs().mean()
    better = (restore("mean+exposure", frames) - picture).abs().mean()
    assert better < 0.05 * plain


def test_compensation_does_not_look_at_what_is_invalid() -> None:
    picture, frames = exposed((1.0, 0.5, 1.0))
    valid = torch.ones(1, 3, 1, *SIZE, dtype=torch.bool)
    # Three quarters of frame 1 show something else: a median over all pixels would follow it.
    frames[:, 1, :, :36], valid[:, 1, :, :36] = 0.7, False
    even = compensate_exposure(frames, valid)
    assert_close(even[:, 1, :, 36:], picture[..., 36:, :], atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_compensation_of_tiny_frames_changes_nothing_in_equal_ones(size: tuple[int, int]) -> None:
    frames = torch.full((1, 3, 3, *size), 0.5)
    assert_close(compensate_exposure(frames), frames)


def test_a_file_is_called_by_its_name_or_as_one_likes(weights: Path) -> None:
    (one, other) = resolve_methods([str(weights), f"mine={weights}"])
    assert (one.name, other.name) == ("sets", "mine")
    assert one.digest == other.digest
    assert len(one.digest or "") == 64
    picture = one.restore(constant(0.3, 0.4), None)
    assert picture.shape == (1, 3, *SIZE)
    assert not picture.requires_grad


def test_a_path_with_an_equals_sign_is_a_path(weights: Path) -> None:
    odd = weights.with_name("a=b.safetensors")
    shutil.copy(weights, odd)
    assert [m.name for m in resolve_methods([str(odd)])] == ["a=b"]


def test_the_network_of_the_package_has_a_digest() -> None:
    mean, diar = resolve_methods(["mean", "diar"])
    assert (mean.digest, diar.name) == (None, "diar")
    assert diar.digest is not None


def test_bad_names_are_one_sentence(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unknown method medain: expected one of mean, median"):
        resolve_methods(["medain"])
    with pytest.raises(OptionError, match="unknown method diar\\+exposure"):
        resolve_methods(["diar+exposure"])
    with pytest.raises(OptionError, match="unknown method median\\+settled: expected"):
        resolve_methods(["median+settled"])
    with pytest.raises(WeightsError, match="nowhere"):
        resolve_methods(["nowhere.safetensors"])
    with pytest.raises(OptionError, match="two methods are called sets"):
        resolve_methods([str(weights), f"sets={weights}"])
    with pytest.raises(OptionError, match="cannot be called median"):
        resolve_methods([f"median={weights}"])
    for shipped in SHIPPED_RESTORERS:
        with pytest.raises(OptionError, match=f"cannot be called {shipped}, which is another method"):
            resolve_methods([f"{shipped}={weights}"])
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(WeightsError):
        resolve_methods([str(broken)])
