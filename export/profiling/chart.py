"""A profile as a picture: one bar for each part of the network, in the colours of what takes its time."""

from dataclasses import dataclass
from pathlib import Path

from ...trainer.tracking.html_page import write_page
from ...trainer.tracking.line_charts import ticks
from .layers import ALL_KINDS, Profile

WIDTH = 560  # of the longest bar
STEP = 24  # from one bar to the next


@dataclass(frozen=True)
class Segment:
    """A piece of a bar, from `left` on."""

    kind: str
    left: float
    width: float
    ms: float


@dataclass(frozen=True)
class Bar:
    """The time of one part of the network."""

    part: str
    top: float
    segments: tuple[Segment, ...]
    ms: float
    share: float

    @property
    def end(self) -> float:
        """Where the last segment ends."""
        return self.segments[-1].left + self.segments[-1].width


def make_bars(profile: Profile) -> list[Bar]:
    """Lay out the bars of a profile, the longest `WIDTH` wide."""
    parts = profile.by_part()
    scale = WIDTH / max(sum(kinds.values()) for kinds in parts.values())
    bars = []
    for row, (part, kinds) in enumerate(parts.items()):
        segments: list[Segment] = []
        for kind in ALL_KINDS:
            if ms := kinds.get(kind):
                left = segments[-1].left + segments[-1].width if segments else 0.0
                segments.append(Segment(kind, left, ms * scale, ms))
        ms = sum(kinds.values())
        bars.append(Bar(part, row * STEP, tuple(segments), ms, ms / profile.layers_ms))
    return bars


def save_chart(profile: Profile, path: Path) -> None:
    """Write the chart as an SVG file that stands alone, for light and dark pages.

    Raises:
        OutputError: the file cannot be written.
    """
    bars = make_bars(profile)
    longest = max(bar.ms for bar in bars)
    content = {
        "profile": profile,
        "bars": bars,
        "kinds": profile.by_kind(),
        "grid": [(ms / longest * WIDTH, f"{ms:g}") for ms in ticks(0, longest)],
        "height": len(bars) * STEP,
    }
    write_page(Path(__file__).with_name("chart.svg"), content, path)
