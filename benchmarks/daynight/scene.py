"""A street from a seed: the road, what stands beside it, and what drives and walks on it."""

import math
from dataclasses import dataclass
from random import Random

import bpy

from .buildings import build_house, draw_style
from .furniture import (
    LAMP_COLOURS,
    build_lamp,
    build_person,
    build_sign,
    build_things,
    build_traffic_light,
    light_lamp,
)
from .shape import GROUND, Shape, Wall, put, tint
from .trees import SEASONS, grow, hedge
from .vehicles import build_bus, build_car

LENGTH = 130.0  # metres of street in front of the camera
BEHIND = -14.0
WHITE = tint(0.85, 0.85, 0.82)
KERB = 0.14


@dataclass(frozen=True)
class Street:
    """What the camera must know of a street."""

    half_road: float  # metres from the middle to the kerb
    pavement: float  # metres from the kerb to the houses
    parked: bool
    walkers: tuple[bpy.types.Object, ...]
    drivers: tuple[tuple[bpy.types.Object, float], ...]  # a car, and its speed along Y in metres a second


def build_street(rng: Random) -> Street:
    """Build a street into the empty scene; it runs along Y, its middle is x = 0."""
    half = rng.choice((3.2, 3.5, 4.6, 6.6))
    pavement, mood = rng.uniform(2.4, 4.2), rng.choice(("old", "old", "brick", "modern"))
    parked = rng.random() < 0.75
    crossing = rng.uniform(9, 22) if rng.random() < 0.45 else None
    side_street = rng.uniform(26, 60) if rng.random() < 0.6 else None
    _road(rng, half, pavement, crossing, side_street)
    for side in (-1, 1):
        _houses(rng, side, half + pavement, mood, side_street)
    _end(rng, half + pavement, mood)
    _trees_and_lamps(rng, half, pavement, side_street)
    fixed = Shape()
    for side in (-1, 1):
        build_things(fixed, rng, side * half, 60)
    if crossing:
        for side in (-1, 1):
            build_traffic_light(fixed, side * (half + 0.5), crossing + 4.4, rng.randrange(3))
        build_sign(fixed, rng, half + 0.6, crossing + 8)
    fixed.put("furniture")
    drivers = _traffic(rng, half, parked, crossing)
    return Street(half, pavement, parked, _people(rng, half, pavement), drivers)


def _road(rng: Random, half: float, pavement: float, crossing: float | None, side_street: float | None) -> None:
    """Asphalt, markings, kerbs and paving."""
    shape = Shape()
    gray = rng.uniform(0.24, 0.36)
    asphalt = tint(gray, gray, gray + 0.01)
    stone = tint(*(rng.choice(((0.58, 0.56, 0.53), (0.50, 0.50, 0.51), (0.62, 0.55, 0.48)))))
    shape.face([(-90, -60, -0.002), (90, -60, -0.002), (90, 260, -0.002), (-90, 260, -0.002)], "asphalt", asphalt)
    gap = (side_street - 4, side_street + 4) if side_street else (LENGTH, LENGTH)
    for side in (-1, 1):
        for low, high in ((BEHIND - 10, gap[0]), (gap[1], LENGTH + 20)):
            near, far = sorted((side * half, side * (half + 0.16)))
            shape.box(GROUND, (near, far), (low, high), (0, KERB), "concrete", tint(0.62, 0.61, 0.58))
            near, far = sorted((side * (half + 0.16), side * (half + pavement + 12)))
            shape.box(GROUND, (near, far), (low, high), (0, KERB - 0.005), "paving", stone)
    lanes = (-half / 2, 0.0, half / 2) if half > 6 else (0.0,)
    for x in lanes:
        y = BEHIND
        while y < LENGTH:
            if not crossing or not crossing - 3 < y < crossing + 7:
                _mark(shape, (x - 0.07, x + 0.07), (y, y + 2.2))
            y += 5.0
    for side in (-1, 1):
        if rng.random() < 0.6:
            _mark(
                shape,
                tuple(sorted((side * (half - 0.3), side * (half - 0.2)))),
                (BEHIND, gap[0]),
                yellow=rng.random() < 0.4,
            )
    if crossing:
        x = -half + 0.4
        while x < half - 0.4:
            _mark(shape, (x, x + 0.45), (crossing, crossing + 3.6))
            x += 0.95
        _mark(shape, (0.1, half - 0.2), (crossing - 1.4, crossing - 1.0))
    for _ in range(rng.randint(1, 4)):  # covers of drains
        x, y = rng.uniform(-half + 0.5, half - 0.5), rng.uniform(4, 30)
        shape.tube((x, y, 0.0), (x, y, 0.008), (0.34, 0.34), "metal", tint(0.25, 0.25, 0.25), sides=16)
    shape.put("road")


