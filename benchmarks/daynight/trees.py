"""Trees: a trunk, branches and some hundred leaves each; a few prototypes that are planted many times."""

import math
from random import Random

import bpy

from .shape import Point, Shape, Tint, tint

SEASONS = {  # leaves' colours, and how many of a full crown's leaves there are
    "summer": (((0.22, 0.40, 0.12), (0.30, 0.48, 0.16), (0.18, 0.34, 0.14), (0.38, 0.52, 0.20)), 1.0),
    "spring": (((0.45, 0.62, 0.20), (0.52, 0.66, 0.28), (0.90, 0.72, 0.76), (0.40, 0.58, 0.22)), 0.8),
    "autumn": (((0.80, 0.45, 0.10), (0.75, 0.60, 0.15), (0.62, 0.25, 0.08), (0.55, 0.50, 0.15)), 0.6),
    "winter": (((0.40, 0.30, 0.20), (0.35, 0.28, 0.20)), 0.0),
}
BARK = tint(0.32, 0.26, 0.21)


def grow(rng: Random, season: str) -> bpy.types.Mesh:
    """Return a tree of 5 to 9 metres that stands at the origin."""
    shape = Shape()
    height, spread = rng.uniform(5.0, 8.5), rng.uniform(1.5, 2.5)
    fork = (rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15), rng.uniform(2.1, 2.8))
    shape.tube((0, 0, 0), fork, (0.17, 0.12), "bark", BARK)
    colours, fullness = SEASONS[season]
    colour = tint(*rng.choice(colours))
    tips = _branch(shape, rng, fork, height, spread, depth=0 if fullness else 1)
    if not fullness:
        return shape.mesh("tree")
    leaves = int(1500 * fullness)
    for _ in range(leaves):
        middle = rng.choice(tips)
        radius = 0.5 * spread * rng.random() ** 0.4
        polar, turn = math.acos(rng.uniform(-1, 1)), rng.uniform(0, 2 * math.pi)
        away = (math.sin(polar) * math.cos(turn), math.sin(polar) * math.sin(turn), 0.8 * math.cos(polar))
        place = tuple(part + radius * step for part, step in zip(middle, away, strict=True))
        _leaf(
            shape, rng, (place[0], place[1], place[2]), rng.uniform(0.16, 0.32), _shade(rng, colour, place[2] / height)
        )
    return shape.mesh("tree")


def _branch(shape: Shape, rng: Random, start: Point, height: float, spread: float, depth: int) -> list[Point]:
    """Add branches from the fork of a trunk; returns where they end. `depth` 1 gives them twigs."""
    tips = []
    count = rng.randint(7, 10)
    for number in range(count):
        turn = 2 * math.pi * (number + rng.uniform(-0.3, 0.3)) / count
        reach = spread * rng.uniform(0.35, 0.85)
        level = start[2] + (height - start[2]) * rng.uniform(0.25, 0.92)
        tip = (start[0] + reach * math.cos(turn), start[1] + reach * math.sin(turn), level)
        shape.tube(start, tip, (0.07, 0.025), "bark", BARK, sides=5)
        tips.append(tip)
        for _ in range(9 * depth):
            share = rng.uniform(0.35, 1.0)
            root = tuple(low + share * (high - low) for low, high in zip(start, tip, strict=True))
            end = tuple(part + rng.uniform(-0.9, 0.9) for part in root)
            shape.tube(
                (root[0], root[1], root[2]),
                (end[0], end[1], max(end[2], root[2])),
                (0.028, 0.008),
                "bark",
                BARK,
                sides=4,
            )
    tips.append((start[0], start[1], start[2] + 0.75 * (height - start[2])))
    return tips


def _leaf(shape: Shape, rng: Random, place: Point, size: float, colour: Tint) -> None:
    """Add a square that hangs in any direction: a handful of leaves, seen from a street's distance."""
    turn, lean = rng.uniform(0, 2 * math.pi), rng.uniform(-1.2, 1.2)
    right = (size * math.cos(turn), size * math.sin(turn), 0.0)
    up = (-size * math.sin(turn) * math.sin(lean), size * math.cos(turn) * math.sin(lean), size * math.cos(lean))
    corners = [(-0.5, -0.2), (0.0, -0.5), (0.5, 0.1), (0.1, 0.5)]
    x, y, z = place
    shape.face(
        [
            (x + a * right[0] + b * up[0], y + a * right[1] + b * up[1], z + a * right[2] + b * up[2])
            for a, b in corners
        ],
        "leaf",
        colour,
    )


def _shade(rng: Random, colour: Tint, share: float) -> Tint:
    """Return a leaf's colour: lighter towards the top of the crown."""
    bright = (0.55 + 0.6 * share) * rng.uniform(0.75, 1.25)
    return colour[0] * bright, colour[1] * bright, colour[2] * bright, 0.0


def hedge(shape: Shape, rng: Random, start: tuple[float, float], length: float) -> None:
    """Add a hedge along the street, a metre high."""
    colour = tint(*rng.choice(SEASONS["summer"][0]))
    for _ in range(int(90 * length)):
        place = (start[0] + rng.uniform(-0.4, 0.4), start[1] + rng.uniform(0, length), rng.uniform(0.05, 1.05))
        _leaf(shape, rng, place, rng.uniform(0.12, 0.22), _shade(rng, colour, place[2]))
