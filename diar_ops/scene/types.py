"""A planar scene: cameras, lights and objects around one flat picture, as plain tensors.

The world is right-handed and speaks in picture units. The picture lies in the plane z = 0, centred
at the origin, its longer side 1 long; x points to its right, y down, z into the wall behind it.
Cameras, lights and objects are where z < 0. A picture's front therefore faces (0, 0, -1).
Radiometry is linear: a white diffuse surface of irradiance pi has radiance 1, which is the value 1
of a pixel before the transfer function of sRGB. No light is seen by the camera itself, but in
what reflects it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from torch import Tensor

#: Share of a spot's cone, measured as 1 - cosine, in which it fades.
SPOT_BLEND = 0.15
#: Reflectance at normal incidence of a dielectric of index 1.5: varnish, gloss.
F0_DIELECTRIC = 0.04


class LightKind(IntEnum):
    """The way in which a light emits."""

    POINT = 0  #: a sphere that shines all around
    #: a sphere that shines into a cone: from its rim smoothstep rises over the first 15 % of
    #: 1 - cos(cone / 2), as Blender's spot_blend does
    SPOT = 1
    #: a square that shines from one side, by Lambert's cosine; its sides are x and y turned by
    #: the shortest way that takes z to its direction
    AREA = 2


class ObjectKind(IntEnum):
    """The shape of an object, in its local coordinates, where its half sizes are 1."""

    SPHERE = 0  #: x^2 + y^2 + z^2 <= 1
    BOX = 1  #: max(|x|, |y|, |z|) <= 1
    CYLINDER = 2  #: x^2 + y^2 <= 1, |z| <= 1
    DISC = 3  #: z = 0, hole^2 <= x^2 + y^2 <= 1
    CARD = 4  #: z = 0, max(|x|, |y|) <= 1 + sum_k a_k cos(k phi) + b_k sin(k phi)


class Finish(IntEnum):
    """The material of an object."""

    DIFFUSE = 0  #: scatters its colour
    GLOSSY = 1  #: scatters its colour under a dielectric coat of its roughness
    MIRROR = 2  #: reflects, tinted by its colour
    #: refracts (index 1.45); what crosses it is tinted by its colour, half at each surface on a
    #: logarithmic scale; shadow and diffuse rays pass it straight
    GLASS = 3
    #: lets 1 - opacity of the light through, times its colour, and scatters the rest; a solid
    #: does so at both its surfaces, each with the square root
    TINTED = 4


class Lights(NamedTuple):
    """Up to L lights of each frame.

    Attributes:
        kind: (B, T, L) int64, :class:`LightKind`.
        position: (B, T, L, 3) centre.
        direction: (B, T, L, 3) unit vector into which spots and areas shine.
        power: (B, T, L, 3) radiant flux. Its radiant intensity is power / (4 pi) for point and
            spot (within the cone), power / pi along the direction for an area.
        size: (B, T, L) radius of the sphere, or side of the square.
        cone: (B, T, L) full opening angle of a spot, radians.
        valid: (B, T, L) bool, False where there is no light.
    """

    kind: Tensor
    position: Tensor
    direction: Tensor
    power: Tensor
    size: Tensor
    cone: Tensor
    valid: Tensor


class Objects(NamedTuple):
    """Up to O objects of each frame, in view or only casting shadows into it.

    Attributes:
        kind: (B, T, O) int64, :class:`ObjectKind`.
        position: (B, T, O, 3) centre.
        rotation: (B, T, O, 3, 3) from the object's coordinates to the world's.
        half_size: (B, T, O, 3) half extents along the object's axes.
        outline: (B, T, O, 2, 6) a_k and b_k of a card, k = 1 ... 6; zero for other kinds.
        hole: (B, T, O) inner radius of a disc as a share of the outer; zero for other kinds.
        finish: (B, T, O) int64, :class:`Finish`.
        colour: (B, T, O, 3) linear RGB in [0, 1].
        roughness: (B, T, O) of GLOSSY, MIRROR and GLASS; alpha of GGX is its square.
        opacity: (B, T, O) of TINTED; 1 for other finishes.
        valid: (B, T, O) bool, False where there is nothing.
    """

    kind: Tensor
    position: Tensor
    rotation: Tensor
    half_size: Tensor
    outline: Tensor
    hole: Tensor
    finish: Tensor
    colour: Tensor
    roughness: Tensor
    opacity: Tensor
    valid: Tensor


class PictureMaterial(NamedTuple):
    """The specular reflection of the picture, beside its diffuse colours; one per sequence.

    Attributes:
        roughness: (B,) of the surface; alpha of GGX is its square.
        specular: (B,) strength of the surface's reflection; 0.5 is an index of 1.5.
        coat: (B,) share of the surface under a clear varnish of index 1.5.
        coat_roughness: (B,) of that varnish.
    """

    roughness: Tensor
    specular: Tensor
    coat: Tensor
    coat_roughness: Tensor


class PlanarScene(NamedTuple):
    """B sequences of T frames of one picture each. All floating point tensors are float64.

    Attributes:
        K: (B, T, 3, 3) intrinsics; pixel centres are at integers.
        R: (B, T, 3, 3) rotation world to camera (OpenCV: x right, y down, z ahead).
        t: (B, T, 3) translation: a world point X is at R X + t in the camera.
        picture_size: (B, 2) height and width of the picture in the world, the longer one 1.
        material: The specular reflection of the picture.
        wall: (B, 3) linear RGB of the diffuse wall around the picture.
        ambient: (B, T, 3) radiance that comes from everywhere.
        lights: The lights.
        objects: The objects between picture and camera, or beside the view.
        size: (height, width) of the frames and of the label, in pixels.
    """

    K: Tensor
    R: Tensor
    t: Tensor
    picture_size: Tensor
    material: PictureMaterial
    wall: Tensor
    ambient: Tensor
    lights: Lights
    objects: Objects
    size: tuple[int, int]
