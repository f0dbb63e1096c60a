"""Houses along a street: façades with recessed windows, doors, shops, balconies and roofs."""

from dataclasses import dataclass
from random import Random

from .shape import Shape, Tint, Wall, tint

PLASTERS = (
    (0.93, 0.87, 0.72), (0.90, 0.76, 0.55), (0.86, 0.63, 0.50), (0.75, 0.80, 0.74), (0.70, 0.77, 0.84),
    (0.95, 0.93, 0.88), (0.84, 0.70, 0.68), (0.80, 0.78, 0.70), (0.66, 0.72, 0.62), (0.92, 0.80, 0.40),
)  # fmt: skip
BRICKS = ((0.60, 0.32, 0.25), (0.68, 0.42, 0.32), (0.52, 0.30, 0.26), (0.74, 0.60, 0.46), (0.45, 0.36, 0.33))
CONCRETES = ((0.72, 0.71, 0.69), (0.58, 0.60, 0.62), (0.82, 0.81, 0.78), (0.42, 0.44, 0.47), (0.35, 0.30, 0.28))
ROOFS = ((0.55, 0.27, 0.18), (0.30, 0.30, 0.33), (0.42, 0.25, 0.20), (0.25, 0.27, 0.30))
LIGHTS = (
    (1.0, 0.72, 0.38),
    (1.0, 0.80, 0.52),
    (1.0, 0.87, 0.66),
    (0.98, 0.95, 0.88),
    (1.0, 0.62, 0.28),
    (0.62, 0.78, 1.0),
)
SIGNS = (
    (0.9, 0.15, 0.12),
    (0.1, 0.55, 0.25),
    (0.12, 0.35, 0.85),
    (0.95, 0.75, 0.1),
    (0.9, 0.3, 0.65),
    (0.2, 0.75, 0.8),
)
RECESS = 0.22  # metres from the wall's face to the pane
WHITE = tint(0.92, 0.91, 0.88)


@dataclass(frozen=True)
class Style:
    """What a house has in common from its ground to its roof."""

    wall: str  # material
    colour: Tint
    frame: Tint
    trim: Tint
    storey: float  # metres
    window: tuple[float, float]  # width and height of a window in metres
    panes: tuple[int, int]  # across and up
    pitched: bool
    shop: bool
    balconies: bool
    awake: float  # share of rooms with a light on


def draw_style(rng: Random, mood: str) -> Style:
    """Draw a house that suits a street: `old`, `brick` or `modern`."""
    mood = mood if rng.random() < 0.75 else rng.choice(("old", "brick", "modern"))
    wall, colours = {"old": ("plaster", PLASTERS), "brick": ("brick", BRICKS), "modern": ("concrete", CONCRETES)}[mood]
    colour = tint(*(min(1.0, max(0.05, part + rng.gauss(0, 0.025))) for part in rng.choice(colours)))
    modern = mood == "modern"
    window = (
        (rng.uniform(1.8, 2.8), rng.uniform(1.5, 2.1)) if modern else (rng.uniform(0.95, 1.35), rng.uniform(1.5, 1.95))
    )
    dark = rng.random() < (0.8 if modern else 0.3)
    return Style(
        wall, colour,
        frame=tint(0.16, 0.17, 0.19) if dark else WHITE,
        trim=tint(0.88, 0.86, 0.80) if not modern else tint(0.5, 0.5, 0.5),
        storey=rng.uniform(2.9, 3.6),
        window=window,
        panes=(rng.choice((2, 3)), 1) if modern else rng.choice(((2, 2), (2, 3), (2, 1), (2, 2))),
        pitched=not modern and rng.random() < 0.7,
        shop=rng.random() < 0.5,
        balconies=rng.random() < 0.25,
        awake=rng.uniform(0.25, 0.6),
    )  # fmt: skip


