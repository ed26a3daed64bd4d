"""DualDescriptor: where its cells are, what it ignores, and that one pass gives every stage."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import (
    DualDescriptor,
    DualDescriptorConfig,
    OptionError,
    ShapeError,
    dense_descriptors,
    dense_stages,
    load_descriptor,
)
from diar_ops.textures import TextureSource
from diar_ops.training.descriptors.pairs import PairRanges, fixed_pairs
from diar_ops.training.descriptors.validation import score_descriptor
from diar_ops.training.rendered import RenderedSequences
from tests.harness import assert_close, generator

STAGES = ("coarse", "middle", "fine")
SMALL = DualDescriptorConfig((4, 6, 8, 8), (1, 1, 1), 8, 6, 5)


def network(config: DualDescriptorConfig = SMALL) -> DualDescriptor:
    """Random weights and statistics, so that a forgotten norm shows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        built = DualDescriptor(config).double().eval()
    g = generator("statistics")
    with torch.no_grad():
        for key, tensor in built.state_dict().items():
            if key.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=g) + 0.5)
            elif key.endswith(("running_mean", "bias")):
                tensor.copy_(torch.randn(tensor.shape, generator=g) * 0.1)
    return built


def noise(name: str, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator(name), dtype=torch.float64)


def test_cells_are_centred_where_the_conventions_say() -> None:
    """With kernels that equal their mirror image, mirroring the image mirrors the map.

    Cells at (j + 0.5) * s - 0.5 lie symmetrically in an image of a multiple of 16 pixels; with any
    other centre, the mirrored map would be another one.
    """
    trunk = network()
    with torch.no_grad():
        for tensor in trunk.state_dict().values():
            if tensor.ndim == 4:
                tensor.copy_((tensor + tensor.flip(3)) / 2)
        images = noise("mirror", 1, 3, 32, 96)
        maps, mirrored = trunk(images), trunk(images.flip(3))
    for stage in STAGES:
        stride, count = trunk.stride[stage], maps[stage].shape[-1]
        assert trunk.offset[stage] == 0.5 * stride - 0.5
        assert trunk.offset[stage] + stride * (count - 1) == 95 - trunk.offset[stage]
        assert_close(mirrored[stage].flip(3), maps[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_moving_the_image_moves_the_cells(stage: str) -> None:
    trunk = network()
    images = noise("moving", 1, 3, 288, 288)
    with torch.no_grad():
        whole = trunk(images, stages=(stage,))[stage]
        part = trunk(images[..., 16:, 32:], stages=(stage,))[stage]
    stride = trunk.stride[stage]
    inner = slice(112 // stride, 144 // stride)  # out of reach of the border
    moved = whole[..., 16 // stride :, 32 // stride :]
    assert_close(part[..., inner, inner], moved[..., inner, inner])


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (37, 50), (4, 100), (0, 20)])
def test_cells_are_those_whose_centre_lies_in_the_image(size: tuple[int, int]) -> None:
    trunk = network()
    maps = trunk(noise("sizes", 2, 3, *size))
    for stage, tensor in maps.items():
        stride, offset = trunk.stride[stage], trunk.offset[stage]
        expected = [sum(offset + stride * j <= side - 0.5 for j in range(side + 1)) for side in size]
        assert list(tensor.shape[-2:]) == expected
        assert tensor.shape[:2] == (2, 8 if stage == "coarse" else 6)
        assert tensor.isfinite().all()


def test_stages_are_a_choice() -> None:
    trunk = network()
    images = noise("stages", 1, 3, 48, 40)
    with torch.no_grad():
        every = trunk(images)
        for stage in STAGES:
            chosen = trunk(images, stages=(stage,))
            assert list(chosen) == [stage]
            assert_close(chosen[stage], every[stage])
        trunk.merge2 = torch.nn.Identity()  # must not run
        assert_close(trunk(images, stages=("coarse",))["coarse"], every["coarse"])
        trunk.merge4 = trunk.merge2
    with pytest.raises(OptionError, match=r"stages among \['coarse', 'middle', 'fine'\], got 2"):
        trunk(images, stages=(2,))


def test_middle_cells_are_means_of_fine_ones() -> None:
    with torch.no_grad():
        maps = network()(noise("middle", 1, 3, 32, 48))
    fine = maps["fine"].view(1, 6, 8, 2, 12, 2).mean(dim=(3, 5))
    assert_close(maps["middle"], fine)


def test_light_that_changes_slowly_hardly_matters() -> None:
    """Exposure, white balance and a gradient of light leave the descriptors much as they are."""
    trunk = network()
    image = 0.2 + 0.5 * noise("light", 1, 3, 96, 96)
    gain = torch.tensor([0.9, 0.7, 0.8], dtype=torch.float64).view(1, 3, 1, 1)
    shade = torch.linspace(0.6, 1.0, 96, dtype=torch.float64) * gain
    with torch.no_grad():
        before = dense_descriptors(image, trunk, stages="coarse").descriptors
        after = dense_descriptors(image * shade, trunk, stages="coarse").descriptors
        other = dense_descriptors(image.flip(2), trunk, stages="coarse").descriptors
    alike = (before * after).sum(dim=1).mean()
    assert alike > 0.9
    assert alike > (before * other).sum(dim=1).mean()


def test_one_pass_gives_every_stage() -> None:
    trunk = network()
    images = noise("one pass", 2, 3, 48, 56)
    images[0, :, 10, 12] = torch.nan
    with torch.no_grad():
        maps = dense_stages(images, trunk)
        assert list(maps) == list(STAGES)
        for stage, features in maps.items():
            alone = dense_descriptors(images, trunk, stages=stage)
            assert_close(features.descriptors, alone.descriptors)
            assert features.valid is not None
            assert alone.valid is not None
            assert torch.equal(features.valid, alone.valid)
            assert not features.valid[0].all()
            assert (features.stride, features.offset) == (alone.stride, alone.offset)


def test_gradients_reach_images_and_weights() -> None:
    trunk = network().train()
    images = noise("gradients", 2, 3, 32, 32).requires_grad_()
    maps = dense_stages(images, trunk)
    sum(m.descriptors.square()[:, 0].sum() for m in maps.values()).backward()
    for tensor in (images, *trunk.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_compiles_in_one_graph(compile_backend: str) -> None:
    torch.compiler.reset()
    trunk = network()
    images = noise("compile", 1, 3, 48, 40)
    compiled = torch.compile(
        lambda x: dense_descriptors(x, trunk, stages="fine").descriptors, fullgraph=True, backend=compile_backend
    )
    with torch.no_grad():
        assert_close(compiled(images), dense_descriptors(images, trunk, stages="fine").descriptors)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widths": (1, 2, 3)}, "widths: 4 integers of at least 1"),
        ({"widths": (1, 2, 3, 0)}, "widths: 4 integers of at least 1"),
        ({"blocks": (1, 2, -1)}, "blocks: 3 integers of at least 0"),
        ({"coarse": 0}, "a positive coarse"),
        ({"fine": 2.5}, "a positive fine"),
    ],
)
def test_what_is_no_size_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        DualDescriptorConfig(**options)  # type: ignore[arg-type]


def test_exceptions() -> None:
    with pytest.raises(ShapeError, match=r"images must have shape \(B 3 H W\)"):
        network()(torch.zeros(1, 1, 16, 16, dtype=torch.float64))
    with pytest.raises(OptionError, match="its config"):
        DualDescriptor((16, 32, 96, 128))  # type: ignore[arg-type]


def test_the_default_is_small() -> None:
    parameters = sum(p.numel() for p in DualDescriptor().parameters())
    assert 1e6 < parameters < 2e6


def test_the_trained_one_finds_more_than_sift() -> None:
    """On views of drawn pictures, of another seed than those that it was trained on."""
    views = RenderedSequences(
        None, TextureSource(), count=6, frames=2, size=(160, 160), kind="misaligned", seed="shipped"
    )
    pairs = fixed_pairs(views, 6, crop=128, ranges=PairRanges(), seed=1)
    dual, sift = (score_descriptor(load_descriptor(name), pairs).mean(dim=0) for name in ("dual", "sift"))
    assert (dual > 2 * sift).all()
    assert dual[0] > 0.3
