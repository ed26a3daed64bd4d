"""Draw what stands before a pane: rooms by day, rooms by night, streets, people, the photographer.

In metres around the middle of the picture: x right, y down, z away from the viewer, so that all is
where z < 0. Radiances are linear; white paper in label light has 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from torch import Tensor

from diar_ops.scene._sample.paint import Card, Colour

#: Of a person, from the floor.
EYES = 1.6


class Place(NamedTuple):
    """What a pane mirrors, from the farthest to the nearest.

    Attributes:
        surfaces: Walls, ceiling, floor, sky: up to five.
        things: What stands or hangs before them: up to four.
        background: Radiance between and behind them.
        light: Radiance of white paper there.
    """

    surfaces: list[Card]
    things: list[Card]
    background: Colour
    light: float


def draw_place(random: Random, resolution: int, pictures: Sequence[Tensor] = ()) -> Place:
    """Draw a place.

    Args:
        random: Source of randomness.
        resolution: Texels of each side of a card's image.
        pictures: (3, h, w) linear each, to hang on walls, or to be all that is seen.
    """
    kind = random.random()
    if pictures and random.random() < 0.15:
        return _backdrop(random, resolution, pictures)
    if kind < 0.6:
        return _room(random, resolution, pictures, light=_log_uniform(random, 0.5, 6.0), is_night=False)
    if kind < 0.75:
        return _room(random, resolution, pictures, light=_log_uniform(random, 0.05, 0.5), is_night=True)
    return _street(random, resolution)


def draw_photographer(random: Random, resolution: int, light: float) -> Card:
    """Draw a person who holds a camera at the card's centre."""
    lit = light * random.uniform(0.2, 0.9)
    cloth, skin, hair = _clothes(random, lit), _skin(random, lit), _grey(random, 0.02, 0.3, lit)
    card = Card(resolution, (0.0, 0.55, 0.0), (0.5, 0.0, 0.0), (0.0, 0.95, 0.0))
    eyes = -0.55 - random.uniform(-0.02, 0.12)
    _paint_person(random, card, random.uniform(-0.05, 0.05), eyes, cloth, skin, hair)
    phone = -0.55
    for side in (-1, 1):  # both hands hold it
        for step in range(6):
            share = step / 5
            x, y = side * (0.27 - 0.2 * share), eyes + 0.5 + (phone + 0.05 - eyes - 0.5) * share
            card.ellipse(x, y, 0.06, 0.07, cloth if step < 4 else skin)
    if random.random() < 0.8:
        long, short = 0.08, 0.04
        a, b = (long, short) if random.random() < 0.5 else (short, long)
        body = _grey(random, 0.01, 0.2, lit)
        card.box(-a, phone - b, a, phone + b, body)
        card.ellipse(-0.6 * a, phone - 0.6 * b, 0.012, 0.012, (0.01, 0.01, 0.012))
        if random.random() < 0.12:  # its light is on
            lamp = _log_uniform(random, 20.0, 200.0)
            card.glow(-0.3 * a, phone - 0.6 * b, 0.05, (0.02 * lamp,) * 3)
            card.ellipse(-0.3 * a, phone - 0.6 * b, 0.014, 0.014, (lamp,) * 3)
    else:
        card.box(-0.07, phone - 0.045, 0.07, phone + 0.045, _grey(random, 0.01, 0.08, lit))
        card.ellipse(0.0, phone, 0.04, 0.04, _grey(random, 0.01, 0.05, lit))
    return card


def _backdrop(random: Random, resolution: int, pictures: Sequence[Tensor]) -> Place:
    """A picture is all that is seen, as of a hall that someone photographed."""
    picture, light = random.choice(pictures), _log_uniform(random, 0.5, 4.0)
    depth, half = random.uniform(2.0, 8.0), random.uniform(2.5, 6.0)
    wall = Card(resolution, (random.uniform(-1, 1), 0.0, -depth), (half, 0, 0), (0, half * random.uniform(0.6, 1), 0))
    wall.picture(-wall.width, -wall.height, wall.width, wall.height, picture, light * random.uniform(1, 3))
    mean = [float(v) for v in wall.image[:3].mean((1, 2))]
    return Place([wall], _people(random, resolution, depth, 1.5, light), mean, light)


