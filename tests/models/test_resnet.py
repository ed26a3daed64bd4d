"""ResNetTrunk: torchvision's keys, an independent forward pass, and where its cells are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops import OptionError, ResNetTrunk, ShapeError, dense_descriptors, load_pretrained
from tests.harness import assert_close, generator

NAMES = ("resnet18", "resnet34", "resnet50")
#: torchvision.models: blocks per layer, convolutions per block, widening of a block.
LAYOUT = {"resnet18": ((2, 2, 2), 2, 1), "resnet34": ((3, 4, 6), 2, 1), "resnet50": ((3, 4, 6), 3, 4)}


def norm_keys(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    keys: dict[str, tuple[int, ...]] = {
        f"{prefix}.{k}": (channels,) for k in ("weight", "bias", "running_mean", "running_var")
    }
    return {**keys, f"{prefix}.num_batches_tracked": ()}


def torchvision_keys(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's parameters up to layer3, written down by hand."""
    blocks, convolutions, widening = LAYOUT[name]
    keys: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **norm_keys("bn1", 64)}
    channels = 64
    for layer, count in enumerate(blocks, start=1):
        width = (64, 128, 256)[layer - 1]
        for block in range(count):
            at = f"layer{layer}.{block}"
            if convolutions == 2:
                shapes = [(width, channels, 3, 3), (width, width, 3, 3)]
            else:
                shapes = [(width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for number, shape in enumerate(shapes, start=1):
                keys[f"{at}.conv{number}.weight"] = shape
                keys |= norm_keys(f"{at}.bn{number}", shape[0])
            if block == 0 and (layer > 1 or widening > 1):
                keys[f"{at}.downsample.0.weight"] = (widening * width, channels, 1, 1)
                keys |= norm_keys(f"{at}.downsample.1", widening * width)
            channels = widening * width
    return keys


def randomised(name: str) -> ResNetTrunk:
    """A trunk with random parameters and statistics, so that a forgotten norm shows."""
    trunk = ResNetTrunk(name).eval()
    g = generator(f"parameters of {name}")
    with torch.no_grad():
        for key, tensor in trunk.state_dict().items():
            if key.endswith(("running_var", "bn1.weight", "bn2.weight", "bn3.weight")):
                tensor.copy_(torch.rand(tensor.shape, generator=g) + 0.5)
            elif tensor.ndim == 4:
                scale = (2 / tensor[0].numel()) ** 0.5
                tensor.copy_(torch.randn(tensor.shape, generator=g) * scale)
            elif tensor.ndim == 1:
                tensor.copy_(torch.randn(tensor.shape, generator=g) * 0.1)
    return trunk


def functional_resnet(name: str, state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The same network, written from the paper over the bare state dict."""

    def norm(x: Tensor, at: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (state[f"{at}.{n}"] for n in names)
        return F.batch_norm(x, mean, var, weight, bias, training=False)

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean[:, None, None]) / std[:, None, None]
    x = norm(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1").relu()
    maps = [x]
    x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    blocks, convolutions, _ = LAYOUT[name]
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            at = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            strided = 1 if convolutions == 2 else 2  # the 3 x 3 convolution strides
            y = x
            for number in range(1, convolutions + 1):
                weight = state[f"{at}.conv{number}.weight"]
                step = stride if number == strided else 1
                y = F.conv2d(y, weight, stride=step, padding=weight.shape[-1] // 2)
                y = norm(y, f"{at}.bn{number}")
                y = y.relu() if number < convolutions else y
            if f"{at}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{at}.downsample.1")
            x = (x + y).relu()
        maps.append(x)
    return maps


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_is_torchvisions(name: str) -> None:
    state = ResNetTrunk(name).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == torchvision_keys(name)


@pytest.mark.parametrize("name", NAMES)
def test_oracle_forward(name: str) -> None:
    trunk = randomised(name)
    images = torch.rand(2, 3, 67, 50, generator=generator("oracle"))
    with torch.no_grad():
        actual = trunk(images)
        expected = functional_resnet(name, trunk.state_dict(), images)
    assert list(actual) == [0, 1, 2, 3]
    for stage, tensor in enumerate(expected):
        assert_close(actual[stage], tensor, rtol=1e-4, atol=1e-4)
        stride = trunk.stride[stage]
        assert tensor.shape[-2:] == (-(-67 // stride), -(-50 // stride))


def test_stages_are_a_choice() -> None:
    trunk = randomised("resnet18")
    images = torch.rand(1, 3, 32, 32, generator=generator("stages"))
    every = trunk(images)
    trunk.layer3 = torch.nn.Identity()  # must not run
    chosen = trunk(images, stages=(2, 0))
    assert list(chosen) == [2, 0]
    for stage, tensor in chosen.items():
        assert torch.equal(tensor, every[stage])
    with pytest.raises(OptionError, match=r"stages among \[0, 1, 2, 3\], got 4"):
        trunk(images, stages=(4,))


def test_exceptions() -> None:
    with pytest.raises(OptionError, match=r"an architecture among .* got 'resnet19'"):
        ResNetTrunk("resnet19")
    with pytest.raises(ShapeError, match=r"images must have shape \(B 3 H W\)"):
        ResNetTrunk()(torch.zeros(1, 1, 8, 8))


def test_repr_tells_architecture() -> None:
    assert "architecture=resnet34, offset=(0.0, 0.0, 0.0, 0.0)" in repr(ResNetTrunk("resnet34"))


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_centred_at_multiples_of_the_stride(name: str) -> None:
    """With kernels that equal their mirror image, mirroring the image mirrors the map about it.

    The image is 16 * m + 1 pixels wide, so ``j * s`` runs from its first pixel to its last at
    every stage; with any other centre the mirrored map would be another one.
    """
    trunk = randomised(name).double()
    with torch.no_grad():
        for tensor in trunk.state_dict().values():
            if tensor.ndim == 4:
                tensor.copy_((tensor + tensor.flip(3)) / 2)
        images = torch.rand(1, 3, 17, 97, generator=generator("mirror"), dtype=torch.float64)
        maps, mirrored = trunk(images), trunk(images.flip(3))
    for stage, stride in enumerate(trunk.stride):
        assert trunk.offset[stage] + stride * (maps[stage].shape[-1] - 1) == 96
        assert_close(mirrored[stage].flip(3), maps[stage])


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_moving_the_image_moves_the_cells(stage: int) -> None:
    trunk = randomised("resnet18")
    stride = trunk.stride[stage]
    images = torch.rand(1, 3, 320, 320, generator=generator("moving"))
    with torch.no_grad():
        whole = trunk(images, stages=(stage,))[stage]
        part = trunk(images[..., stride:, 2 * stride :], stages=(stage,))[stage]
    inner = slice(128 // stride, 192 // stride)  # out of reach of the padding at the border
    moved = whole[..., 1:, 2:][..., inner, inner]
    assert_close(part[..., inner, inner], moved, rtol=1e-4, atol=1e-4)


def test_black_images_have_no_descriptors() -> None:
    features = dense_descriptors(torch.zeros(1, 3, 64, 64), randomised("resnet18"))
    assert features.valid is not None
    assert not features.valid.any()
    assert not features.descriptors.any()


def test_gradients_reach_images_and_weights() -> None:
    trunk = randomised("resnet18")
    images = torch.rand(1, 3, 64, 64, generator=generator("gradients")).requires_grad_()
    features = dense_descriptors(images, trunk, stages=(2, 3))
    assert features.stride == (8.0, 8.0)
    features.descriptors.square()[:, 0].sum().backward()
    for tensor in (images, trunk.conv1.weight, trunk.get_parameter("layer3.0.conv1.weight")):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.any()


def test_compiles_in_one_graph(compile_backend: str) -> None:
    torch.compiler.reset()
    trunk = randomised("resnet18")
    images = torch.rand(1, 3, 48, 48, generator=generator("compile"))
    compiled = torch.compile(
        lambda x: dense_descriptors(x, trunk, stages=(1, 2)).descriptors, fullgraph=True, backend=compile_backend
    )
    expected = dense_descriptors(images, trunk, stages=(1, 2)).descriptors
    assert_close(compiled(images), expected)


def test_trained_weights_see_where_they_say(development_data: Path) -> None:
    """Trained cells see around the offset that load_pretrained states, not around ``j * s``.

    Cells of an image and of its copy at 0.8 of the size agree best when both are taken to lie at
    the stated offset.
    """
    trunk = load_pretrained(development_data / "weights" / "resnet18_imagenet_trunk.safetensors")
    from PIL import Image

    path = sorted((development_data / "paintings" / "train").glob("*.jpg"))[0]
    with Image.open(path) as file:
        picture = file.convert("RGB").crop((0, 0, 480, 480))
    image = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    image = image.view(480, 480, 3).permute(2, 0, 1)[None].float() / 255
    small = F.interpolate(image, (384, 384), mode="bicubic", antialias=True).clamp(0, 1)
    for stage in (1, 2, 3):
        stride = trunk.stride[stage]
        with torch.no_grad():
            large_map, small_map = (trunk(x, stages=(stage,))[stage] for x in (image, small))
        cells = torch.arange(80 // stride, 304 // stride)

        def agreement(
            offset: float,
            stride: int = stride,
            large_map: Tensor = large_map,
            small_map: Tensor = small_map,
            cells: Tensor = cells,
        ) -> float:
            at = ((cells * stride + offset + 0.5) / 0.8 - 0.5 - offset) / stride
            x = at / (large_map.shape[-1] - 1) * 2 - 1
            grid = torch.stack(torch.meshgrid(x, x, indexing="xy"), dim=-1)[None]
            sampled = F.grid_sample(large_map, grid, align_corners=True)
            chosen = small_map[:, :, cells][..., cells]
            return F.cosine_similarity(sampled, chosen, dim=1).mean().item()

        stated = trunk.offset[stage]
        assert agreement(stated) > agreement(0.0)
        assert agreement(stated) > agreement(2 * stated)
