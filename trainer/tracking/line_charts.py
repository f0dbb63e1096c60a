"""Line charts as plain numbers for an SVG template: no drawing library, so a report costs milliseconds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 300, 130
MOST_POINTS = 300
TICKS = 6

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One series: the `points` attribute of a polyline, and its last value for the legend."""

    name: str
    points: str
    last: str


@dataclass(frozen=True)
class Chart:
    """A plot of WIDTH x HEIGHT; ticks are (place, label) along their axis."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def make_chart(title: str, series: Mapping[str, Points]) -> Chart:
    """Lay out series of finite (x, y); at least one has a point."""
    every = [point for points in series.values() for point in points]
    x_low, x_high = _range([x for x, _ in every])
    y_low, y_high = _range([y for _, y in every])

    def across(x: float) -> float:
        return round((x - x_low) / (x_high - x_low) * WIDTH, 1)

    def up(y: float) -> float:
        return round(HEIGHT - (y - y_low) / (y_high - y_low) * HEIGHT, 1)

    def path(points: Points) -> str:
        places = [f"{across(x)},{up(y)}" for x, y in thinned(points)]
        return " ".join(places if len(places) > 1 else places * 2)  # a line from a point to itself is drawn as a dot

    lines = tuple(Line(name, path(points), f"{points[-1][1]:.4g}") for name, points in series.items() if points)
    x_ticks = tuple((across(x), f"{x:g}") for x in ticks(x_low, x_high))
    return Chart(title, lines, x_ticks, tuple((up(y), f"{y:g}") for y in ticks(y_low, y_high)))


def ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers from `low` to `high`."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [float(f"{number * step:.10g}") for number in range(first, math.floor(high / step) + 1)]


def thinned(points: Points) -> Points:
    """Average neighbouring points until no more than 300 are left."""
    size = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