def _room(random: Random, resolution: int, pictures: Sequence[Tensor], *, light: float, is_night: bool) -> Place:
    depth, width, height = random.uniform(2.0, 6.0), random.uniform(2.5, 7.0), random.uniform(2.3, 3.2)
    floor = random.uniform(1.2, 1.7)
    middle, at = floor - height / 2, random.uniform(-0.3, 0.3) * width
    wall, warm = _pastel(random, 0.35, 0.95), random.uniform(-0.15, 0.15)
    tone = (light * (1 + warm), light, light * (1 - warm))
    paper = _times(wall, tone)
    left, right, half = at - width / 2, at + width / 2, height / 2
    front = -0.4  # the side walls begin here
    run, away = (depth + front) / 2, (front - depth) / 2
    back = Card(resolution, (at, middle, -depth), (-width / 2, 0, 0), (0, half, 0), paper)
    sides = [
        Card(resolution, (x, middle, away), (0, 0, -run if x == right else run), (0, half, 0), paper)
        for x in (left, right)
    ]
    for card in (back, *sides):
        card.shade(
            random.uniform(0.7, 1.3), random.uniform(0.5, 1.0), random.uniform(0.7, 1.2), random.uniform(0.7, 1.2)
        )
        _furnish_wall(random, card, light, tone, pictures, is_night)
    across, along = (width / 2, 0, 0), (0, 0, run)
    ceiling = Card(resolution, (at, floor - height, away), across, along, _times((0.85,) * 3, tone))
    ceiling.shade(random.uniform(0.5, 1.2), random.uniform(0.5, 1.2))
    _paint_ceiling_lamps(random, ceiling, is_night)
    ground = Card(
        resolution, (at, floor, away), (width / 2, 0, 0), (0, 0, run), _times(_pastel(random, 0.1, 0.5), tone)
    )
    ground.shade(random.uniform(0.5, 1.2), random.uniform(0.5, 1.2))
    things = _people(random, resolution, depth, floor, light)
    if random.random() < 0.6:
        things.append(_furniture(random, resolution, depth, floor, light, at, width))
    if random.random() < (0.9 if is_night else 0.4):
        things.append(_lamp(random, resolution, depth, floor, height, at, width))
    return Place([back, *sides, ceiling, ground], things, _times(paper, (0.5,) * 3), light)


def _furnish_wall(
    random: Random, card: Card, light: float, tone: Colour, pictures: Sequence[Tensor], is_night: bool
) -> None:
    """Put windows, a door, shelves and pictures beside each other on a wall."""
    w, h = card.width, card.height
    card.box(-w, h - 0.1, w, h, _times((0.9,) * 3, tone))
    x = -w + random.uniform(0.0, 0.8)
    sky = _log_uniform(random, 2.0, 15.0) * (0.004 if is_night else 1.0)
    while x < w - 0.5:
        kind, size = random.random(), random.uniform(0.6, 1.6)
        if kind < 0.3:
            _paint_window(
                random, card, (x, -h + random.uniform(0.2, 0.6), x + size, h - random.uniform(0.1, 1.0)), sky, tone
            )
        elif kind < 0.4:
            _paint_door(random, card, x, light)
            size = 0.9
        elif kind < 0.6:
            _paint_shelf(
                random, card, (x, -h + random.uniform(0.2, 1.0), x + size, h - random.uniform(0.0, 0.8)), light
            )
        elif kind < 0.9:
            _paint_hung_picture(random, card, x, size, tone, pictures)
        x += size + random.uniform(0.1, 1.0)


