"""Small synthetic photos of one flat picture, with known homographies, for tests of the whole."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from diar_ops import Alignment, HomographyEstimate, Matches, PairMatches, Reason, undistort_points

#: Name of the view -> its corners in units of the picture's width, clockwise from the top left.
CORNERS = {
    "front": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "left": ((0.08, 0.05), (0.97, 0.01), (0.93, 0.98), (0.03, 0.9)),
    "right": ((0.01, 0.06), (0.95, 0.02), (0.99, 0.95), (0.06, 0.99)),
    "below": ((0.1, 0.02), (0.9, 0.05), (0.98, 0.96), (0.02, 0.99)),
}


def random(name: str) -> np.random.Generator:
    """Return a NumPy generator seeded by ``name``."""
    return np.random.default_rng(zlib.crc32(name.encode()))


@cache
def _picture(name: str, size: int) -> np.ndarray:
    """Blobs of many sizes under a few words."""
    rng = random(name)
    image = np.full((size, size, 3), 0.5)
    for cells, strength in ((4, 0.16), (10, 0.14), (24, 0.12), (60, 0.1)):
        noise = rng.standard_normal((cells, cells, 3)) * strength
        image += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    image = np.ascontiguousarray((255 * image.clip(0.08, 0.82)).astype(np.uint8))
    for row in range(4):
        word = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUXYZ"), 7))
        origin = (int(rng.integers(2, size // 5)), int(size * (0.2 + 0.24 * row)))
        colour = rng.choice([25, 205], 3).tolist()
        cv2.putText(image, word, origin, cv2.FONT_HERSHEY_SIMPLEX, size / 256, colour, 2, cv2.LINE_AA)
    return cv2.GaussianBlur(image / 255.0, (0, 0), 0.7)


def picture(name: str = "poster", size: int = 192) -> np.ndarray:
    """Return the clean picture ``name``: (size, size, 3) float64 in [0.05, 0.85], R, G, B."""
    return _picture(name, size).copy()


def homography(corners: Any, size: int = 192, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return frame ~ H @ picture from where the picture's corner pixels land.

    ``corners`` is a name of :data:`CORNERS` or four points in units of the frame's last pixel;
    ``shape`` is the frame's (height, width), ``(size, size)`` if None.
    """
    height, width = shape or (size, size)
    last = size - 1
    source = np.float32([[0, 0], [last, 0], [last, last], [0, last]])
    target = np.float32(CORNERS.get(corners, corners) if isinstance(corners, str) else corners)
    return cv2.getPerspectiveTransform(source, target * np.float32([width - 1, height - 1]))


def view(
    image: np.ndarray,
    homography_frame_picture: np.ndarray,
    *,
    shape: tuple[int, int] | None = None,
    gain: float = 1.0,
    occluder: tuple[int, int, int] | None = None,
    noise: str | None = None,
    distortion: float = 0.0,
) -> np.ndarray:
    """Return a photo of ``image``: (height, width, 3) uint8, R, G, B.

    Args:
        image: The picture, float in [0, 1].
        homography_frame_picture: frame ~ H @ picture.
        shape: (height, width) of the photo; that of the picture if None.
        gain: Exposure, in linear light.
        occluder: (x, y, radius) of a red disc in front of the picture, in pixels of the photo.
        noise: Name of the seed of 1 % sensor noise; none if None.
        distortion: k of the lens, see :func:`undistort_points`; the homography then leads to
            undistorted pixels.
    """
    height, width = shape or image.shape[:2]
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4) * gain
    exposed = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055)
    # Sampled by cubic splines; beyond the picture there is wall.
    margin, wall = 4, (0.35, 0.33, 0.3)
    y, x = np.mgrid[0:height, 0:width]
    if distortion:
        pixels = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2).astype(np.float64))
        k = torch.tensor(distortion, dtype=torch.float64)
        x, y = undistort_points(pixels, k, size=(height, width)).points.numpy().T
    pixels_frame = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    pixels_picture = np.linalg.inv(homography_frame_picture) @ pixels_frame
    rows_columns = (pixels_picture[1::-1] / pixels_picture[2]).reshape(2, height, width) + margin
    frame = np.empty((height, width, 3))
    for channel in range(3):
        padded = np.pad(exposed[..., channel], margin, constant_values=wall[channel])
        frame[..., channel] = map_coordinates(padded, rows_columns, order=3, mode="nearest")
    if occluder is not None:
        cv2.circle(frame, occluder[:2], occluder[2], (0.8, 0.1, 0.05), -1, cv2.LINE_AA)
    if noise is not None:
        frame = frame + random(noise).normal(0, 0.01, frame.shape)
    return (frame.clip(0, 1) * 255).round().astype(np.uint8)


def sequence(size: int = 192, count: int = 4) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return the picture, ``count`` spoiled photos of it, and (count, 3, 3) frame ~ H @ picture.

    The first photo is frontal: its homography is the identity. All are copies, to be changed at will.
    """
    image, views, H = _sequence(size, count)
    return image.copy(), [view.copy() for view in views], H.copy()


@cache
def _sequence(size: int, count: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Drawn once: most tests of whole pipelines begin with these photos."""
    image = picture("poster", size)
    H = np.stack([homography(name, size) for name in list(CORNERS)[:count]])
    near, far, radius = size // 4, 3 * (size // 4), size // 8
    discs = [(near, near), (far, near), (near, far), (far, far)]
    photos = [
        view(image, h, occluder=(*disc, radius), gain=gain, noise=name)
        for h, disc, gain, name in zip(H, discs, (1, 0.75, 1.2, 1), CORNERS, strict=False)
    ]
    return image, photos, H


def as_frame(photo: np.ndarray) -> Tensor:
    """Return a photo (H, W, 3) as a tensor (3, H, W) of the same dtype."""
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))


def exact_alignment(
    homography_frame_picture: np.ndarray,
    size: tuple[int, int],
    *,
    reference: int = 0,
    success: list[bool] | None = None,
) -> Alignment:
    """Return the alignment that knows the truth: frames of (count, 3, 3) frame ~ H @ picture."""
    H, count = homography_frame_picture, len(homography_frame_picture)
    done = torch.ones(count, dtype=torch.bool) if success is None else torch.tensor(success)
    homography = torch.from_numpy(H[reference] @ np.linalg.inv(H))
    homography[~done] = torch.eye(3, dtype=torch.float64)
    none = torch.zeros(0, 1, dtype=torch.bool)
    pairs = PairMatches(
        torch.zeros(0, 2, dtype=torch.int64),
        Matches(torch.zeros(0, 1, 2), torch.zeros(0, 1, 2), torch.zeros(0, 1), none),
        HomographyEstimate(torch.zeros(0, 3, 3), none, none[:, 0], none[:, 0], none[:, 0]),
    )
    return Alignment(
        homography_reference_frame=homography,
        success=done,
        reason=torch.where(done, int(Reason.OK), int(Reason.CHANCE_LEVEL)),
        inliers=torch.full((count,), 50),
        overlap=torch.ones(count),
        spread=torch.zeros(count, 5),
        reference=reference,
        size=size,
        pairs=pairs,
    )
