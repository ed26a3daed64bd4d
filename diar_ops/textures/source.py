"""Textures for training: crops of image files, and procedural ones."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diar_ops._checks import check_option, check_size
from diar_ops._errors import ImageError
from diar_ops._pixels import fit_size, image_to_float, to_bytes
from diar_ops._seeds import fresh_generator
from diar_ops.data.images import read_image
from diar_ops.data.photos import list_images
from diar_ops.textures._procedural.rng import Rng
from diar_ops.textures.procedural import TEXTURE_KINDS, procedural_texture


class TextureSource:
    """Pictures of any size: crops of image files, and procedural textures, at given shares.

    A crop covers a random part of a file's picture at a random aspect ratio, mirrored half of the
    time. Files are read when they are first drawn, reduced to ``longest``, and kept while the
    cache has room. One that cannot be read is named in a warning once and passed over.

    The source draws only from the generator that :meth:`sample` is given, and can be sent to the
    worker processes of a data loader: each fills a cache of its own.

    Args:
        folders: A folder of images, several, or several with their relative weights; a single file
            will do, too. Within a folder all files are equally likely.
        procedural: Share of procedural textures, 0 to 1; by default half, or all without folders.
        kinds: The procedural kinds, equally likely; at the shares of :func:`procedural_texture`
            if None.
        area: Share of a picture that a crop covers, (low, high); uniform.
        aspect: A crop is at most this factor wider or higher than what it becomes.
        longest: Pictures are kept with this longer side, in pixels.
        cache_mib: Memory for pictures that are kept.

    Raises:
        ImageError: A folder does not exist or holds no images.
        OptionError: An option is not as stated, or there is nothing to draw from.
    """

    def __init__(
        self,
        folders: str
        | PathLike[str]
        | Mapping[str | PathLike[str], float]
        | Sequence[str | PathLike[str]]
        | None = None,
        *,
        procedural: float | None = None,
        kinds: Sequence[str] | None = None,
        area: tuple[float, float] = (0.25, 1.0),
        aspect: float = 1.3,
        longest: int = 1024,
        cache_mib: float = 256,
    ) -> None:
        op = "TextureSource"
        if procedural is None:
            procedural = 1.0 if folders is None else 0.5
        paths = [folders] if isinstance(folders, (str, PathLike)) else folders or ()
        weights = paths if isinstance(paths, Mapping) else dict.fromkeys(paths, 1.0)
        check_option(op, 0 <= procedural <= 1, "procedural, a share from 0 to 1", procedural)
        has_source = bool(weights) or procedural == 1
        check_option(op, has_source, "folders, or procedural=1", list(weights))
        check_option(op, all(w > 0 for w in weights.values()), "weights above 0", weights)
        unknown = [kind for kind in kinds or () if kind not in TEXTURE_KINDS]
        fits = not unknown and (kinds is None or len(kinds) > 0)
        check_option(op, fits, f"kinds out of {', '.join(TEXTURE_KINDS)}", kinds)
        check_option(op, 0 < area[0] <= area[1] <= 1, "area 0 < low <= high <= 1", area)
        check_option(op, aspect >= 1, "aspect of at least 1", aspect)
        check_option(op, longest >= 1, "longest of at least 1 pixel", longest)
        self.files = [list_images(folder) for folder in weights]
        self.shares = np.cumsum(list(weights.values())) / max(sum(weights.values()), 1e-30)
        self.procedural, self.area, self.aspect = procedural, area, aspect
        self.kinds = None if kinds is None else tuple(kinds)
        self.longest, self.cache_mib = longest, cache_mib
        self._cache: OrderedDict[Path, NDArray[np.uint8]] = OrderedDict()
        self._broken: set[Path] = set()

    def sample(self, batch: int, size: tuple[int, int], generator: torch.Generator | None = None) -> Tensor:
        """Draw ``batch`` pictures of ``size`` (height, width), from a fresh generator if None is given.

        Returns:
            (B, 3, H, W) float32 sRGB in [0, 1], on the CPU. The same state of the generator gives
            the same pictures, whatever was drawn before.

        Raises:
            ImageError: No file of a folder can be read.
            OptionError: ``batch`` or ``size`` is not as stated.
        """
        check_option("TextureSource", isinstance(batch, int) and batch >= 0, "batch >= 0", batch)
        check_size("TextureSource", size)
        out = torch.empty(batch, 3, *size)
        generator = fresh_generator() if generator is None else generator
        for item in range(batch):
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            rng = Rng(int(seed))
            if rng.chance(self.procedural):
                kind = None if self.kinds is None else rng.pick(self.kinds)
                seeded = torch.Generator().manual_seed(rng.seed())
                out[item] = procedural_texture(seeded, size=size, kind=kind)
            else:
                out[item] = torch.from_numpy(self._crop(rng, size))
        return out

    def _crop(self, rng: Rng, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return a crop (3, H, W) of a file's picture."""
        import cv2

        pixels = self._picture(rng)
        height, width = pixels.shape[:2]
        ratio = size[1] / size[0] * rng.logarithmic(1 / self.aspect, self.aspect)
        # As large as fits at this ratio, then a share of it.
        side = min(height, width / ratio) * rng.uniform(*self.area) ** 0.5
        rows, columns = max(1, round(side)), max(1, min(width, round(side * ratio)))
        top, left = rng.integer(0, height - rows), rng.integer(0, width - columns)
        crop = pixels[top : top + rows, left : left + columns]
        if rng.chance(0.5):
            crop = crop[:, ::-1]
        shrinks = rows > size[0] or columns > size[1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(crop), size[::-1], interpolation=method)
        planes = np.moveaxis(resized.reshape(*size, 3), 2, 0).astype(np.float32, order="C")
        return planes / np.float32(255)

    def _picture(self, rng: Rng) -> NDArray[np.uint8]:
        """Draw a folder, and files of it until one can be read."""
        folder = min(int(np.searchsorted(self.shares, rng.uniform(0, 1))), len(self.files) - 1)
        files = self.files[folder]
        while not self._broken.issuperset(files):
            path = rng.pick(files)
            pixels = self._load(path)
            if pixels is not None:
                return pixels
        raise ImageError(f"none of the {len(files)} images beside {files[0]} can be read")

    def _load(self, path: Path) -> NDArray[np.uint8] | None:
        if path in self._broken:
            return None
        if path in self._cache:
            self._cache.move_to_end(path)
            return self._cache[path]
        try:
            pixels = _read(path, self.longest)
        except ImageError as error:
            self._broken.add(path)
            warnings.warn(f"an image is left out: {error}", stacklevel=5)
            return None
        self._cache[path] = pixels
        while sum(cached.nbytes for cached in self._cache.values()) > self.cache_mib * 2**20:
            self._cache.popitem(last=False)
            if not self._cache:
                break
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        # A worker process starts with an empty cache.
        return {**self.__dict__, "_cache": OrderedDict()}

    def __repr__(self) -> str:
        files = sum(map(len, self.files))
        return f"TextureSource({files} files, procedural={self.procedural}, kinds={self.kinds})"


def _read(path: Path, longest: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) pixels of a file, reduced to ``longest``; white where transparent."""
    import cv2

    photo = read_image(path)
    planes = photo.pixels
    if planes.dtype != torch.uint8:
        planes = to_bytes(image_to_float(planes))
    if photo.valid is not None:
        planes = torch.where(photo.valid, planes, 255)
    pixels = np.ascontiguousarray(planes.permute(1, 2, 0).numpy())
    size = fit_size(photo.size, longest)
    if size == photo.size:
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