def _paint_window(random: Random, card: Card, box: Sequence[float], sky: float, tone: Colour) -> None:
    left, top, right, bottom = box
    frame, bar = _times((random.uniform(0.3, 1.0),) * 3, tone), random.uniform(0.03, 0.08)
    card.box(left - bar, top - bar, right + bar, bottom + bar, frame)
    blue = random.uniform(0.0, 0.4)
    horizon = bottom - random.uniform(0.0, 0.6) * (bottom - top)
    bands = 8
    for i in range(bands):  # the sky is brighter towards the horizon
        level = sky * (0.6 + 0.4 * i / bands)
        y = top + (horizon - top) * i / bands
        colour = (level * (1 - blue), level, level * (1 + blue))
        card.box(left, y, right, top + (horizon - top) * (i + 1) / bands, colour)
    land = _times(_pastel(random, 0.05, 0.5), (sky,) * 3)
    card.box(left, horizon, right, bottom, land)
    for _ in range(random.randint(0, 8)):  # trees or roofs
        a = random.uniform(0.1, 0.35)
        place = random.uniform(left + a, max(left + a, right - a)), horizon - random.uniform(-0.1, 0.3)
        if left + a <= right - a:
            card.ellipse(
                *place, a, min(a * random.uniform(0.5, 1.5), max(place[1] - top, 0.05)), _times((0.5,) * 3, land)
            )
    columns, rows = random.randint(1, 3), random.randint(1, 3)
    for i in range(1, columns):
        x = left + (right - left) * i / columns
        card.box(x - bar / 2, top, x + bar / 2, bottom, frame)
    for i in range(1, rows):
        y = top + (bottom - top) * i / rows
        card.box(left, y - bar / 2, right, y + bar / 2, frame)
    if random.random() < 0.3:  # curtains
        cloth = _times(_pastel(random, 0.3, 0.9), tone)
        for x0, x1 in ((left - 0.15, left + 0.12), (right - 0.12, right + 0.15)):
            card.box(x0, top - 0.1, x1, bottom + 0.2, cloth, random.uniform(0.6, 1.0))


def _paint_door(random: Random, card: Card, left: float, light: float) -> None:
    colour, h = _times(_pastel(random, 0.1, 0.9), (light,) * 3), card.height
    card.box(left - 0.06, h - 2.1, left + 0.96, h, _times(colour, (1.2,) * 3))
    if random.random() < 0.3:  # it stands open
        colour = _times((1.0,) * 3, (light * _log_uniform(random, 0.05, 3.0),) * 3)
    card.box(left, h - 2.04, left + 0.9, h, colour)
    card.ellipse(left + 0.82, h - 1.0, 0.03, 0.03, _grey(random, 0.2, 1.5, light))


def _paint_shelf(random: Random, card: Card, box: Sequence[float], light: float) -> None:
    left, top, right, bottom = box
    wood = _times(_pastel(random, 0.1, 0.7), (light,) * 3)
    card.box(left, top, right, bottom, wood)
    y, board = top + 0.03, 0.03
    while y < bottom - 0.25:
        height = random.uniform(0.25, 0.4)
        low = min(y + height, bottom) - board
        card.box(left + board, y, right - board, low, _times(wood, (0.35,) * 3))
        x = left + board
        while x < right - board - 0.1:
            book = random.uniform(0.03, 0.1)
            if random.random() < 0.8:
                colour = _times(_vivid(random), (light,) * 3)
                card.box(x, low - height * random.uniform(0.55, 0.85), x + book, low, colour)
            x += book
        y += height


def _paint_hung_picture(
    random: Random, card: Card, left: float, size: float, tone: Colour, pictures: Sequence[Tensor]
) -> None:
    height, top = size * random.uniform(0.5, 1.4), -card.height + random.uniform(0.2, 0.9)
    right, bottom, edge = left + size, min(top + height, card.height - 0.3), random.uniform(0.01, 0.08)
    card.box(left, top, right, bottom, _times(_vivid(random), tone))
    left, top, right, bottom = left + edge, top + edge, right - edge, bottom - edge
    if pictures and random.random() < 0.8:
        card.picture(left, top, right, bottom, random.choice(pictures), tone[1])
        return
    card.box(left, top, right, bottom, _times(_pastel(random, 0.5, 1.0), tone))
    for _ in range(random.randint(2, 6)):
        x, y = random.uniform(left, right), random.uniform(top, bottom)
        a, b = min(x - left, right - x), min(y - top, bottom - y)
        if min(a, b) > 0.01:
            (card.ellipse if random.random() < 0.5 else _centred_box(card))(x, y, a, b, _times(_vivid(random), tone))


