"""What stands on pavements: lamps, traffic lights, signs, bins, benches, and people."""

import math
from random import Random

import bpy

from .shape import GROUND, Shape, tint

IRON = tint(0.14, 0.16, 0.17)
LAMP_COLOURS = ((1.0, 0.62, 0.26), (1.0, 0.78, 0.50), (1.0, 0.90, 0.74), (0.88, 0.94, 1.0))
LAMP_WATTS = 1500.0
CLOTHES = (
    (0.15, 0.16, 0.2), (0.6, 0.15, 0.15), (0.2, 0.3, 0.55), (0.75, 0.7, 0.6), (0.3, 0.35, 0.25), (0.85, 0.6, 0.2),
    (0.45, 0.3, 0.25), (0.8, 0.8, 0.82),
)  # fmt: skip
SKINS = ((0.90, 0.72, 0.60), (0.70, 0.50, 0.38), (0.42, 0.28, 0.20), (0.85, 0.65, 0.50))


def build_lamp(kind: str, colour: tuple[float, float, float]) -> bpy.types.Mesh:
    """Return a street lamp at the origin whose arm reaches to +X: `arm`, or `lantern` on a straight post."""
    shape = Shape()
    if kind == "lantern":
        shape.tube((0, 0, 0), (0, 0, 0.6), (0.11, 0.08), "metal", IRON)
        shape.tube((0, 0, 0.6), (0, 0, 3.6), (0.055, 0.045), "metal", IRON)
        shape.tube((0, 0, 3.6), (0, 0, 4.15), (0.13, 0.22), "glow", tint(*colour, 16.0), sides=6)
        shape.tube((0, 0, 4.15), (0, 0, 4.4), (0.25, 0.03), "metal", IRON, sides=6)
    else:
        shape.tube((0, 0, 0), (0, 0, 6.6), (0.09, 0.06), "metal", IRON)
        shape.tube((0, 0, 6.6), (1.5, 0, 7.0), (0.05, 0.04), "metal", IRON)
        shape.box(GROUND, (1.2, 1.95), (-0.13, 0.13), (6.94, 7.06), "metal", IRON)
        shape.box(GROUND, (1.3, 1.9), (-0.1, 0.1), (6.9, 6.945), "glow", tint(*colour, 25.0))
    return shape.mesh(kind)


def light_lamp(kind: str, colour: tuple[float, float, float], place: tuple[float, float], turn: float) -> None:
    """Put the light of a lamp that stands at `place` into the scene; `light.set_time` switches it."""
    reach, height = (0.0, 3.5) if kind == "lantern" else (1.6, 6.8)
    light = bpy.data.lights.new("lamp", "POINT" if kind == "lantern" else "SPOT")
    if light.type == "SPOT":
        light.spot_size, light.spot_blend = math.radians(150), 0.6
    light.color = [part**2.2 for part in colour]
    light.shadow_soft_size = 0.15
    light["watts"] = LAMP_WATTS * (0.45 if kind == "lantern" else 1.0)
    thing = bpy.data.objects.new("lamp", light)
    thing.location = (place[0] + reach * math.cos(turn), place[1] + reach * math.sin(turn), height)
    bpy.context.scene.collection.objects.link(thing)


def build_person(rng: Random) -> bpy.types.Mesh:
    """Return somebody who walks along Y."""
    shape, coat, trousers = Shape(), tint(*rng.choice(CLOTHES)), tint(*rng.choice(CLOTHES))
    skin, stride = tint(*rng.choice(SKINS)), rng.uniform(0.08, 0.28)
    for side in (-1, 1):
        foot = (side * 0.1, side * stride, 0.05)
        shape.tube(foot, (side * 0.08, 0, 0.85), (0.06, 0.09), "cloth", trousers)
        shape.ball((foot[0], foot[1] - 0.05, 0.05), (0.06, 0.14, 0.05), "cloth", tint(0.1, 0.1, 0.1))
        shape.tube((side * 0.22, 0, 1.38), (side * 0.27, -side * stride, 0.85), (0.06, 0.05), "cloth", coat)
    long = rng.choice((0.55, 0.8))
    shape.tube((0, 0, long), (0, 0, 1.42), (0.19, 0.2), "cloth", coat)
    shape.ball((0, 0, 1.42), (0.22, 0.13, 0.08), "cloth", coat)
    shape.ball((0, 0, 1.63), (0.1, 0.11, 0.13), "cloth", skin)
    hair = tint(*rng.choice(((0.1, 0.08, 0.07), (0.35, 0.22, 0.12), (0.75, 0.6, 0.35), (0.6, 0.6, 0.6))))
    shape.ball((0, 0.02, 1.67), (0.11, 0.115, 0.12), "cloth", hair)
    return shape.mesh("person")