def build_house(shape: Shape, wall: Wall, width: float, depth: float, floors: int, style: Style, rng: Random) -> None:
    """Add a house whose façade is `wall` from u = 0 to `width`."""
    ground = 3.6 if style.shop else style.storey
    height = ground + (floors - 1) * style.storey + (0.5 if style.pitched else 0.9)
    shape.box(wall, (0, width), (-depth, -RECESS - 0.02), (0, height), style.wall, style.colour)
    for side in ((0.0, 0.02), (width - 0.02, width)):  # closes the gap behind the façade
        shape.box(wall, side, (-RECESS - 0.05, -0.01), (0, height), style.wall, style.colour)
    if style.shop:
        _shop(shape, wall, width, ground, style, rng)
    else:
        _storey(shape, wall, width, (0, ground), style, rng, door=rng.random() < 0.9)
    for floor in range(floors - 1):
        low = ground + floor * style.storey
        _storey(shape, wall, width, (low, low + style.storey), style, rng)
        if style.wall != "concrete" and (floor == 0 or rng.random() < 0.15):
            shape.box(wall, (0, width), (0, 0.1), (low - 0.08, low + 0.1), "plaster", style.trim)
    low = ground + (floors - 1) * style.storey
    shape.panel(wall, (0, width), (low, height), 0.0, style.wall, style.colour)
    shape.box(wall, (-0.05, width + 0.05), (-0.2, 0.28), (height - 0.35, height - 0.1), "plaster", style.trim)
    if style.pitched:
        _pitched_roof(shape, wall, width, depth, height, rng)
    else:
        _flat_roof(shape, wall, width, depth, height, style, rng)


def _storey(
    shape: Shape, wall: Wall, width: float, z: tuple[float, float], style: Style, rng: Random, door: bool = False
) -> None:
    """Add one storey of the façade: a strip above and below, piers, and windows between them."""
    across, tall = style.window
    count = max(1, int((width - 0.6) / (across + 0.75)))
    pitch = width / count
    sill = z[0] + (z[1] - z[0] - tall) * 0.55
    head = min(sill + tall, z[1] - 0.15)
    with_door = rng.randrange(count) if door else -1
    shape.panel(wall, (0, width), (head, z[1]), 0.0, style.wall, style.colour)
    edge = 0.0
    for number in range(count):
        left = pitch * number + (pitch - across) / 2
        right = left + across
        low = z[0] + 0.05 if number == with_door else sill
        shape.panel(wall, (edge, left), (z[0], head), 0.0, style.wall, style.colour)
        shape.panel(wall, (left, right), (z[0], low), 0.0, style.wall, style.colour)
        if number == with_door:
            _door(shape, wall, (left, right), (low, head), style, rng)
        else:
            _window(shape, wall, (left, right), (low, head), style, rng)
            if style.balconies and z[0] > 3 and number % 2 == 0:
                _balcony(shape, wall, (left - 0.3, right + 0.3), z[0] + 0.1, style)
        edge = right
    shape.panel(wall, (edge, width), (z[0], head), 0.0, style.wall, style.colour)


def _reveal(shape: Shape, wall: Wall, u: tuple[float, float], z: tuple[float, float], style: Style) -> None:
    """Add the four sides of an opening in the façade."""
    corners = [(u[0], z[0]), (u[1], z[0]), (u[1], z[1]), (u[0], z[1])]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        ring = [(start, 0.0), (end, 0.0), (end, -RECESS), (start, -RECESS)]
        shape.face([wall.point(place[0], v, place[1]) for place, v in ring], style.wall, style.colour)