def _centred_box(card: Card) -> Callable[[float, float, float, float, Colour], None]:
    return lambda x, y, a, b, colour: card.box(x - a, y - b, x + a, y + b, colour)


def _paint_ceiling_lamps(random: Random, card: Card, is_night: bool) -> None:
    """Put panels, tubes or spots on a ceiling, some of them switched on."""
    kind, is_on = random.random(), random.random() < (0.9 if is_night else 0.4)
    level = _log_uniform(random, 8.0, 120.0) if is_on else 0.8
    colour = _times(_pastel(random, 0.75, 1.0), (level,) * 3)
    columns, rows = random.randint(1, 3), random.randint(1, 4)
    a, b = (0.3, 0.3) if kind < 0.4 else (0.06, 0.6) if kind < 0.7 else (0.05, 0.05)
    for i in range(columns):
        for j in range(rows):
            x = card.width * (2 * (i + 0.5) / columns - 1)
            y = card.height * (2 * (j + 0.5) / rows - 1)
            (card.ellipse if kind >= 0.7 else _centred_box(card))(x, y, a, b, colour)


def _furniture(
    random: Random, resolution: int, depth: float, floor: float, light: float, at: float, width: float
) -> Card:
    """Draw a table with chairs, or a sofa or cupboard, from the front."""
    w, h = random.uniform(0.5, 1.1), random.uniform(0.35, 0.7)
    place = at + random.uniform(-0.4, 0.4) * width, floor - h, -depth * random.uniform(0.55, 0.95)
    card = Card(resolution, place, (w, 0, 0), (0, h, 0))
    colour = _times(_pastel(random, 0.05, 0.8), (light,) * 3)
    dark = _times(colour, (0.5,) * 3)
    if random.random() < 0.5:
        card.box(-w, -h + 0.25, w, -h + 0.32, colour)
        for x in (-w + 0.05, w - 0.05):
            card.box(x - 0.03, -h + 0.3, x + 0.03, h, dark)
        for _ in range(random.randint(0, 5)):  # what stands on it
            x, a, b = random.uniform(-w, w) * 0.85, random.uniform(0.03, 0.1), random.uniform(0.05, 0.22)
            card.box(x - a, -h + 0.25 - b, x + a, -h + 0.25, _times(_vivid(random), (light,) * 3))
    else:
        card.box(-w, -h, w, h, colour)
        for i in range(random.randint(1, 4)):
            y = -h + 2 * h * (i + 1) / 5
            card.box(-w, y, w, y + 0.02, dark)
    return card


def _lamp(random: Random, resolution: int, depth: float, floor: float, height: float, at: float, width: float) -> Card:
    """Draw a lamp that hangs or stands, with a shade or bare, and the glow around it."""
    hangs = random.random() < 0.6
    y = floor - height + random.uniform(0.3, 1.0) if hangs else floor - random.uniform(0.9, 1.7)
    place = at + random.uniform(-0.4, 0.4) * width, y, -depth * random.uniform(0.3, 0.9)
    card = Card(resolution, place, (0.45, 0, 0), (0, 0.45, 0))
    level, warm = _log_uniform(random, 15.0, 150.0), random.uniform(0.0, 0.35)
    colour = (level * (1 + warm), level, level * (1 - warm))
    card.glow(0, 0, 0.4, _times(colour, (0.01,) * 3))
    pole = (0.0, -0.45) if hangs else (0.45, 0.0)
    card.box(-0.01, min(pole), 0.01, max(pole), (0.05, 0.05, 0.05))
    if random.random() < 0.6:
        a, b = random.uniform(0.1, 0.25), random.uniform(0.08, 0.2)
        card.ellipse(0, 0, a, b, _times(colour, (0.12,) * 3))
        card.ellipse(0, 0.5 * b, 0.5 * a, 0.4 * b, colour)
    else:
        radius = random.uniform(0.03, 0.09)
        card.ellipse(0, 0, radius, radius, colour)
    return card