def _mark(shape: Shape, x: tuple[float, ...], y: tuple[float, float], yellow: bool = False) -> None:
    colour = tint(0.85, 0.68, 0.15) if yellow else WHITE
    shape.face([(x[0], y[0], 0.004), (x[1], y[0], 0.004), (x[1], y[1], 0.004), (x[0], y[1], 0.004)], "paint", colour)


def _houses(rng: Random, side: int, edge: float, mood: str, side_street: float | None) -> None:
    """A row of houses on one side, with a park or a yard here and there."""
    shape, y = Shape(), BEHIND
    wall_height = rng.randint(3, 6) if mood != "modern" else rng.randint(4, 9)
    while y < LENGTH:
        if side_street and side_street - 4 < y + 0.5 < side_street + 4:
            y = side_street + 5
        width = rng.uniform(7, 15)
        if side_street and y < side_street - 4 < y + width:
            width = max(4.5, side_street - 5 - y)
        if rng.random() < 0.08 and y > 5:
            _park(shape, rng, side, edge, (y, y + width))
        else:
            style = draw_style(rng, mood)
            floors = max(2, wall_height + rng.choice((-1, 0, 0, 1)))
            setback = rng.choice((0.0, 0.0, 0.0, 0.4))
            wall = Wall((side * (edge + setback), y), (0.0, 1.0), (-float(side), 0.0))
            build_house(shape, wall, width, rng.uniform(8, 11), floors, style, rng)
        y += width
    shape.put("houses")


def _park(shape: Shape, rng: Random, side: int, edge: float, y: tuple[float, float]) -> None:
    near, far = sorted((side * edge, side * (edge + 30)))
    shape.box(GROUND, (near, far), y, (0, KERB + 0.01), "grass", tint(0.30, 0.42, 0.16))
    hedge(shape, rng, (side * (edge + 0.6), y[0]), y[1] - y[0])
    tree = grow(rng, "summer")
    for _ in range(3):
        place = (side * (edge + rng.uniform(3, 12)), rng.uniform(*y), KERB)
        put(tree, "tree", place, rng.uniform(0, 6), rng.uniform(0.9, 1.3))


def _end(rng: Random, edge: float, mood: str) -> None:
    """What closes the view: a house across the end of the street, and higher ones behind it."""
    shape = Shape()
    style = draw_style(rng, mood)
    if rng.random() < 0.7:
        build_house(
            shape,
            Wall((-edge - 8, LENGTH + 12), (1.0, 0.0), (0.0, -1.0)),
            2 * edge + 16,
            12,
            rng.randint(3, 6),
            style,
            rng,
        )
    for _ in range(rng.randint(1, 5)):
        x, far, width = rng.uniform(-70, 60), LENGTH + rng.uniform(40, 110), rng.uniform(10, 20)
        tower = draw_style(rng, "modern")
        build_house(shape, Wall((x, far), (1.0, 0.0), (0.0, -1.0)), width, 12, rng.randint(8, 17), tower, rng)
    shape.put("end")