def _window(
    shape: Shape, wall: Wall, u: tuple[float, float], z: tuple[float, float], style: Style, rng: Random
) -> None:
    """Add a window: panes that may be lit, curtains or a blind, a frame, a sill."""
    _reveal(shape, wall, u, z, style)
    lit = rng.random() < style.awake
    colour, glow = rng.choice(LIGHTS), rng.uniform(0.5, 2.2) if lit else 0.0
    glass = tint(*colour, glow)
    columns, rows = style.panes
    wide, tall = (u[1] - u[0]) / columns, (z[1] - z[0]) / rows
    shape.panel(wall, u, z, -RECESS + 0.01, "pane", glass)
    cloth = tint(*rng.choice(((0.93, 0.9, 0.82), (0.75, 0.7, 0.65), (0.85, 0.6, 0.45))), 0.0)
    behind = (cloth[0] * colour[0], cloth[1] * colour[1] ** 2.2, cloth[2] * colour[2] ** 2.2, 0.5 * glow)
    kind = rng.random()
    if kind < 0.3:  # curtains, which the light of the room falls through
        share = rng.uniform(0.12, 0.3) * (u[1] - u[0])
        for side in ((u[0], u[0] + share), (u[1] - share, u[1])):
            shape.panel(wall, side, z, -RECESS + 0.02, "glow", behind)
    elif kind < 0.5:
        shape.panel(wall, u, (z[1] - rng.uniform(0.25, 0.9) * (z[1] - z[0]), z[1]), -RECESS + 0.02, "glow", behind)
    half = 0.035
    bars = [((u[0] + number * wide - half, u[0] + number * wide + half), z) for number in range(columns + 1)]
    bars += [(u, (z[0] + number * tall - half, z[0] + number * tall + half)) for number in range(rows + 1)]
    for across, up in bars:
        shape.box(wall, across, (-RECESS + 0.02, -RECESS + 0.08), up, "paint", style.frame)
    if style.wall != "concrete":
        shape.box(wall, (u[0] - 0.12, u[1] + 0.12), (-0.02, 0.12), (z[0] - 0.1, z[0]), "plaster", style.trim)


def _door(shape: Shape, wall: Wall, u: tuple[float, float], z: tuple[float, float], style: Style, rng: Random) -> None:
    _reveal(shape, wall, u, z, style)
    leaf = tint(
        *rng.choice(((0.35, 0.2, 0.12), (0.12, 0.25, 0.2), (0.15, 0.2, 0.4), (0.5, 0.1, 0.1), (0.15, 0.15, 0.16)))
    )
    top = z[0] + 0.8 * (z[1] - z[0])
    shape.panel(wall, u, (z[0], top), -RECESS + 0.02, "lacquer", leaf)
    shape.panel(wall, u, (top, z[1]), -RECESS + 0.02, "pane", tint(1.0, 0.8, 0.5, 2.5))
    shape.ball(wall.point(u[0] - 0.3, 0.12, z[1] - 0.4), (0.1, 0.1, 0.14), "glow", tint(1.0, 0.85, 0.6, 9.0))


def _balcony(shape: Shape, wall: Wall, u: tuple[float, float], low: float, style: Style) -> None:
    shape.box(wall, u, (0, 0.9), (low - 0.14, low), "concrete", style.trim)
    rail = tint(0.2, 0.2, 0.22)
    shape.box(wall, u, (0.85, 0.9), (low + 0.95, low + 1.0), "metal", rail)
    for number in range(9):
        bar = u[0] + (u[1] - u[0]) * number / 8
        shape.box(wall, (bar - 0.02, bar + 0.02), (0.86, 0.89), (low, low + 1.0), "metal", rail)


def _shop(shape: Shape, wall: Wall, width: float, height: float, style: Style, rng: Random) -> None:
    """Add a ground floor with large panes, a sign and perhaps an awning."""
    top = height - 0.75
    colour = tint(
        *rng.choice(((0.18, 0.2, 0.22), (0.35, 0.12, 0.12), (0.12, 0.28, 0.22), (0.85, 0.84, 0.8), (0.2, 0.25, 0.45)))
    )
    bays = max(2, round(width / 2.6))
    bay = width / bays
    glass = tint(*rng.choice(LIGHTS[1:4]), rng.choice((0.15, 0.9, 1.4, 2.0)))
    shape.panel(wall, (0, width), (0, 0.45), 0.0, "lacquer", colour)
    shape.panel(wall, (0, width), (0.45, top), -RECESS + 0.02, "pane", glass)
    for number in range(bays + 1):
        edge = min(max(bay * number, 0.12), width - 0.12)
        shape.box(wall, (edge - 0.12, edge + 0.12), (-RECESS, 0.04), (0, top), "lacquer", colour)
        if number < bays and rng.random() < 0.8:  # what the shop shows
            left = bay * number + rng.uniform(0.3, 0.6)
            goods = tint(rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), 0.7)
            right = min(left + rng.uniform(0.5, 1.5), bay * (number + 1) - 0.2)
            shape.panel(wall, (left, right), (0.5, rng.uniform(0.9, 1.7)), -RECESS + 0.04, "glow", goods)
    shape.box(wall, (0, width), (-RECESS, 0.08), (top, height), "lacquer", colour)
    sign, middle = rng.uniform(0.25, 0.6) * width, width / 2 + rng.uniform(-0.1, 0.1) * width
    letters, step = max(3, int(sign / 0.42)), 0.42
    bright = tint(*rng.choice(SIGNS), rng.uniform(3.0, 8.0)) if rng.random() < 0.7 else tint(0.95, 0.92, 0.8, 1.5)
    for number in range(letters):
        left = middle - letters * step / 2 + number * step
        cut = rng.uniform(0.2, 0.34)
        shape.box(wall, (left, left + cut), (0.08, 0.13), (top + 0.2, top + rng.choice((0.42, 0.55))), "glow", bright)
    if rng.random() < 0.55:
        _awning(shape, wall, width, top, rng)


