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
#: Index of refraction of panes and gloss coats.
GLASS_INDEX = 1.5


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

    SPHERE = 0  #: ``x^2 + y^2 + z^2 <= 1``
    BOX = 1  #: ``max(|x|, |y|, |z|) <= 1``
    CYLINDER = 2  #: ``x^2 + y^2 <= 1, |z| <= 1``
    DISC = 3  #: ``z = 0, hole^2 <= x^2 + y^2 <= 1``
    CARD = 4  #: ``z = 0, max(|x|, |y|) <= 1 + sum_k a_k cos(k phi) + b_k sin(k phi)``


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


class BendKind(IntEnum):
    """The shape of a bend, over the point (x, y) of the picture, for a height of 1.

    t is cos(angle) x + sin(angle) y - offset, in units of ``length``.
    """

    CURL = 0  #: max(t, 0)^2: a page that is rolled from a line on, like a cylinder
    BULGE = 1  #: (1 - (2 x / width)^2) (1 - (2 y / height)^2): the cover of a book, 0 at its edges
    WAVE = 2  #: sin(2 pi t): a canvas that hangs loose
    #: a frame around the picture, ``offset`` wide, which rises over ``length`` by smoothstep:
    #: with s of the distance into it from left or right and from above or below, 1 - (1 - s) (1 - s)
    FRAME = 3


class Bends(NamedTuple):
    """Up to N bends of each frame, which add up; the surface is where the picture is.

    A point (x, y) of the picture is seen at (x, y, z), where -z is the sum of the heights: each
    point stands over its place in the plane, whatever the length of the surface in between.

    Attributes:
        kind: (B, T, N) int64, :class:`BendKind`.
        height: (B, T, N) towards the cameras, or away from them where negative.
        angle: (B, T, N) radians, the direction in which CURL and WAVE change.
        length: (B, T, N) over which they change, or a FRAME rises; positive.
        offset: (B, T, N) where CURL begins and WAVE has its phase 0, or how wide a FRAME is.
        valid: (B, T, N) bool, False where there is none.
    """

    kind: Tensor
    height: Tensor
    angle: Tensor
    length: Tensor
    offset: Tensor
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


class Pane(NamedTuple):
    """Glass before the picture, or a gloss coat on it, that mirrors an :class:`Environment`; one per sequence.

    It lies in the plane z = -distance. By the angle to its normal a face reflects R, ``reflectivity``
    times Fresnel's unpolarised reflectance of index :data:`GLASS_INDEX`. A coat has one face: it
    mirrors R and lets 1 - R pass. A pane has two: the front mirrors R, the back, with all that is
    reflected more than once, R (1 - R) / (1 + R) times the squared tint, and (1 - R) / (1 + R) passes.
    What the camera sees through it is multiplied by that and by the tint. Only the cameras see it:
    light falls through it, objects and what they mirror do not know it, and it mirrors neither lights
    nor objects.

    Attributes:
        valid: (B,) bool, False where there is none.
        is_coat: (B,) bool, it has one face.
        distance: (B,) of the front face from the picture.
        half_size: (B, 2) half width and height of the rectangle, centred before the picture.
        reflectivity: (B,) 1 for plain glass, less where it is coated against reflections.
        thickness: (B,) apparent distance from the front face to the back one, which mirrors in the
            plane that far behind: the thickness over the index, or the gap between two panes.
        wedge: (B, 2) slopes of the back face against the front one along x and y.
        tint: (B, 3) share of R, G, B that passes once.
        blur: (B,) standard deviation of mirrored directions, radians: a card's image is blurred by
            this times the distance of its centre, on average over the frames.
    """

    valid: Tensor
    is_coat: Tensor
    distance: Tensor
    half_size: Tensor
    reflectivity: Tensor
    thickness: Tensor
    wedge: Tensor
    tint: Tensor
    blur: Tensor


class Environment(NamedTuple):
    """What a :class:`Pane` mirrors: up to E cards, rectangles that shine, and what is behind them all.

    Nothing but a pane sees them. A card covers those in slots before its own. A card is seen from
    both sides; its image is interpolated linearly between the centres of its texels.

    Attributes:
        image: (B, E, 4, h, w) float32: linear radiance R, G, B, and opacity. What a card shows is
            that radiance plus (1 - opacity) of what is behind.
        centre: (B, T, E, 3) of the cards; what is behind the front face of the pane is not mirrored.
        right: (B, T, E, 3) from there to the middle of the image's right edge.
        down: (B, T, E, 3) to the middle of its lower edge; perpendicular to ``right``.
        valid: (B, T, E) bool, False where there is no card.
        background: (B, 3) radiance where there is none.
        brightness: (B, T) factor of all radiance in a frame.
    """

    image: Tensor
    centre: Tensor
    right: Tensor
    down: Tensor
    valid: Tensor
    background: Tensor
    brightness: Tensor


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
        pane: Glass or a gloss coat before the pictures; None where no sequence has one.
        environment: What the pane mirrors; None with it.
        bends: How the picture is bent out of its plane; flat if None.
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
    pane: Pane | None = None
    environment: Environment | None = None
    bends: Bends | None = None
