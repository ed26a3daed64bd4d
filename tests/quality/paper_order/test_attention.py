"""Where networks look, on networks that look where one knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.quality.paper_order.attention import (
    Cell,
    choose_cells,
    covered_cells,
    covered_influence,
    embed_frames,
    frame_weights,
    influence,
)
from benchmarks.quality.paper_order.attention_figures import TABLE, write_attention
from diar_ops._errors import ImageError, OptionError
from diar_ops.data import SequenceDataset, read_image, write_mask
from diar_ops.models import DIAR, DeepResidualSets, DeepResidualSetsConfig, DIARConfig, save_pretrained
from tests.harness import generator
from tests.sequences import write_dataset

CELL = Cell(5, 2)


def diar(**options: Any) -> DIAR:
    torch.manual_seed(0)
    return DIAR(DIARConfig(channels=(4, 4, 8), **options)).eval()


def mean_network() -> DeepResidualSets:
    torch.manual_seed(0)
    return DeepResidualSets(DeepResidualSetsConfig(channels=(4, 4, 8))).eval()


def frames() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=generator("attention frames"))


def test_a_mean_looks_at_its_own_cell_of_every_frame() -> None:
    network = mean_network()
    features = embed_frames(network, frames())
    look = influence(network, features, CELL)
    expected = torch.zeros(4, 8, 8)
    expected[:, 5, 2] = 0.25
    torch.testing.assert_close(look, expected)
    torch.testing.assert_close(frame_weights(network, features), torch.full((4, 8, 8), 0.25))


def test_attention_looks_no_further_than_its_windows() -> None:
    network = diar(depth=1)
    look = influence(network, embed_frames(network, frames()), CELL)
    window = torch.zeros(8, 8, dtype=torch.bool)
    window[4:8, 0:4] = True
    assert (look[:, window] > 0).all()
    assert (look[:, ~window] == 0).all()
    # Windows of two frames: the cell of frame t depends on its pair alone, but all pairs are merged.
    paired = diar(depth=1, window=(2, 4, 4))
    assert (influence(paired, embed_frames(paired, frames()), CELL).flatten(1).sum(1) > 0).all()


def test_what_has_no_influence_need_not_be_computed() -> None:
    network = diar()
    features = torch.randn(1, 2, 8, 28, 28, generator=generator("attention features"))
    cell = Cell(14, 3)
    look = influence(network, features, cell)
    whole = features.clone().requires_grad_()
    merged = network.aggregate(whole, torch.ones_like(whole[:, :, :1], dtype=torch.bool))
    expected = sum(
        torch.autograd.grad(c, whole, retain_graph=True)[0].abs() for c in merged[0, :, cell.row, cell.column]
    )
    assert isinstance(expected, torch.Tensor)
    maps = expected[0].sum(1)
    torch.testing.assert_close(look, maps / maps.sum(), rtol=1e-4, atol=1e-7)


def test_embeddings_and_weights_are_those_of_the_network() -> None:
    network = diar()
    features = embed_frames(network, frames())
    weights = frame_weights(network, features)
    torch.testing.assert_close(weights.sum(0), torch.ones(8, 8))
    valid = torch.ones(1, 4, 1, 8, 8, dtype=torch.bool)
    with torch.no_grad():
        picture = network.decoder(network.aggregate(features, valid))
        torch.testing.assert_close(picture.sigmoid(), network(frames()[None]).image)
    with pytest.raises(OptionError, match="4 divides"):
        embed_frames(network, frames()[..., :30])


def test_what_covers_a_cell_counts_as_much_as_it_does() -> None:
    occluded = torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    occluded[1, :, 20:24, 8:12] = True
    covered = covered_cells(occluded, 4)
    assert covered.nonzero().tolist() == [[1, *CELL]]
    assert choose_cells(covered, "a", 3) == [CELL]
    alike = torch.zeros(4, 8, 8)
    alike[:, 5, 2] = 0.25
    assert covered_influence(alike, covered, CELL) == pytest.approx(1)
    left_alone = alike.clone()
    left_alone[1] = 0
    assert covered_influence(left_alone, covered, CELL) == 0
    with pytest.raises(ImageError, match="no cell of sequence b"):
        choose_cells(torch.zeros_like(covered), "b", 3)


def test_pictures_and_table(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", 2, kind="aligned", frames=3, size=(16, 32))
    for path in folder.rglob("*_occluded.png"):
        # The left half of frame 0 is covered.
        pixels = torch.zeros(1, 16, 32, dtype=torch.bool)
        pixels[..., :16] = path.name.startswith("00")
        path.unlink()
        write_mask(path, pixels)
    weights = {name: tmp_path / f"{name}.safetensors" for name in ("softmax-all-0", "deep-residual-sets-0")}
    for network, path in zip((diar(), mean_network()), weights.values(), strict=True):
        save_pretrained(network, path)
    dataset = SequenceDataset(folder, masks=("occluded",))
    pictures = write_attention(tmp_path, dataset, weights, shown=list(weights))
    assert [path.name for path in pictures] == ["attention-000000.png", "attention-000001.png"]
    assert min(read_image(pictures[0]).size) > 200
    lines = (tmp_path / TABLE).read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 4
    # A mean counts covers as it counts all.
    assert all(line.endswith(",1,1.000000") for line in lines if "deep-residual-sets" in line)