def _awning(shape: Shape, wall: Wall, width: float, top: float, rng: Random) -> None:
    colours = (tint(*rng.choice(SIGNS)), WHITE)
    stripes = max(4, int(width / 0.55))
    for number in range(stripes):
        left, right = 0.1 + (width - 0.2) * number / stripes, 0.1 + (width - 0.2) * (number + 1) / stripes
        slope = [(left, 0.05, top), (right, 0.05, top), (right, 1.2, top - 0.55), (left, 1.2, top - 0.55)]
        shape.face([wall.point(*place) for place in slope], "cloth", colours[number % 2])
        shape.panel(wall, (left, right), (top - 0.75, top - 0.55), 1.2, "cloth", colours[number % 2])


def _pitched_roof(shape: Shape, wall: Wall, width: float, depth: float, height: float, rng: Random) -> None:
    colour, rise = tint(*rng.choice(ROOFS)), rng.uniform(2.0, 3.6)
    ridge = -depth / 2
    for front, back in ((0.3, ridge), (-depth - 0.3, ridge)):
        slope = [
            (0, front, height - 0.1),
            (width, front, height - 0.1),
            (width, back, height + rise),
            (0, back, height + rise),
        ]
        shape.face([wall.point(*place) for place in slope], "roof", colour)
    for u in (0.0, width):
        gable = [(u, 0.0, height - 0.1), (u, -depth, height - 0.1), (u, ridge, height + rise)]
        shape.face([wall.point(*place) for place in gable], "plaster", WHITE)
    for _ in range(rng.randrange(3)):
        u, v = rng.uniform(0.5, max(0.6, width - 1.2)), rng.uniform(ridge, -1.5)
        shape.box(wall, (u, u + 0.8), (v - 0.4, v + 0.2), (height, height + rise + 0.7), "brick", tint(*BRICKS[1]))
    for number in range(rng.randrange(1 + int(width / 4))):  # dormers
        u = 1.2 + number * 3.2
        if u + 1.4 < width:
            shape.box(wall, (u, u + 1.4), (-2.2, -0.5), (height + 0.1, height + 1.6), "plaster", WHITE)
            lit = rng.uniform(1.5, 3.5) if rng.random() < 0.4 else 0.0
            shape.panel(wall, (u + 0.25, u + 1.15), (height + 0.4, height + 1.4), -0.48, "pane", tint(*LIGHTS[1], lit))


def _flat_roof(shape: Shape, wall: Wall, width: float, depth: float, height: float, style: Style, rng: Random) -> None:
    shape.box(wall, (0, width), (-0.25, 0.0), (height, height + 0.35), style.wall, style.colour)
    for _ in range(rng.randrange(4)):
        u, v, size = rng.uniform(0, width * 0.7), -rng.uniform(1.0, depth - 2), rng.uniform(0.8, 2.2)
        shape.box(
            wall, (u, u + size), (v - size, v), (height, height + rng.uniform(0.8, 1.8)), "metal", tint(0.6, 0.6, 0.6)
        )
