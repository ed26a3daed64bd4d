"""The pictures of a data set: the choice for each sequence, and the texture for Blender."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._errors import ImageError
from diar_ops._pixels import FULL_SCALE, image_to_float, to_bytes
from diar_ops._seeds import generator_for
from diar_ops.data.images import Photo, read_image

#: How many times as long as wide a pixel may be. Free cameras no longer fit a longer picture into
#: their frames, and Blender takes any above 200 for 200.
MAX_STRETCH = 32


class TextureChoice:
    """The choice of the picture that each sequence of a set shows.

    Every round over the files is a permutation of its own, so that each picture is used once
    before any is used twice. A sequence whose picture cannot be read, or is too long and narrow,
    takes the first usable one of a permutation of its own: what one sequence shows never depends
    on another.

    Args:
        files: The pictures, in a fixed order.
        seed: Of the data set.
        kind: Of the data set.
        size: (height, width) of the label.
    """

    def __init__(self, files: list[Path], seed: int, kind: str, size: tuple[int, int]) -> None:
        self.files, self.seed, self.kind, self.size = files, seed, kind, size

    def candidates(self, index: int) -> list[Path]:
        """Return the files for a sequence in order of preference."""
        count = len(self.files)
        cycle, position = divmod(index, count)
        first = self._permutation(count, "pictures", cycle)[position]
        fallbacks = self._permutation(count, index, "instead")
        return [self.files[i] for i in dict.fromkeys([first, *fallbacks])]

    def read(self, index: int) -> tuple[Path, Photo, list[str]]:
        """Return file and pixels for a sequence, and a sentence for each file passed over.

        Raises:
            ImageError: None of the files can be used.
        """
        skipped: list[str] = []
        for path in self.candidates(index):
            try:
                photo = read_image(path)
            except ImageError as error:
                skipped.append(str(error))
                continue
            (high, wide), (height, width) = photo.size, self.size
            stretch = height * wide / (width * high)
            if max(stretch, 1 / stretch) <= MAX_STRETCH:
                return path, photo, skipped
            skipped.append(f"{path} is too long and narrow, {wide} x {high} pixels, for a label of {width} x {height}")
        raise ImageError(f"none of the {len(self.files)} files is a usable picture: {skipped[0]}")

    def _permutation(self, count: int, *parts: object) -> list[int]:
        generator = generator_for(self.seed, self.kind, *parts)
        order: list[int] = torch.randperm(count, generator=generator).tolist()
        return order


def prepare_texture(photo: Photo, size: tuple[int, int]) -> Tensor:
    """Return a picture as the texture of a plane: sRGB, 8 bits, at most twice the label's size.

    What is transparent becomes white, as in a viewer.

    Args:
        photo: The picture.
        size: (height, width) of the label.

    Returns:
        (3, h, w) uint8. More detail than twice the label's would only be noise: a pixel of the
        label is the mean of a few samples.
    """
    pixels = _to_srgb(photo)
    if photo.valid is not None:
        white = FULL_SCALE[pixels.dtype]
        # torch.where knows no 16 bits.
        pixels = torch.where(photo.valid, pixels.int(), white).to(pixels.dtype)
    target = tuple(min(have, 2 * want) for have, want in zip(photo.size, size, strict=True))
    if target == photo.size and pixels.dtype == torch.uint8:
        return pixels
    image = image_to_float(pixels)[None]
    image = F.interpolate(image, target, mode="bilinear", antialias=True, align_corners=False)
    return to_bytes(image[0])


def _to_srgb(photo: Photo) -> Tensor:
    """Convert from the colour profile that the file carries, if it is a usable one."""
    if photo.icc_profile is None:
        return photo.pixels
    from PIL import Image, ImageCms

    pixels = photo.pixels
    if pixels.dtype != torch.uint8:
        pixels = to_bytes(image_to_float(pixels))
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(photo.icc_profile))
        image = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return photo.pixels  # a broken profile is no reason to lose the picture
    assert converted is not None
    return torch.from_numpy(np.array(converted)).permute(2, 0, 1).contiguous()