def _street(random: Random, resolution: int) -> Place:
    """Draw the other side of a street under the sky, with trees, a car and people."""
    light, floor = _log_uniform(random, 0.6, 5.0), random.uniform(1.2, 1.7)
    depth = random.uniform(6.0, 16.0)
    blue = random.uniform(-0.05, 0.35)
    high = light * random.uniform(1.0, 3.0)
    sky = Card(resolution, (0, floor - 30, -60), (90, 0, 0), (0, 30, 0), (high * (1 - blue), high, high * (1 + blue)))
    sky.shade(random.uniform(0.6, 1.0), 1.2)
    for _ in range(random.randint(0, 10)):  # clouds
        place = random.uniform(-80, 80), random.uniform(-25, 15)
        sky.ellipse(*place, random.uniform(5, 20), random.uniform(2, 5), (1.3 * high,) * 3, random.uniform(0.1, 0.6))
    surfaces = [sky]
    for side in (0, -1, 1):
        if side and random.random() < 0.5:
            continue
        w, h = (
            (random.uniform(5, 14), random.uniform(2.5, 8)) if side == 0 else (depth / 2 - 0.5, random.uniform(2.5, 8))
        )
        if side == 0:
            centre, right = (random.uniform(-3, 3), floor - h, -depth), (-w, 0.0, 0.0)
        else:
            w = depth / 2 - 0.5
            centre, right = (side * random.uniform(5, 12), floor - h, -depth / 2 - 0.5), (0.0, 0.0, side * w)
        surfaces.append(_facade(random, resolution, centre, right, h, light))
    ground = _times(_pastel(random, 0.1, 0.4), (light,) * 3)
    surfaces.append(Card(resolution, (0, floor, -30.5), (40, 0, 0), (0, 0, 30), ground))
    things = _people(random, resolution, depth, floor, light)
    if random.random() < 0.6:
        things.append(_tree(random, resolution, depth, floor, light))
    if random.random() < 0.5:
        things.append(_car(random, resolution, depth, floor, light))
    return Place(surfaces, things, (high,) * 3, light)


def _facade(
    random: Random, resolution: int, centre: Sequence[float], right: Sequence[float], height: float, light: float
) -> Card:
    stone = _times(_pastel(random, 0.15, 0.9), (light,) * 3)
    card = Card(resolution, centre, right, (0, height, 0), stone)
    storeys, windows = max(1, round(2 * height / 3)), max(2, round(2 * card.width / random.uniform(1.8, 3.5)))
    glass = _times(_pastel(random, 0.05, 0.5), (light * random.uniform(0.3, 1.5),) * 3)
    lit, trim = random.uniform(0, 0.2), _times(stone, (1.25,) * 3)
    a, b = card.width / windows * random.uniform(0.25, 0.4), height / storeys * random.uniform(0.45, 0.75)
    for i in range(windows):
        for j in range(storeys):
            x = card.width * (2 * (i + 0.5) / windows - 1)
            y = height * (2 * (j + 0.5) / storeys - 1)
            card.box(x - a - 0.08, y - b - 0.08, x + a + 0.08, y + b + 0.08, trim)
            is_lit = random.random() < lit
            card.box(x - a, y - b, x + a, y + b, _times(glass, (random.uniform(3, 8) if is_lit else 1.0,) * 3))
    card.box(-card.width, height - 0.2, card.width, height, _times(stone, (0.6,) * 3))
    return card


def _tree(random: Random, resolution: int, depth: float, floor: float, light: float) -> Card:
    half = random.uniform(1.5, 3.0)
    place = random.uniform(-4, 4), floor - half, -depth * random.uniform(0.4, 0.8)
    card = Card(resolution, place, (half, 0, 0), (0, half, 0))
    card.box(-0.06 * half, -0.2 * half, 0.06 * half, half, _grey(random, 0.05, 0.2, light))
    for _ in range(25):
        x, y = random.gauss(0, 0.32) * half, random.gauss(-0.4, 0.25) * half
        a = random.uniform(0.06, 0.2) * half
        green = random.uniform(0.05, 0.35) * light
        colour = (green * random.uniform(0.4, 1.0), green, green * random.uniform(0.2, 0.6))
        card.ellipse(x, y, a, a, colour, random.uniform(0.5, 1.0))
    return card


