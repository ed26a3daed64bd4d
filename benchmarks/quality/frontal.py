#!/usr/bin/env python3
"""How well photos tell the plane that they show: normals of rendered cameras, as frontal_view finds them.

No picture is rendered: the homographies of the scenes' cameras are given with errors, to one photo of each
scene taken at random. Focal lengths differ from photo to photo, and none is told.

  python -m benchmarks.quality.frontal --photos 4 5 6 10 --scenes 60
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.quality.program import program_parser, run_program
from diar_ops import Alignment, homography_dlt, homography_from_camera, sample_planar_scene, transform_points
from diar_ops.pipeline import frontal_view

SIDE = 256
#: Degrees of standard deviation up to which the command calls a normal known.
SURE = 1.5


def measure_normals(
    photos: int, scenes: int, *, noise: float = 0.3, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return how far the normals of scenes are off (N,), and their standard deviations (N,), in degrees.

    Args:
        photos: Of each scene.
        scenes: N.
        noise: Standard deviation of the coordinates of a photo's corners, in pixels of 256.
        generator: Source of randomness.
    """
    size = (SIDE, SIDE)
    scene = sample_planar_scene(scenes, frames=photos, size=size, kind="misaligned", generator=generator)
    H = homography_from_camera(scene.K.double(), scene.R.double(), scene.t.double())
    last = SIDE - 1.0
    corners = torch.tensor([[0, 0], [last, 0], [last, last], [0, last]], dtype=torch.float64)
    errors, sigmas = [], []
    for item, reference in enumerate(torch.randint(photos, (scenes,), generator=generator).tolist()):
        seen = transform_points(corners.expand(photos, 4, 2), H[item, reference] @ H[item].inverse()).points
        found = homography_dlt(corners + noise * torch.randn(seen.shape, generator=generator, dtype=seen.dtype), seen)
        found[reference] = torch.eye(3)
        view = frontal_view(Alignment.from_homographies(found, [size] * photos, reference=reference), [size] * photos)
        normal = scene.R[item, reference, :, 2].double()
        # The last row of a frontal view is the vanishing line, which is K^-T times the normal.
        told = scene.K[item, reference].double().mT @ view.homography[0, 2]
        errors.append(torch.atan2(torch.linalg.cross(told, normal).norm(), (told @ normal).abs()))
        sigmas.append(view.sigma[0])
    return torch.stack(errors).rad2deg(), torch.stack(sigmas).rad2deg()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = program_parser("frontal", __doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[4, 5, 6, 10], help="of a scene (default: 4 5 6 10)")
    parser.add_argument("--scenes", type=int, default=180, help="for each number of photos (default: 180)")
    parser.add_argument("--noise", type=float, default=0.3, help="error in pixels of 256 (default: 0.3)")
    return run_program(_run, parser, argv)


def _run(options: argparse.Namespace) -> None:
    print(f"| photos | scenes | normal known to {SURE} degrees | its error then, median | worst |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for photos in options.photos:
        generator = torch.Generator().manual_seed(photos)
        errors, sigmas = measure_normals(photos, options.scenes, noise=options.noise, generator=generator)
        sure = sigmas < SURE
        known = errors[sure]
        middle, worst = (f"{float(x):.2f}°" for x in (known.median(), known.max())) if len(known) else ("", "")
        print(f"| {photos} | {options.scenes} | {100 * sure.double().mean():.0f} % | {middle} | {worst} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
