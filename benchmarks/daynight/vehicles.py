"""Cars, vans and buses, with lights that burn by night."""

from itertools import pairwise
from random import Random

import bpy

from .shape import GROUND, Shape, Tint, tint

LACQUERS = (
    (0.85, 0.86, 0.87), (0.60, 0.62, 0.65), (0.12, 0.12, 0.14), (0.55, 0.06, 0.07), (0.10, 0.20, 0.45),
    (0.25, 0.27, 0.30), (0.75, 0.70, 0.60), (0.08, 0.28, 0.22), (0.80, 0.45, 0.10), (0.35, 0.50, 0.65),
)  # fmt: skip
GLASS = tint(0.10, 0.12, 0.13)
TYRE, RIM, TRIM = tint(0.10, 0.10, 0.10), tint(0.65, 0.65, 0.67), tint(0.08, 0.08, 0.08)

# Side views, front to the left, as (metres along, metres up): body, and the glass house on it.
BODIES = {
    "hatchback": (
        (
            (-1.92, 0.24), (-2.02, 0.42), (-1.98, 0.64), (-1.8, 0.76), (-0.95, 0.93),
            (1.8, 1.0), (1.95, 0.86), (1.98, 0.5), (1.9, 0.24),
        ),
        ((-1.0, 0.92), (-0.2, 1.46), (1.15, 1.48), (1.82, 0.98)),
        1.74,
    ),
    "saloon": (
        (
            (-2.2, 0.22), (-2.3, 0.4), (-2.26, 0.62), (-2.05, 0.74), (-1.05, 0.9),
            (2.1, 0.96), (2.28, 0.84), (2.3, 0.5), (2.2, 0.22),
        ),
        ((-1.1, 0.88), (-0.25, 1.4), (0.8, 1.41), (1.65, 0.93)),
        1.8,
    ),
    "suv": (
        (
            (-2.1, 0.34), (-2.22, 0.5), (-2.2, 0.84), (-2.0, 1.0), (-1.15, 1.1),
            (2.05, 1.12), (2.2, 0.96), (2.2, 0.55), (2.1, 0.34),
        ),
        ((-1.2, 1.09), (-0.5, 1.7), (1.65, 1.71), (2.08, 1.1)),
        1.88,
    ),
    "van": (
        (
            (-2.45, 0.3), (-2.55, 0.5), (-2.52, 0.86), (-2.3, 1.1), (-1.95, 1.2),
            (2.48, 1.2), (2.5, 0.8), (2.5, 0.5), (2.45, 0.3),
        ),
        ((-1.98, 1.18), (-1.25, 2.1), (2.42, 2.16), (2.48, 1.18)),
        1.95,
    ),
}  # fmt: skip
Profile = tuple[tuple[float, float], ...]


def build_car(rng: Random, driving: bool) -> bpy.types.Mesh:
    """Return a car at the origin that faces -Y; its lights burn by night if it drives."""
    kind = rng.choice(("hatchback", "hatchback", "saloon", "saloon", "suv", "van"))
    body, house, width = BODIES[kind]
    shape, paint = Shape(), tint(*rng.choice(LACQUERS))
    half = width / 2
    left = ((-half, 0.1), (-half + 0.04, 0.04), (-half + 0.2, 0.0))
    right = ((half - 0.2, 0.0), (half - 0.04, 0.04), (half, 0.1))
    _loft(shape, body, left + right, paint)
    _glass_house(shape, house, half, paint, kind == "van")
    front, back = body[0][0], body[-1][0]
    for axle in (front + 0.8, back - 0.8):
        for side in (-1, 1):
            outer = side * (half - 0.02)
            shape.tube((outer - side * 0.24, axle, 0.33), (outer, axle, 0.33), (0.33, 0.33), "rubber", TYRE, sides=16)
            shape.tube((outer, axle, 0.33), (outer + side * 0.015, axle, 0.33), (0.2, 0.18), "metal", RIM, sides=10)
            shape.tube(
                (outer - side * 0.1, axle, 0.36),
                (outer + side * 0.012, axle, 0.36),
                (0.4, 0.4),
                "rubber",
                TRIM,
                sides=16,
            )
    _lights(shape, body, half, driving)
    return shape.mesh(kind)


def _loft(shape: Shape, profile: Profile, sections: tuple[tuple[float, float], ...], colour: Tint) -> None:
    """Add a body that has the profile at every section (x, how far the profile is drawn in there)."""
    rings = []
    low, high = min(z for _, z in profile), max(z for _, z in profile)
    middle = sum(y for y, _ in profile) / len(profile)
    for x, drawn in sections:
        ring = [(x, y + (drawn if y < middle else -drawn), z - drawn * (z - low) / (high - low)) for y, z in profile]
        rings.append(ring)
    shape.face(rings[0], "lacquer", colour)
    shape.face(rings[-1], "lacquer", colour)
    for before, after in pairwise(rings):
        for number in range(len(profile)):
            other = (number + 1) % len(profile)
            shape.face([before[number], before[other], after[other], after[number]], "lacquer", colour)


