"""dense_descriptors: exact cells of any trunk, and nothing where there is nothing to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from diar_ops import DenseDescriptor, DenseSIFT, DtypeError, OptionError, ShapeError, dense_descriptors, dense_sift
from tests.harness import Call, OpTests, assert_close
from tests.matching.trunks import Blocks, Lists, Ramps, noise


class TestDenseDescriptors(OpTests):
    op = "dense_descriptors"
    module = "DenseDescriptor"
    exempt = {"autocast": "learned layers run in the precision that autocast asks for, as torch's own do"}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        images = noise("dense_descriptors", 2, 3, 37, 30).to(device, dtype)
        trunk = Blocks().to(device, dtype)
        return Call((images,), {"trunk": trunk, "stages": (0,), "min_contrast": 0.01})

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        images = noise("dense_descriptors gradcheck", 1, 3, 8, 8, dtype=torch.float64).to(device)
        trunk = Blocks().to(device, torch.float64)
        images.requires_grad_()
        return lambda x: dense_descriptors(x, trunk).descriptors, (images,)

    def test_exception(self) -> None:
        images, trunk = torch.zeros(1, 3, 32, 32), DenseSIFT()
        with pytest.raises(ShapeError, match="dense_descriptors: images must have shape"):
            dense_descriptors(images[0], trunk)
        with pytest.raises(OptionError, match="1 or 3 channels in images, got 4"):
            dense_descriptors(torch.zeros(1, 4, 32, 32), trunk)
        with pytest.raises(DtypeError, match="floating point"):
            dense_descriptors(images.to(torch.uint8), trunk)
        with pytest.raises(OptionError, match="min_contrast >= 0, got -1"):
            dense_descriptors(images, trunk, min_contrast=-1)
        with pytest.raises(OptionError, match="states its stride, got 'Identity'"):
            dense_descriptors(images, nn.Identity())
        with pytest.raises(OptionError, match=r"stages among \[0\], got 1"):
            dense_descriptors(images, trunk, stages=1)
        with pytest.raises(OptionError, match=r"stages among \['fine', 'coarse'\], got 'deep'"):
            dense_descriptors(images, Ramps(), stages=("fine", "deep"))
        with pytest.raises(OptionError, match=r"at least one stage in stages, got \(\)"):
            dense_descriptors(images, trunk, stages=())

        class Flat(DenseSIFT):
            def forward(self, images: Tensor) -> Tensor:
                return super().forward(images).flatten(2)

        with pytest.raises(ShapeError, match=r"stage 0 of Flat must have shape \(B C h w\)"):
            dense_descriptors(images, Flat())

        class Short(Ramps):
            stride = {"fine": 2, "coarse": 6}
            offset = {"fine": 0.5}

        with pytest.raises(OptionError, match=r"offset of Short .* has none for stage 'coarse'"):
            dense_descriptors(images, Short())

    def test_cardinality(self) -> None:
        for shape, cells in (
            ((0, 3, 32, 40), (0, 5, 7)),
            ((2, 1, 32, 40), (2, 5, 7)),
            ((1, 3, 16, 16), (1, 1, 1)),
            ((1, 3, 8, 20), (1, 0, 2)),
        ):
            features = dense_descriptors(noise("cardinality", *shape), DenseSIFT())
            assert features.descriptors.shape == (cells[0], 128, *cells[1:])
            assert features.valid is not None
            assert features.valid.shape == cells
            assert features.stride == (4.0, 4.0)
            assert features.offset == (7.5, 7.5)

    def test_oracle_single_stage(self) -> None:
        images = noise("single", 2, 3, 40, 48)
        features = dense_descriptors(images, DenseSIFT())
        assert_close(features.descriptors, dense_sift(images), atol=1e-6)
        assert features.valid is not None
        assert features.valid.all()

    @pytest.mark.parametrize("stages", [("fine", "coarse"), ("coarse", "fine")])
    def test_oracle_stages_meet_at_exact_positions(self, stages: tuple[str, str]) -> None:
        """Each stage tells where it is, so both must tell the same at every inner cell."""
        features = dense_descriptors(noise("ramps", 1, 3, 48, 60), Ramps(), stages=stages)
        assert features.stride == (2.0, 2.0)
        assert features.offset == (0.5, 0.5)
        first, second = features.descriptors.split(2, dim=1)
        # The coarse stage starts at 2.5, the fine one at 0.5; outside it repeats its outer cell.
        inner = (..., slice(1, -1), slice(1, -1))
        assert_close(first[inner], second[inner])
        x = 0.5 + 2.0 * torch.arange(30)
        y = 0.5 + 2.0 * torch.arange(24)
        angle = torch.atan2(y[:, None] + 1, x + 1)
        assert_close(torch.atan2(first[0, 1], first[0, 0])[1:-1, 1:-1], angle[1:-1, 1:-1])
        assert_close(features.descriptors.norm(dim=1), torch.ones(1, 24, 30))

    def test_oracle_stage_choice(self) -> None:
        images = noise("choice", 1, 3, 48, 48)
        last = dense_descriptors(images, Lists())
        assert last.stride == (8.0, 8.0)
        assert_close(last.descriptors, dense_sift(images, stride=8), atol=1e-6)
        both = dense_descriptors(images, Lists(), stages=(0, 1))
        assert both.descriptors.shape[1] == 256
        # At every second cell the two stages see the same window.
        left, right = both.descriptors[..., ::2, ::2].chunk(2, dim=1)
        assert_close(left, right)

    def test_oracle_trunk_is_asked_for_its_stages(self) -> None:
        class Choosy(Ramps):
            selects_stages = True

            def forward(self, images: Tensor, stages: tuple[str, ...] = ("fine",)) -> Any:
                return {k: v for k, v in super().forward(images).items() if k in stages}

        images = noise("choosy", 1, 3, 48, 48)
        actual = dense_descriptors(images, Choosy(), stages="coarse")
        assert torch.equal(actual.descriptors, dense_descriptors(images, Ramps(), stages="coarse").descriptors)

    @given(dx=st.integers(0, 3), dy=st.integers(0, 3))
    def test_property_translation(self, dx: int, dy: int) -> None:
        image = noise("translation", 1, 3, 40, 40)
        whole = dense_descriptors(image, Blocks()).descriptors[..., dy:, dx:]
        part = dense_descriptors(image[..., 4 * dy :, 4 * dx :], Blocks()).descriptors
        assert_close(part, whole)

    @pytest.mark.parametrize("trunk", [DenseSIFT(), Blocks(), Ramps()], ids=lambda t: str(type(t)))
    @pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
    def test_property_no_texture_no_descriptor(self, trunk: nn.Module, level: float) -> None:
        """Constant images have nothing to match, although biases give them features."""
        images = torch.full((2, 3, 48, 48), level)
        images[1] = noise("texture", 3, 48, 48)
        features = dense_descriptors(images, trunk)
        assert features.valid is not None
        assert not features.valid[0].any()
        assert not features.descriptors[0].any()
        assert features.valid[1].all()

    def test_property_rounding_is_no_texture(self) -> None:
        """A flat gradient of light, rounded to 8 bits, stays invalid; faint texture does not."""
        shade = torch.linspace(0.2, 0.25, 64).expand(1, 3, 64, 64)
        rounded = (shade * 255).round() / 255
        features = dense_descriptors(rounded, DenseSIFT())
        assert features.valid is not None
        assert not features.valid.any()
        faint = ((0.2 + noise("faint", 1, 1, 64, 64) * 5 / 255) * 255).round() / 255
        features = dense_descriptors(faint, DenseSIFT())
        assert features.valid is not None
        assert features.valid.all()

    @pytest.mark.parametrize("trunk", [DenseSIFT(), Blocks()], ids=["sift", "blocks"])
    def test_nan_stays_in_its_windows(self, trunk: nn.Module) -> None:
        images = noise("nan", 2, 3, 48, 48)
        clean = dense_descriptors(images, trunk)
        images[0, 2, 20, 24] = float("nan")
        images[0, 0, 21, 24] = float("inf")
        actual = dense_descriptors(images, trunk)
        assert actual.descriptors.isfinite().all()
        assert actual.valid is not None
        assert torch.equal(actual.descriptors[1], clean.descriptors[1])
        invalid = ~actual.valid[0]
        assert 0 < invalid.sum() < invalid.numel() / 3
        assert not actual.descriptors[0][:, invalid].any()
        assert torch.equal(actual.descriptors[0][:, ~invalid], clean.descriptors[0][:, ~invalid])

    def test_nan_features_are_invalid(self) -> None:
        class Broken(DenseSIFT):
            def forward(self, images: Tensor) -> Tensor:
                features = super().forward(images).clone()
                features[:, 3, 1, 2] = float("nan")
                return features

        features = dense_descriptors(noise("broken", 1, 3, 32, 32), Broken())
        assert features.valid is not None
        assert not features.valid[0, 1, 2]
        assert features.valid.sum() == features.valid.numel() - 1
        assert features.descriptors.isfinite().all()

    def test_nan_gives_no_nan_gradient(self) -> None:
        images = noise("nan gradient", 1, 3, 32, 32)
        images[0, 0, 3, 3] = float("nan")
        trunk = Blocks()
        dense_descriptors(images.requires_grad_(), trunk).descriptors.square().sum().backward()
        for tensor in (images, *trunk.parameters()):
            assert tensor.grad is not None
            assert tensor.grad.isfinite().all()

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision_runs_in_the_trunks_dtype(self, half: torch.dtype) -> None:
        images = noise("half", 1, 3, 32, 32).to(half)
        actual = dense_descriptors(images, Blocks()).descriptors
        assert actual.dtype == half
        expected = dense_descriptors(images.float(), Blocks()).descriptors
        assert_close(actual, expected.to(half), rtol=0, atol=0)

    def test_cells_outside_the_image_are_invalid(self) -> None:
        class Padded(Blocks):
            offset = -2.5

            def forward(self, images: Tensor) -> Tensor:
                return super().forward(F.pad(images, (4, 4, 4, 4)))

        features = dense_descriptors(noise("padded", 1, 3, 16, 16), Padded())
        assert features.valid is not None
        expected = torch.zeros(6, 6, dtype=torch.bool)
        expected[1:5, 1:5] = True
        assert torch.equal(features.valid[0], expected)


def test_twin_owns_the_trunk() -> None:
    twin = DenseDescriptor(Blocks())
    assert len(list(twin.parameters())) == 2
    assert twin(noise("twin", 1, 1, 16, 16)).descriptors.requires_grad
