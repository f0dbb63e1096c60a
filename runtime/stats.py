"""What a run did: frames by what became of them, and how long each stage took."""

from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, log
from typing import Any

QUANTILES = 50, 90, 99  # per cent
_FASTEST, _SLOWEST = 1e-6, 1e4  # seconds
_STEP = 1.02  # from one bin of a histogram to the next
_BINS = ceil(log(_SLOWEST / _FASTEST, _STEP))


class Durations:
    """A histogram of durations, in seconds, whose quantiles are right to 2 %; it never grows."""

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _BINS))
        self.total = 0
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        place = int(log(max(seconds, _FASTEST) / _FASTEST, _STEP))
        self._counts[min(place, _BINS - 1)] += 1
        self.total += 1
        self.seconds += seconds

    def quantile(self, share: float) -> float:
        """Return the duration that `share` of all do not exceed; 0 where there are none."""
        if not self.total:
            return 0.0
        wanted = max(1, ceil(share * self.total))
        place = next(i for i, count in enumerate(accumulate(self._counts)) if count >= wanted)
        return float(_FASTEST * _STEP ** (place + 0.5))

    def quantiles_ms(self) -> dict[str, float]:
        """Return the median and the slowest tenth and hundredth, in milliseconds."""
        return {f"p{percent}": round(1000 * self.quantile(percent / 100), 3) for percent in QUANTILES}


@dataclass
class Stats:
    """Frames by what became of them, and the time since the run began.

    What was read was translated, failed, was dropped on the way, or was under way when an error ended the run.
    """

    read: int = 0  # from the source, well or not
    failed: int = 0  # of these, not well
    frames: int = 0  # translated and handed to the sinks
    reused: int = 0  # of these, given the translation before
    interrupted: bool = False  # stopped before the source ended
    seconds: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)  # by the place where a newer frame overtook them
    written: Counter[str] = field(default_factory=Counter)  # by sink
    stages: dict[str, Durations] = field(default_factory=dict)  # decode, prepare, engine, finish, each sink
    latency: dict[str, Durations] = field(default_factory=dict)  # by sink, from captured to written

    @property
    def fps(self) -> float:
        """Frames a second, end to end."""
        return self.frames / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the counts and quantiles as JSON has them."""
        return {
            "read": self.read,
            "frames": self.frames,
            "failed": self.failed,
            "reused": self.reused,
            "dropped": dict(self.dropped),
            "written": dict(self.written),
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "stages_ms": {name: durations.quantiles_ms() for name, durations in list(self.stages.items())},
            "latency_ms": {name: durations.quantiles_ms() for name, durations in list(self.latency.items())},
        }

    def observe(self, stage: str, seconds: float) -> None:
        """Count what one frame needed in a stage; each stage is counted by one thread."""
        self.stages.setdefault(stage, Durations()).add(seconds)


# Shows how far a run of so many frames is (None: nobody knows how many); gives the function that takes the counts.
Progress = Callable[[int | None], AbstractContextManager[Callable[[Stats], None]]]
