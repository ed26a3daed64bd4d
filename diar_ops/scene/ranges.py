"""The distribution of scenes: one table for both renderers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from diar_ops._checks import check_option

Range = tuple[float, float]

#: Share of the picture, around its middle, within which free cameras look.
TARGET = 0.3
#: From a corner of a square picture to the farthest point that a camera looks at.
LARGEST_OFFSET = math.sqrt(2) * (1 + TARGET) / 2


@dataclass(frozen=True)
class SceneRanges:
    """The distribution of :func:`sample_planar_scene`.

    Lengths are in picture units (the longer side is 1), angles in degrees, radiances linear with
    white paper in label light at 1. Pairs are (low, high), drawn uniformly unless marked
    *logarithmic*. Shares are probabilities in the order of the enumeration that they name.

    Attributes:
        light_count: Shares of 1, 2, 3 lights.
        light_kind: Shares of point, spot, area.
        light_radiance: Radiance of white paper under all lights together; logarithmic.
        light_height: Distance of a light from the picture's plane.
        light_mirrored: Share of lights whose mirror image in the picture is in view.
        light_radius: Radius of point and spot lights; logarithmic.
        light_side: Side of area lights; logarithmic.
        light_cone: Full opening angle of spots.
        tint: Each channel of a light's colour differs from white by at most this share.
        ambient: Radiance of the surroundings; logarithmic.
        object_count: Shares of 0, 1, 2, 3 things in view.
        caster_count: Shares of 0, 1, 2 things that only cast shadows into the view.
        object_kind: Shares of sphere, box, cylinder, disc, card.
        object_finish: Shares of diffuse, glossy, mirror, glass, tinted.
        object_size: Size of a thing as it appears on the picture; logarithmic.
        object_place: Where a thing is on the way from picture (0) to camera (1).
        picture_material: Shares of matte, satin, gloss, varnish.
        distance: Distance of a free camera from where it looks; so far that all of the picture is
            ahead of it.
        tilt: Angle between a free camera's axis and the picture's normal.
        roll: A free camera turns around its axis by at most this angle.
        fill: Root of the area of the picture's image over that of a free camera's frame, as it is
            drawn. ``visible`` caps it: cameras that see too little are drawn anew, which leaves
            99 of 100 below 1.14 at the defaults, and hardly more with a higher upper end.
        visible: A free camera sees at least this share of the picture, or is the one that sees
            most of eight draws.
    """

    light_count: tuple[float, ...] = (0.45, 0.35, 0.2)
    light_kind: tuple[float, ...] = (0.34, 0.33, 0.33)
    light_radiance: Range = (0.45, 1.8)
    light_height: Range = (0.6, 2.0)
    light_mirrored: float = 0.4
    light_radius: Range = (0.005, 0.2)
    light_side: Range = (0.1, 1.2)
    light_cone: Range = (15.0, 60.0)
    tint: float = 0.25
    ambient: Range = (0.08, 0.35)
    object_count: tuple[float, ...] = (0.12, 0.35, 0.33, 0.2)
    caster_count: tuple[float, ...] = (0.2, 0.45, 0.35)
    object_kind: tuple[float, ...] = (0.22, 0.22, 0.2, 0.12, 0.24)
    object_finish: tuple[float, ...] = (0.3, 0.2, 0.15, 0.2, 0.15)
    object_size: Range = (0.2, 0.58)
    object_place: Range = (0.1, 0.55)
    picture_material: tuple[float, ...] = (0.3, 0.3, 0.2, 0.2)
    distance: Range = (1.2, 2.6)
    tilt: Range = (5.0, 40.0)
    roll: float = 20.0
    fill: Range = (0.75, 1.25)
    visible: float = 0.65

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from."""
        shares = {
            "light_count": 3,
            "light_kind": 3,
            "object_count": 4,
            "caster_count": 3,
            "object_kind": 5,
            "object_finish": 5,
            "picture_material": 4,
        }
        logarithmic = {"light_radiance", "light_radius", "light_side", "ambient", "object_size"}
        single = {"light_mirrored": 1.0, "visible": 1.0, "tint": 1.0, "roll": 180.0}
        tops = {"light_cone": 170.0, "tilt": 80.0, "object_place": 0.9}
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            op = f"SceneRanges.{name}"
            several = isinstance(value, (tuple, list))
            numeric = all(isinstance(v, (int, float)) for v in (value if several else (value,)))
            if name in single:
                fits = numeric and not several and 0 <= value <= single[name]
                check_option(op, fits, f"0 to {single[name]:g}", value)
            elif not (several and numeric):
                check_option(op, False, "a tuple of numbers", value)
            elif name in shares:
                fits = len(value) == shares[name] and min(value) >= 0
                expected = f"{shares[name]} shares that sum to 1"
                check_option(op, fits and abs(sum(value) - 1) < 1e-6, expected, value)
            else:
                fits = len(value) == 2 and 0 <= value[0] <= value[1] <= tops.get(name, 1e6)
                strict = name in logarithmic | {"distance", "fill", "light_height"}
                expected = "a pair 0 < low <= high" if strict else "a pair 0 <= low <= high"
                if name in tops:
                    expected += f" <= {tops[name]:g}"
                check_option(op, fits and not (strict and value[0] <= 0), expected, value)
        least = LARGEST_OFFSET * math.sin(math.radians(self.tilt[1]))
        expected = f"above {least:.2f}, the whole picture ahead at a tilt of {self.tilt[1]:g}"
        check_option("SceneRanges.distance", self.distance[0] > least, expected, self.distance)


@dataclass(frozen=True)
class BendRanges:
    """How pictures are bent in :func:`sample_planar_scene`.

    Attributes:
        share: Share of sequences whose picture is bent.
        displacement: Mean distance, in pixels of frames whose longer side has 256, between where
            points of the picture are seen and where they would be if it were flat; drawn
            uniformly. A frame stands 0.01 to 0.03 before the picture whatever that gives, and
            what would hide a part of itself from a camera is bent less.
        kind: Shares of curl, bulge, wave, frame.
        change: The height of a curl differs from frame to frame by up to this share.
    """

    share: float = 1.0
    displacement: Range = (1.0, 8.0)
    kind: tuple[float, ...] = (0.3, 0.25, 0.25, 0.2)
    change: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from."""
        for name in ("share", "change"):
            value = getattr(self, name)
            fits = isinstance(value, (int, float)) and 0 <= value <= 1
            check_option(f"BendRanges.{name}", fits, "0 to 1", value)
        for name, count in (("displacement", 2), ("kind", 4)):
            value = getattr(self, name)
            fits = isinstance(value, (tuple, list)) and len(value) == count
            fits = fits and all(isinstance(v, (int, float)) and 0 <= v <= 1000 for v in value)
            check_option(f"BendRanges.{name}", fits, f"{count} numbers from 0 on", value)
        low, high = self.displacement
        check_option("BendRanges.displacement", low <= high, "low <= high", self.displacement)
        check_option("BendRanges.kind", abs(sum(self.kind) - 1) < 1e-6, "shares that sum to 1", self.kind)
