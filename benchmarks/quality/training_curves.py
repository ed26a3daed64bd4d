"""Learning curves of training runs, read from their folders."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from benchmarks.quality.csv_lines import read_lines
from diar_ops._errors import OptionError, OutputError
from diar_ops.training.curve import CURVE

#: Scores of restored pictures, by the end of their columns' names.
MEASURED = ("psnr", "ssim")


#: Columns of a learning curve by name, as long as the curve; NaN where a cell is empty.
Curve = dict[str, list[float]]


def read_curve(path: Path) -> Curve:
    """Read a learning curve as examples/train.py writes it.

    Raises:
        OutputError: It cannot be read, or is no such table.
    """
    lines = [line for line in read_lines(path) if line]
    columns = lines[0] if lines else []
    measured = [name for name in columns if name.endswith(tuple(f"_{m}" for m in MEASURED))]
    if "step" not in columns or "seconds" not in columns or not measured:
        raise OutputError(
            f"{path} is not the curve of a training: expected the columns step, seconds and scores "
            "of validation, such as rendered_psnr"
        )
    curve: Curve = {name: [] for name in columns}
    for number, line in enumerate(lines[1:], 2):
        try:
            for name, cell in zip(columns, line, strict=True):
                curve[name].append(float(cell or "nan"))
        except ValueError as error:
            raise OutputError(f"{path}, line {number} is damaged: {','.join(line)}") from error
    if not curve["step"]:
        raise OutputError(f"{path} has no rows yet; the first comes with the first validation")
    return curve


def read_curves(runs: Sequence[str | PathLike[str]]) -> dict[str, Curve]:
    """Read the curves of runs, by the names of their folders.

    Raises:
        OptionError: Two folders have one name.
        OutputError: Of :func:`read_curve`.
    """
    curves: dict[str, Curve] = {}
    for folder in map(Path, runs):
        name = folder.resolve().name
        if name in curves:
            raise OptionError(f"two runs are called {name}; rename the folder of one")
        curves[name] = read_curve(folder / CURVE)
    return curves
