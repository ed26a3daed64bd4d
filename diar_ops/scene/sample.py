"""Sample planar scenes: one distribution for the Cycles renderer and the torch renderer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_floating, check_generator, check_option, check_shapes, check_size, eager, is_integer
from diar_ops._seeds import fresh_generator
from diar_ops.scene._sample.bends import sample_bends
from diar_ops.scene._sample.cameras import sample_cameras
from diar_ops.scene._sample.glass import sample_glass
from diar_ops.scene._sample.lights import sample_lights
from diar_ops.scene._sample.objects import sample_casters, sample_occluders
from diar_ops.scene._sample.rng import TensorRng
from diar_ops.scene.ranges import BendRanges, SceneRanges
from diar_ops.scene.types import Objects, PictureMaterial, PlanarScene

#: The kinds of sequences.
KINDS = ("aligned", "misaligned")


@eager
def sample_planar_scene(
    batch: int = 1,
    *,
    frames: int = 10,
    size: tuple[int, int] = (256, 256),
    picture_size: tuple[int, int] | Tensor = (1, 1),
    kind: str = "misaligned",
    generator: torch.Generator | None = None,
    ranges: SceneRanges | None = None,
    glass: float = 0.0,
    surroundings: Tensor | None = None,
    bends: BendRanges | None = None,
) -> PlanarScene:
    """Sample sequences of a flat picture under random cameras, lights and objects in the way.

    Every frame has its own lights and objects; the picture, its material and the wall stay. The
    camera of an *aligned* sequence is perpendicular and sees exactly the picture, whatever its
    aspect ratio (pixels are then not square). In a *misaligned* one that holds for frame 0, and
    the other frames have free cameras with pixels of the same shape.

    A share of the pictures may be behind a pane of glass or under gloss that mirrors a room or
    a street with windows, lamps and people, and whoever holds the camera. That stands still while
    free cameras move; in aligned sequences it moves as if the photos had been aligned.

    Args:
        batch: Number of sequences B.
        frames: Number of frames T of each.
        size: (height, width) of frames and label, in pixels.
        picture_size: (height, width) of the picture in any unit; only the ratio counts. One for
            all, or a (B, 2) tensor.
        kind: ``"aligned"`` or ``"misaligned"``.
        generator: Source of randomness; its device is where the scene is made. A fresh one on the
            CPU, seeded by the operating system, if None.
        ranges: The distribution; that of :class:`SceneRanges` by default.
        glass: Share of the sequences with a pane or a coat. It is drawn last: all else is as
            without it, but for things that are moved away from the pane.
        surroundings: (N, 3, h, w) sRGB in [0, 1], floating point, of any size: pictures that panes
            may mirror, on walls or as all that is seen. None for drawn surroundings alone.
        bends: How pictures are bent; flat ones if None. The same generator state draws otherwise
            the same scenes.

    Returns:
        The :class:`PlanarScene`; ``pane`` and ``environment`` None where ``glass`` is 0. The same
        generator state gives the same scene on every machine, up to the last digits of float64.
        Compiled code calls the function as it is (``torch.compiler.disable``): generators cannot be
        traced.

    Raises:
        OptionError: An argument is not as stated.
        ShapeError: ``surroundings`` is not (N, 3, h, w).
        DtypeError: ``surroundings`` is not floating point.

    Source: Kwiatkowski and Hellwich, DIAR, section 3.

    Example:
        >>> scene = sample_planar_scene(2, frames=3, generator=torch.Generator().manual_seed(0))
        >>> scene.K.shape, scene.lights.power.shape, scene.objects.position.shape
        (torch.Size([2, 3, 3, 3]), torch.Size([2, 3, 3, 3]), torch.Size([2, 3, 5, 3]))
        >>> scene.lights.valid.sum(-1)  # how many lights each frame has; the other places are empty
        tensor([[1, 2, 2],
                [2, 1, 1]])
    """
    op = "sample_planar_scene"
    check_option(op, is_integer(batch) and batch >= 0, "batch >= 0", batch)
    check_option(op, is_integer(frames) and frames >= 1, "frames >= 1", frames)
    check_option(op, kind in KINDS, f"kind to be one of {', '.join(KINDS)}", kind)
    size = check_size(op, size)
    check_generator(op, generator)
    is_share = isinstance(glass, (int, float)) and 0 <= glass <= 1
    check_option(op, is_share, "glass, a share from 0 to 1", glass)
    check_shapes(op, surroundings=(surroundings, "? N 3 h w"))
    if surroundings is not None:
        check_floating(op, surroundings=surroundings)
        has_pixels = len(surroundings) == 0 or min(surroundings.shape[-2:]) > 0
        check_option(op, has_pixels, "surroundings with pixels", list(surroundings.shape))
    rng = TensorRng(fresh_generator() if generator is None else generator)
    try:
        sides = torch.as_tensor(picture_size, dtype=torch.float64, device=rng.device)
    except (TypeError, ValueError, RuntimeError):
        sides = torch.empty(0)  # refused in the next line, like numbers of another shape
    fits = sides.shape in ((2,), (batch, 2)) and bool((sides > 0).all() & sides.isfinite().all())
    check_option(op, fits, "picture_size (height, width) or (B, 2), positive", picture_size)
    sides = sides.expand(batch, 2)
    sides = sides / sides.amax(dim=-1, keepdim=True)
    ranges = SceneRanges() if ranges is None else ranges

    cameras = sample_cameras(rng, ranges, sides, frames, size, kind)
    material = _sample_material(rng, ranges, batch)
    wall = rng.uniform((batch, 3), 0.15, 0.85)
    lights = sample_lights(rng, ranges, sides, cameras.centre())
    ambient = rng.log_uniform((batch, frames, 1), *ranges.ambient)
    ambient = ambient * rng.tint((batch, frames), ranges)
    occluders = sample_occluders(rng, ranges, sides, cameras.centre())
    casters = sample_casters(rng, ranges, sides, lights, cameras, size)
    pane, environment = None, None
    if glass > 0:
        centre = cameras.centre()
        pane, environment = sample_glass(rng, ranges, sides, centre, size, kind, glass, surroundings)
        before = F.pad((pane.distance * pane.valid)[:, None], (2, 0))
        occluders = occluders._replace(position=occluders.position - before[:, None, None])
    objects = Objects(*(torch.cat(pair, dim=2) for pair in zip(occluders, casters, strict=True)))
    scene = PlanarScene(
        *cameras,
        picture_size=sides,
        material=material,
        wall=wall,
        ambient=ambient,
        lights=lights,
        objects=objects,
        size=(int(size[0]), int(size[1])),
        pane=pane,
        environment=environment,
    )
    return scene if bends is None else scene._replace(bends=sample_bends(rng, bends, scene))


def _sample_material(rng: TensorRng, ranges: SceneRanges, batch: int) -> PictureMaterial:
    kind = rng.category((batch,), ranges.picture_material)
    # Low and high of roughness, specular, coat, coat_roughness for matte, satin, gloss, varnish.
    table = torch.tensor(
        [
            [[0.6, 1.0], [0.0, 0.3], [0.0, 0.0], [0.1, 0.1]],
            [[0.3, 0.55], [0.3, 0.6], [0.0, 0.0], [0.1, 0.1]],
            [[0.08, 0.25], [0.4, 0.6], [0.0, 0.0], [0.1, 0.1]],
            [[0.4, 0.8], [0.2, 0.5], [0.5, 1.0], [0.03, 0.15]],
        ],
        dtype=torch.float64,
        device=rng.device,
    )[kind]
    values = table[..., 0] + (table[..., 1] - table[..., 0]) * rng.uniform((batch, 4))
    return PictureMaterial(*values.unbind(-1))
