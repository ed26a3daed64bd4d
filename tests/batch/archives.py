"""Small archives of photos, quickly cleaned, and what a batch made of them."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from diar_ops.batch import BatchOptions, BatchResult, clean_folders
from diar_ops.results import CleanOptions

QUICK = CleanOptions(aggregator="median")


def picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Return noise of every size (H, W, 3)."""
    random = np.random.default_rng(seed)
    image = np.zeros((*size, 3))
    for cells in (4, 8, 16, 32, 64):
        noise = Image.fromarray((random.random((cells, cells, 3)) * 255).astype(np.uint8))
        image += np.asarray(noise.resize(size[::-1], Image.Resampling.BICUBIC)) / 5
    return image.round().astype(np.uint8)


def write_photos(folder: Path, seed: int, count: int = 2, size: tuple[int, int] = (128, 160)) -> list[Path]:
    """Write photos of one picture, each shifted a little."""
    folder.mkdir(parents=True, exist_ok=True)
    whole, random = picture(seed, (size[0] + 16, size[1] + 16)), np.random.default_rng(seed)
    paths = []
    for number in range(count):
        y, x = random.integers(0, 16, 2)
        paths.append(folder / f"{seed}{number}.png")
        Image.fromarray(whole[y : y + size[0], x : x + size[1]]).save(paths[-1])
    return paths


def run(root: Path | str, out: Path | str, options: CleanOptions = QUICK, **batch: object) -> BatchResult:
    """Clean an archive."""
    return clean_folders(str(root), str(out), options, BatchOptions(**batch))  # type: ignore[arg-type]


def results(out: Path) -> dict[str, bytes]:
    """Return all files of the results, but for reports, which tell times."""
    files = sorted(path for path in (out / "results").rglob("*") if path.is_file() and path.name != "report.html")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def copy(source: Path, target: Path) -> Path:
    """Return a copy of a folder, stamps included."""
    return Path(shutil.copytree(source, target))