def _trees_and_lamps(rng: Random, half: float, pavement: float, side_street: float | None) -> None:
    season = rng.choices(tuple(SEASONS), (5, 2, 3, 1.2))[0]
    planted = rng.random() < 0.7
    prototypes = [grow(rng, season) for _ in range(3)] if planted else []
    kind, colour = rng.choice(("arm", "arm", "lantern")), rng.choice(LAMP_COLOURS)
    lamp, spacing = build_lamp(kind, colour), rng.uniform(15, 24)
    both = kind == "lantern" or half > 4 or rng.random() < 0.5
    for side in (-1, 1):
        x = side * (half + 0.55)
        y = rng.uniform(-6, 6) + (0 if side < 0 else spacing / 2)
        number = 0
        while y < 110:
            free = y > 3.5 and not (side_street and abs(y - side_street) < 5)
            if free and number % 2 == 0 and (both or side < 0):
                turn = 0.0 if side < 0 else math.pi
                put(lamp, "lamp post", (x, y, KERB), turn)
                light_lamp(kind, colour, (x, y), turn)
            elif free and prototypes and pavement > 2.6:
                put(
                    rng.choice(prototypes),
                    "tree",
                    (x + side * 0.3, y, KERB),
                    rng.uniform(0, 6),
                    rng.uniform(0.75, 1.05),
                )
            y += spacing / 2
            number += 1


def _traffic(
    rng: Random, half: float, parked: bool, crossing: float | None
) -> tuple[tuple[bpy.types.Object, float], ...]:
    """Cars along the kerbs and on the lanes; traffic keeps to the right."""
    for side in (-1, 1):
        y = rng.uniform(4, 8)
        while parked and half > 3.3 and y < 80:
            near_crossing = crossing is not None and crossing - 4 < y < crossing + 8
            if rng.random() < 0.7 and not near_crossing:
                turn = (0.0 if side < 0 else math.pi) + rng.gauss(0, 0.015)
                put(build_car(rng, False), "parked", (side * (half - 1.05), y, 0), turn)
            y += rng.uniform(5.6, 6.6)
    drivers = []
    for side in (-1, 1):
        y = rng.uniform(9, 26)
        while y < 100:
            lane = side * (half / 2 if half < 6 else rng.choice((half / 4, 0.62 * half)))
            if parked and 3.3 < half < 6:
                lane = side * max(1.2, (half - 2.1) / 2)
            bus = rng.random() < 0.08 and half > 4
            mesh = build_bus(rng) if bus else build_car(rng, True)
            car = put(mesh, "driver", (lane, y, 0), 0.0 if side < 0 else math.pi)
            drivers.append((car, side * rng.uniform(5, 8)))
            _headlights(car, 5.4 if bus else 2.2)
            y += rng.uniform(13, 45)
    return tuple(drivers)


def _headlights(car: bpy.types.Object, front: float) -> None:
    light = bpy.data.lights.new("headlights", "SPOT")
    light.spot_size, light.spot_blend, light.color = math.radians(60), 0.7, (1.0, 0.92, 0.78)
    light["watts"] = 1100.0
    beam = bpy.data.objects.new("headlights", light)
    beam.parent, beam.location, beam.rotation_euler = car, (0, -front - 0.1, 0.7), (math.radians(-84), 0, 0)
    bpy.context.scene.collection.objects.link(beam)


def _people(rng: Random, half: float, pavement: float) -> tuple[bpy.types.Object, ...]:
    people = []
    for _ in range(rng.randint(2, 9)):
        side = rng.choice((-1, 1))
        place = (side * rng.uniform(half + 0.9, half + pavement - 0.4), rng.uniform(7, 45), KERB)
        people.append(put(build_person(rng), "person", place, rng.choice((0.0, math.pi)), rng.uniform(0.92, 1.06)))
    return tuple(people)
