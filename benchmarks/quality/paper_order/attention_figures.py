"""Pictures and a table of where networks look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.quality.csv_lines import to_csv
from benchmarks.quality.paper_order.attention import (
    Cell,
    choose_cells,
    covered_cells,
    covered_influence,
    embed_frames,
    frame_weights,
    influence,
)
from diar_ops._files import atomic_path, write_text_atomic
from diar_ops.data import SequenceDataset
from diar_ops.models import DeepResidualSets, load_pretrained

#: Sequences that are shown, frames of each in a picture, and cells that are measured in each.
SHOWN, COLUMNS, CELLS = 5, 5, 4
TABLE = "attention.csv"


def write_attention(
    out: Path, dataset: SequenceDataset, weights: Mapping[str, Path], *, shown: Sequence[str]
) -> list[Path]:
    """Write a picture of each of the first sequences of a set, and what covers count for.

    Args:
        out: Folder of ``attention-NAME.png`` and :data:`TABLE`.
        dataset: Aligned sequences with their masks ``occluded``.
        weights: Files of networks, by the name of the method.
        shown: Which of these the pictures show.

    Returns:
        The pictures.

    Raises:
        DiarError: A file cannot be read or written, or in a sequence too little is covered.
    """
    networks = {name: _load(path) for name, path in weights.items()}
    lines: list[list[Any]] = []
    pictures = []
    for index in range(min(SHOWN, len(dataset))):
        item = dataset[index]
        name, frames = item["name"], item["frames"]
        maps: dict[str, Tensor] = {}
        for method, network in networks.items():
            covered = covered_cells(item["occluded"], network.config.stride)
            cells = choose_cells(covered, name, CELLS)
            features = embed_frames(network, frames)
            looks = [influence(network, features, cell) for cell in cells]
            for cell, look in zip(cells, looks, strict=True):
                hidden = int(covered[:, cell.row, cell.column].sum())
                lines.append([name, *cell, method, hidden, f"{covered_influence(look, covered, cell):.6f}"])
            if method in shown:
                maps[f"{method}: the cell looks at"] = looks[0]
                weighed = frame_weights(network, features)
                if weighed.amax() > weighed.amin():
                    maps[f"{method}: weights"] = weighed
                place, stride = cells[0], network.config.stride
        pictures.append(out / f"attention-{name}.png")
        _draw(pictures[-1], frames, maps, place, stride)
    heads = ["sequence", "row", "column", "method", "covered_frames", "influence_of_covered"]
    write_text_atomic(out / TABLE, to_csv(heads, lines), overwrite=True)
    return pictures


def _load(path: Path) -> DeepResidualSets:
    network = load_pretrained(path).eval()
    assert isinstance(network, DeepResidualSets)
    return network


def _draw(path: Path, frames: Tensor, maps: Mapping[str, Tensor], cell: Cell, stride: int) -> None:
    """Draw frames, the cell in each, and a row of maps for each name, bright where they are high."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    chosen = torch.linspace(0, len(frames) - 1, min(COLUMNS, len(frames))).round().long().tolist()
    figure = Figure(figsize=(2 * len(chosen) + 1.6, 2 * (len(maps) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(maps) + 1, len(chosen), squeeze=False)
    corner = (cell.column * stride - 0.5, cell.row * stride - 0.5)
    for axes, t in zip(rows[0], chosen, strict=True):
        axes.imshow(frames[t].permute(1, 2, 0).numpy())
        axes.add_patch(Rectangle(corner, stride, stride, fill=False, color="red", linewidth=1.5))
        axes.set_title(f"frame {t}", fontsize="small")
    for (name, values), row in zip(maps.items(), rows[1:], strict=True):
        for axes, t in zip(row, chosen, strict=True):
            # The fourth root, or all but the cell itself would be black.
            axes.imshow(values[t].pow(0.25).numpy(), cmap="magma", vmin=0, vmax=float(values.amax()) ** 0.25)
            # How much this frame counts for, in all.
            axes.set_xlabel(f"{100 * float(values[t].sum() / values.sum()):.0f} %", fontsize="small")
        row[0].set_ylabel(name.replace(": ", "\n"), fontsize="small")
    for axes in rows.flat:
        axes.set(xticks=[], yticks=[])
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=80, format="png")
