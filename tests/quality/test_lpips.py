"""LPIPS is what its paper defines, on any weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.quality.lpips import LpipsFiles, load_lpips, lpips_digest, lpips_distance
from benchmarks.quality.scores import score_picture
from diar_ops import DtypeError, ShapeError, WeightsError
from tests.harness import assert_close, generator

SIZE = (70, 83)


def alexnet() -> nn.Sequential:
    """torchvision's AlexNet up to its last layer of features, as its source has it."""
    return nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(),
    )  # fmt: skip


def write_lpips_files(folder: Path) -> LpipsFiles:
    """Write random weights in the format of the real ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = {f"features.{k}": v for k, v in alexnet().state_dict().items()}
    state["classifier.6.bias"] = torch.zeros(1000)
    noise = generator("lpips")
    linear = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=noise)
        for i, c in enumerate((64, 192, 384, 256, 256))
    }
    torch.save(state, folder / "alexnet.pth")
    save_file(linear, folder / "linear.safetensors")
    return LpipsFiles(folder / "alexnet.pth", folder / "linear.safetensors")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> LpipsFiles:
    return write_lpips_files(tmp_path_factory.mktemp("lpips"))


@pytest.fixture(scope="module")
def params(files: LpipsFiles) -> dict[str, Tensor]:
    return load_lpips(files)


def pictures(count: int = 2) -> tuple[Tensor, Tensor]:
    noise = generator("lpips-pictures")
    target = torch.rand(count, 3, *SIZE, generator=noise)
    return (target + 0.2 * torch.randn(target.shape, generator=noise)).clamp(0, 1), target


def by_definition(image: Tensor, target: Tensor, params: dict[str, Tensor]) -> Tensor:
    """Equation 1 of the paper, layer by layer and cell by cell."""
    network = alexnet()
    network.load_state_dict({k.removeprefix("features."): v for k, v in params.items() if k.startswith("features.")})
    mean = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    deviation = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    distances = []
    for one, other in zip(image, target, strict=True):
        stacks: list[list[Tensor]] = [[], []]
        for picture, stack in zip((one, other), stacks, strict=True):
            features = ((picture * 2 - 1) - mean) / deviation
            for layer in network:
                features = layer(features)
                if isinstance(layer, nn.ReLU):
                    stack.append(features / (features.norm(dim=0) + 1e-10))
        distance = torch.zeros(())
        for number, (a, b) in enumerate(zip(*stacks, strict=True)):
            w = params[f"lin{number}.model.1.weight"].flatten()
            distance += torch.einsum("chw,c->hw", (a - b) ** 2, w).mean()
        distances.append(distance.detach())
    return torch.stack(distances)


def test_the_definition(params: dict[str, Tensor]) -> None:
    image, target = pictures()
    result = lpips_distance(image, target, params)
    assert result.shape == (2,)
    assert_close(result, by_definition(image, target, params), rtol=1e-4, atol=1e-6)
    assert_close(lpips_distance(target, image, params), result)
    assert (lpips_distance(target, target, params) == 0).all()
    assert (lpips_distance(target + 0.1 * (image - target), target, params) < result).all()


def test_the_gradient_leads_to_the_target(params: dict[str, Tensor]) -> None:
    image, target = pictures(1)
    image.requires_grad_()
    before = lpips_distance(image, target, params)
    (slope,) = torch.autograd.grad(before.sum(), image)
    assert slope.isfinite().all()
    after = lpips_distance(image - 1e-2 * slope / slope.abs().max(), target, params)
    assert after < before


def test_only_valid_pixels_count(params: dict[str, Tensor]) -> None:
    image, target = pictures()
    valid = torch.ones(2, 1, *SIZE, dtype=torch.bool)
    assert_close(lpips_distance(image, target, params, valid), lpips_distance(image, target, params))
    valid[0, :, :, :40] = False
    valid[1] = False
    spoiled = torch.where(valid, image, float("nan"))
    result = lpips_distance(spoiled, target, params, valid)
    assert result[0].isfinite()
    assert result[0] > 0
    assert result[1].isnan()
    beyond = torch.where(valid, image, torch.rand(image.shape, generator=generator("beyond")))
    assert_close(lpips_distance(beyond, target, params, valid)[:1], result[:1])


def test_it_joins_the_scores(params: dict[str, Tensor]) -> None:
    image, target = pictures(1)
    scores = score_picture(image, target, None, params)
    assert scores["lpips"] == pytest.approx(float(lpips_distance(image, target, params)), abs=1e-6)
    assert "lpips" not in score_picture(image, target, None)


def test_bad_input(params: dict[str, Tensor]) -> None:
    image, target = pictures(1)
    with pytest.raises(ShapeError, match="at least 63 x 63"):
        lpips_distance(image[..., :62], target[..., :62], params)
    with pytest.raises(ShapeError):
        lpips_distance(image, target[..., :-1], params)
    with pytest.raises(DtypeError):
        lpips_distance((image * 255).byte(), target, params)


def test_the_smallest_pictures_have_all_layers(params: dict[str, Tensor]) -> None:
    image, target = (x[..., :63, :63] for x in pictures(1))
    assert lpips_distance(image, target, params).isfinite().all()


def test_files(files: LpipsFiles, tmp_path: Path) -> None:
    assert len(lpips_digest(files)) == 64
    assert lpips_digest(files) != lpips_digest(LpipsFiles(files.linear, files.alexnet))
    with pytest.raises(WeightsError, match=r"does not hold features\.0\.weight"):
        load_lpips(LpipsFiles(files.linear, files.linear))
    with pytest.raises(WeightsError, match=r"does not hold lin0\.model\.1\.weight"):
        load_lpips(LpipsFiles(files.alexnet, files.alexnet))
    with pytest.raises(WeightsError, match="cannot read"):
        load_lpips(files._replace(linear=tmp_path / "nowhere.pth"))
    with pytest.raises(WeightsError, match="cannot read"):
        lpips_digest(files._replace(linear=tmp_path / "nowhere.pth"))
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="damaged"):
        load_lpips(files._replace(linear=broken))