def build_things(shape: Shape, rng: Random, edge: float, length: float) -> None:
    """Add bins, bollards, benches, letter boxes and signs along the kerb at x = `edge`."""
    inward = 1 if edge > 0 else -1
    y = rng.uniform(4, 9)
    while y < length:
        kind = rng.choice(("bin", "bollards", "bench", "sign", "box", "sign"))
        x = edge + inward * rng.uniform(0.4, 0.7)
        if kind == "bin":
            shape.tube((x, y, 0.15), (x, y, 1.05), (0.22, 0.26), "metal", tint(0.2, 0.35, 0.25))
        elif kind == "bollards":
            for number in range(4):
                shape.tube((x, y + 1.4 * number, 0.15), (x, y + 1.4 * number, 1.0), (0.07, 0.06), "metal", IRON)
                shape.tube(
                    (x, y + 1.4 * number, 0.8),
                    (x, y + 1.4 * number, 0.88),
                    (0.075, 0.075),
                    "paint",
                    tint(0.9, 0.9, 0.9),
                )
        elif kind == "bench":
            back = x + inward * 0.9
            low, high = sorted((back, back + inward * 0.45))
            shape.box(GROUND, (low, high), (y, y + 1.7), (0.55, 0.62), "bark", tint(0.5, 0.33, 0.2))
            for end in (y + 0.1, y + 1.5):
                shape.box(GROUND, (low, high), (end, end + 0.1), (0.15, 0.55), "metal", IRON)
        elif kind == "box":
            colour = tint(*rng.choice(((0.8, 0.1, 0.1), (0.95, 0.75, 0.1), (0.1, 0.2, 0.5))))
            shape.box(GROUND, (x - 0.22, x + 0.22), (y - 0.2, y + 0.2), (0.15, 1.4), "lacquer", colour)
        else:
            build_sign(shape, rng, x, y)
        y += rng.uniform(6, 14)


def build_sign(shape: Shape, rng: Random, x: float, y: float) -> None:
    """Add a traffic sign that is seen from smaller y."""
    shape.tube((x, y, 0.15), (x, y, 2.9), (0.035, 0.035), "metal", tint(0.6, 0.6, 0.6))
    kind = rng.choice(("round", "square", "triangle"))
    sides = {"round": 16, "square": 4, "triangle": 3}[kind]
    edge, inner = {
        "round": ((0.75, 0.08, 0.08), (0.92, 0.92, 0.9)),
        "square": ((0.92, 0.92, 0.9), (0.1, 0.3, 0.7)),
        "triangle": ((0.75, 0.08, 0.08), (0.95, 0.92, 0.85)),
    }[kind]
    for radius, colour, front in ((0.36, edge, -0.05), (0.26, inner, -0.06)):
        start = math.pi / 4 if sides == 4 else math.pi / 2
        angles = [start + 2 * math.pi * number / sides for number in range(sides)]
        corners = [(x + radius * math.cos(angle), y + front, 2.6 + radius * math.sin(angle)) for angle in angles]
        shape.face(corners, "paint", tint(*colour))


def build_traffic_light(shape: Shape, x: float, y: float, burning: int) -> None:
    """Add a traffic light that is seen from smaller y; `burning` is 0 red, 1 amber or 2 green."""
    shape.tube((x, y, 0.15), (x, y, 3.4), (0.06, 0.06), "metal", IRON)
    shape.box(GROUND, (x - 0.16, x + 0.16), (y - 0.2, y), (2.5, 3.4), "rubber", tint(0.06, 0.06, 0.06))
    colours = ((1.0, 0.1, 0.06), (1.0, 0.6, 0.08), (0.1, 0.95, 0.5))
    for number, colour in enumerate(colours):
        lit = number == burning
        shown = tint(*colour, 14.0) if lit else tint(*(0.3 * part for part in colour))
        middle = 3.22 - 0.28 * number
        shape.tube((x, y - 0.2, middle), (x, y - 0.23, middle), (0.1, 0.1), "glow", shown, sides=12)
