"""reconstruct_sequence with a network: photos of any size, in tiles and strips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, FaithfulDIAR, OptionError, load_pretrained, reconstruct_sequence
from diar_ops._types import Reconstruction, Restored
from diar_ops.models import Light
from diar_ops.models.weights.load import SHIPPED_RESTORERS
from diar_ops.pipeline import reconstruct as module
from tests import photos
from tests.harness import assert_close, generator, tensors_of
from tests.models.faithful import test_network as models

SIZE = 96
#: Of log factors and veils per token.
SPREADS = [0.1] * 3 + [0.01] * 3
ROOT = Path(__file__).resolve().parents[2]


def network() -> FaithfulDIAR:
    return models.network().float()


def scene(count: int = 4, **options: Any) -> tuple[list[Tensor], Alignment]:
    """``count`` spoiled photos of a picture, and their exact alignment."""
    _, views, H = photos.sequence(SIZE, count)
    return [photos.as_frame(v) for v in views], photos.exact_alignment(H, (SIZE, SIZE), **options)


def on_each_other(frames: list[Tensor]) -> Alignment:
    """The alignment of frames that are all seen from the same place."""
    size = (frames[0].shape[1], frames[0].shape[2])
    return photos.exact_alignment(np.stack([np.eye(3)] * len(frames)), size)


def restored(built: FaithfulDIAR, frames: list[Tensor]) -> Restored:
    with torch.no_grad():
        return built(torch.stack(frames)[None].float() / 255)


@pytest.mark.parametrize("name", SHIPPED_RESTORERS)
def test_networks_that_come_with_the_package_go_by_their_names(name: str) -> None:
    frames, alignment = scene()
    by_name = reconstruct_sequence(frames, alignment, aggregator=name)
    shipped = load_pretrained(name)
    assert isinstance(shipped, FaithfulDIAR)
    itself = reconstruct_sequence(frames, alignment, aggregator=shipped)
    assert_close(by_name.image, itself.image, atol=0)


@pytest.mark.parametrize("shape", [(96, 96), (75, 110)])
def test_photos_that_lie_on_each_other_are_the_networks_frames(shape: tuple[int, int]) -> None:
    rng = generator("photos")
    frames = [torch.randint(0, 256, (3, *shape), generator=rng, dtype=torch.uint8) for _ in range(3)]
    built = network()
    reconstruction = reconstruct_sequence(frames, on_each_other(frames), aggregator=built)
    expected = restored(built, frames)
    # Logits of noise are large, and near black a step of light is many of the value.
    assert_close(reconstruction.image, expected.image[0], atol=3e-4)
    assert_close(reconstruction.weights, expected.weights[0], atol=3e-4)
    assert expected.gain is not None
    assert_close(reconstruction.gain, (2.4 * expected.gain[0].mean(dim=(2, 3))).exp())
    assert (reconstruction.coverage == 3).all()


def test_photos_larger_than_the_working_copy() -> None:
    """Weights, smooth as the copy's, are applied to every pixel of the photos."""
    frames, alignment = scene()
    built = network()
    exact = reconstruct_sequence(frames, alignment, aggregator=built)
    reconstruction = reconstruct_sequence(frames, alignment, aggregator=built, working_size=64)
    assert reconstruction.image.shape == (3, SIZE, SIZE)
    assert torch.equal(reconstruction.coverage, exact.coverage)
    covered = reconstruction.coverage > 0
    assert_close(reconstruction.weights.sum(dim=0)[covered], torch.ones(int(covered.sum())))
    # A random network takes veils off, and near black a step of light is many of the value.
    assert 0 < (reconstruction.image - exact.image).abs().mean() < 0.03
    assert_close(reconstruction.gain, exact.gain, rtol=0.05)


def test_weights_explain_the_picture() -> None:
    """With light, detail and correction silenced, it is their sum over the aligned photos."""
    frames, alignment = scene(success=[True, True, False, True])
    built = network()
    with torch.no_grad():
        for layer in (built.detail, built.correction):
            layer.weight.zero_()
            layer.bias.zero_()
    light: list[Light] = []
    judge = built.estimate_light

    def dark(small: Tensor, valid: Tensor) -> Light:
        light.append(judge(small, valid))
        return light[0]._replace(gain=light[0].gain * 0, veil=light[0].veil * 0)

    built.estimate_light = dark  # type: ignore[method-assign]
    reconstruction = reconstruct_sequence(frames, alignment, aggregator=built)
    assert len(light) == 1
    assert light[0].gain.shape[1] == 3
    assert not reconstruction.weights[2].any(), "a frame that was left out has no share"
    assert (reconstruction.gain == 1).all()
    laid = {t: image for t, image, _ in module.aligned_frames(frames, alignment)}
    mixed = sum(reconstruction.weights[t] * image for t, image in laid.items())
    assert_close(mixed, reconstruction.image, atol=1e-4)