def _glass_house(shape: Shape, profile: Profile, half: float, paint: Tint, van: bool) -> None:
    """Add roof, pillars and windows: narrower at the top than at the shoulders."""
    (front, shoulder), (brow, top), (rear, _), (tail, _) = profile
    low, high = half - 0.06, half - 0.24
    base = [(-low, front), (low, front), (low, tail), (-low, tail)]
    roof = [(-high, brow), (high, brow), (high, rear), (-high, rear)]
    shape.face([(x, y, top) for x, y in roof], "lacquer", paint)
    for number in range(4):
        other = (number + 1) % 4
        corners = [(*base[number], shoulder), (*base[other], shoulder), (*roof[other], top), (*roof[number], top)]
        shape.face(corners, "lacquer", paint)
        if van and number in (1, 2, 3):
            parts: tuple[tuple[float, float], ...] = {1: ((0.03, 0.25),), 3: ((0.75, 0.97),)}.get(number, ())
        else:
            parts = ((0.05, 0.48), (0.52, 0.95)) if number in (1, 3) else ((0.06, 0.94),)
        outward = ((0, -0.02, 0.01), (0.02, 0, 0), (0, 0.02, 0.01), (-0.02, 0, 0))[number]
        for left, right in parts:
            pane = [
                _within(corners, across, up) for across, up in ((left, 0.1), (right, 0.1), (right, 0.88), (left, 0.88))
            ]
            shape.face([(x + outward[0], y + outward[1], z + outward[2]) for x, y, z in pane], "glass", GLASS)


def _within(corners: list[tuple[float, float, float]], across: float, up: float) -> tuple[float, float, float]:
    """Return a place inside a quadrilateral."""
    first, second, third, fourth = corners
    x, y, z = (
        (1 - up) * ((1 - across) * a + across * b) + up * ((1 - across) * d + across * c)
        for a, b, c, d in zip(first, second, third, fourth, strict=True)
    )
    return x, y, z


def _lights(shape: Shape, body: Profile, half: float, driving: bool) -> None:
    (front, height), (back, tail) = body[2], body[-3]
    for side in (-1, 1):
        inner, outer = sorted((side * (half - 0.42), side * (half - 0.09)))
        white = tint(0.8, 0.82, 0.84) if not driving else tint(1.0, 0.96, 0.88, 22.0)
        shape.box(GROUND, (inner, outer), (front - 0.03, front + 0.2), (height - 0.06, height + 0.05), "glow", white)
        red = tint(0.5, 0.04, 0.04) if not driving else tint(0.85, 0.05, 0.04, 5.0)
        low = tail - 0.12
        inner, outer = sorted((side * (half - 0.3), side * (half - 0.06)))
        shape.box(GROUND, (inner, outer), (back - 0.12, back + 0.04), (low, low + 0.13), "glow", red)
    plate = tint(0.85, 0.85, 0.8, 0.4 if driving else 0.0)
    for y in (front - 0.045, back + 0.03):
        shape.box(GROUND, (-0.25, 0.25), (y - 0.015, y + 0.015), (0.42, 0.52), "glow", plate)
    grille, up = (-half + 0.3, half - 0.3), (height - 0.16, height - 0.05)
    shape.box(GROUND, grille, (front - 0.05, front + 0.2), up, "rubber", TRIM)


def build_bus(rng: Random) -> bpy.types.Mesh:
    """Return a bus at the origin that faces -Y, with a lit row of windows."""
    shape, paint = (
        Shape(),
        tint(*rng.choice(((0.75, 0.12, 0.1), (0.9, 0.75, 0.15), (0.12, 0.4, 0.3), (0.2, 0.35, 0.7)))),
    )
    _loft(
        shape, ((-5.2, 0.35), (-5.3, 1.2), (-5.1, 3.0), (5.1, 3.0), (5.2, 0.35)),
        ((-1.25, 0.06), (-1.15, 0.0), (1.15, 0.0), (1.25, 0.06)), paint,
    )  # fmt: skip
    inside = tint(1.0, 0.93, 0.8, 2.6)
    for side in (-1, 1):
        for number in range(6):
            low = -4.7 + number * 1.6
            x = side * 1.262
            corners = [(x, low, 1.35), (x, low + 1.42, 1.35), (x, low + 1.42, 2.6), (x, low, 2.6)]
            shape.face(corners, "pane", inside)
        for axle in (-3.3, 3.2):
            shape.tube((side * 1.0, axle, 0.48), (side * 1.265, axle, 0.48), (0.48, 0.48), "rubber", TYRE, sides=16)
    shape.face([(-1.1, -5.29, 1.3), (1.1, -5.29, 1.3), (1.05, -5.16, 2.65), (-1.05, -5.16, 2.65)], "pane", inside)
    shape.face([(-1.1, 5.19, 1.5), (1.1, 5.19, 1.5), (1.05, 5.16, 2.6), (-1.05, 5.16, 2.6)], "pane", inside)
    shape.box(GROUND, (-0.7, 0.7), (-5.25, -5.15), (2.68, 2.92), "glow", tint(1.0, 0.6, 0.1, 5.0))
    ends = ((-5.2, 0.3), (-5.27, 0.5), (-5.27, 0.75), (5.24, 0.95), (5.24, 0.5), (5.2, 0.3))
    _lights(shape, ends, 1.2, driving=True)
    return shape.mesh("bus")