def _car(random: Random, resolution: int, depth: float, floor: float, light: float) -> Card:
    place = random.uniform(-4, 4), floor - 0.75, -depth * random.uniform(0.5, 0.85)
    card = Card(resolution, place, (2.1, 0, 0), (0, 0.75, 0))
    paint, glass = _times(_vivid(random), (light,) * 3), _grey(random, 0.1, 0.8, light)
    card.ellipse(0.1, -0.15, 1.2, 0.58, paint)
    card.ellipse(0.1, -0.15, 1.05, 0.45, glass)
    card.box(-2.05, -0.15, 2.05, 0.5, paint)
    for x in (-1.3, 1.3):
        card.ellipse(x, 0.45, 0.32, 0.3, (0.02 * light,) * 3)
    if random.random() < 0.3:
        card.ellipse(-1.95, 0.05, 0.1, 0.07, (_log_uniform(random, 5, 60),) * 3)
    return card


def _people(random: Random, resolution: int, depth: float, floor: float, light: float) -> list[Card]:
    """Draw people who stand around."""
    people = []
    for _ in range(random.choices((0, 1, 2), (0.5, 0.35, 0.15))[0]):
        place = random.uniform(-2.0, 2.0), floor - 0.9, -random.uniform(min(1.2, 0.4 * depth), 0.9 * depth)
        card = Card(resolution, place, (0.5, 0, 0), (0, 0.9, 0))
        lit = light * random.uniform(0.3, 1.1)
        eyes = 0.9 - EYES * random.uniform(0.9, 1.05)
        _paint_person(random, card, 0.0, eyes, _clothes(random, lit), _skin(random, lit), _grey(random, 0.02, 0.4, lit))
        people.append(card)
    return people


def _paint_person(random: Random, card: Card, x: float, eyes: float, cloth: Colour, skin: Colour, hair: Colour) -> None:
    """Paint somebody, whose eyes are at ``x`` and ``eyes``, from the legs to the head."""
    legs = _times(cloth, (random.uniform(0.3, 1.2),) * 3)
    hip = eyes + 0.75
    if hip < card.height:
        for side in (-0.09, 0.09):
            card.box(x + side - 0.08, hip, x + side + 0.08, card.height, legs)
    shoulder, wide = eyes + 0.28, random.uniform(0.19, 0.25)
    card.box(x - wide, shoulder + 0.04, x + wide, min(hip + 0.1, card.height), cloth)
    card.ellipse(x, shoulder + 0.06, wide + 0.04, 0.1, cloth)
    for side in (-1, 1):
        card.box(x + side * wide - 0.05, shoulder + 0.05, x + side * wide + 0.05, min(hip, card.height), cloth)
    card.box(x - 0.05, eyes + 0.08, x + 0.05, shoulder + 0.02, skin)
    card.ellipse(x, eyes - 0.02, 0.1, 0.14, hair)
    card.ellipse(x, eyes + 0.015, 0.075, 0.11, skin)


def _times(colour: Colour, factor: Colour) -> Colour:
    return [a * b for a, b in zip(colour, factor, strict=True)]


def _grey(random: Random, low: float, high: float, light: float) -> Colour:
    return [_log_uniform(random, low, high) * light] * 3


def _pastel(random: Random, low: float, high: float) -> Colour:
    """Return a colour of little saturation."""
    level, spread = random.uniform(low, high), random.uniform(0, 0.2)
    return [level * (1 + random.uniform(-spread, spread)) for _ in range(3)]


def _vivid(random: Random) -> Colour:
    level = random.uniform(0.1, 0.9)
    return [level * random.uniform(0.05, 1.0) for _ in range(3)]


def _clothes(random: Random, light: float) -> Colour:
    return _times(_vivid(random) if random.random() < 0.5 else [random.uniform(0.02, 0.8)] * 3, (light,) * 3)


def _skin(random: Random, light: float) -> Colour:
    tone = random.uniform(0.15, 0.7) * light
    return [tone, tone * random.uniform(0.6, 0.8), tone * random.uniform(0.4, 0.65)]


def _log_uniform(random: Random, low: float, high: float) -> float:
    return math.exp(random.uniform(math.log(low), math.log(high)))