def test_what_is_left_out_has_no_influence() -> None:
    frames, alignment = scene(success=[True, True, False, True])
    built = network()
    reconstruction = reconstruct_sequence(frames, alignment, aggregator=built)
    assert (reconstruction.gain[2] == 1).all()
    noise = torch.randint(0, 256, frames[2].shape, generator=generator("left out"))
    other = [*frames[:2], noise.to(torch.uint8), frames[3]]
    for one, two in zip(
        tensors_of(reconstruction), tensors_of(reconstruct_sequence(other, alignment, aggregator=built)), strict=True
    ):
        assert torch.equal(one, two)


@pytest.mark.parametrize("working_size", [1024, 64])
def test_masked_pixels_have_no_weight_and_no_influence(working_size: int) -> None:
    frames, alignment = scene()
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :, : SIZE // 2] = False
    masks = [mask, None, None, None]
    painted = frames[0].masked_fill(~mask, 255)

    def run(first: Tensor) -> Reconstruction:
        return reconstruct_sequence(
            [first, *frames[1:]], alignment, aggregator=network(), valid=masks, working_size=working_size
        )

    result = run(frames[0])
    assert not result.weights[0, :, :, : SIZE // 2 - 1].any()
    assert result.coverage[:, 40:50, : SIZE // 2 - 1].max() == 3
    for one, two in zip(tensors_of(result), tensors_of(run(painted)), strict=True):
        assert (one.double() - two).abs().max() < (1e-6 if working_size > SIZE else 0.05)


def test_what_no_photo_shows_is_black() -> None:
    frames, alignment = scene(1)
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :10] = False
    reconstruction = reconstruct_sequence(frames, alignment, aggregator=network(), valid=[mask])
    for tensor in (reconstruction.coverage, reconstruction.image, reconstruction.weights):
        assert not tensor[..., :10, :].any()
        assert tensor[..., 12:, :].any()


@pytest.mark.parametrize("pixels", [1, SIZE * 4 * 7])
def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    frames, alignment = scene()
    built = network()
    whole = reconstruct_sequence(frames, alignment, aggregator=built, working_size=80)
    monkeypatch.setattr(module, "_STRIP_PIXELS", pixels)
    steps: list[tuple[str, int, int]] = []
    strips = reconstruct_sequence(
        frames, alignment, aggregator=built, working_size=80, progress=lambda *s: steps.append(s)
    )
    assert list(dict.fromkeys(name for name, _, _ in steps)) == ["judging light", "weighing", "putting together"]
    for name in ("judging light", "weighing", "putting together"):
        done = [(n, total) for step, n, total in steps if step == name]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    assert torch.equal(strips.coverage, whole.coverage)
    assert torch.equal(strips.gain, whole.gain)
    # Sub-pixel positions are rounded relative to each strip, in float32.
    for one, two in ((strips.image, whole.image), (strips.weights, whole.weights)):
        assert (one - two).abs().max() < 1e-3
        assert (one - two).abs().mean() < 1e-5


def test_dtypes_agree() -> None:
    frames, alignment = scene()
    built = network()
    straight = reconstruct_sequence(frames, alignment, aggregator=built)
    for same in ([(f.int() * 257).to(torch.uint16) for f in frames], [f.double() / 255 for f in frames]):
        reconstruction = reconstruct_sequence(same, alignment, aggregator=built)
        assert_close(reconstruction.image, straight.image, atol=1e-4)
    exact = reconstruct_sequence(frames, alignment, aggregator=models.network())
    assert exact.image.dtype == exact.weights.dtype == torch.float32
    assert_close(exact.image, straight.image, atol=1e-3)


def test_the_network_is_left_as_it_was() -> None:
    frames, alignment = scene(2)
    built = network().train()
    reconstruct_sequence(frames, alignment, aggregator=built)
    assert built.training
    assert all(p.grad is None and p.requires_grad for p in built.parameters())


def test_copies_of_less_than_64_pixels_are_refused() -> None:
    frames, alignment = scene(2)
    with pytest.raises(OptionError, match="working_size >= 64, got 63"):
        reconstruct_sequence(frames, alignment, aggregator=network(), working_size=63)


MANY = """
import resource, numpy as np, torch
from diar_ops import FaithfulDIAR, FaithfulDIARConfig, reconstruct_sequence
from tests.photos import exact_alignment
torch.set_num_threads(1)
frames = [torch.zeros(3, 1200, 1600, dtype=torch.uint8) for _ in range(10)]
alignment = exact_alignment(np.stack([np.eye(3)] * 10), (1200, 1600))
config = FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = reconstruct_sequence(frames, alignment, aggregator=FaithfulDIAR(config), working_size=512)
assert found.image.shape == (3, 1200, 1600)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_is_bounded() -> None:
    """Beside the photos: weights and picture, and what a strip needs."""
    done = subprocess.run([sys.executable, "-c", MANY], cwd=ROOT, capture_output=True, text=True, check=True)
    results = 1200 * 1600 * (10 * 4 + 3 * 4 + 8)
    strip = 200 * module._STRIP_PIXELS
    assert 1024 * int(done.stdout) < results + strip + 200e6
