"""Counters for Prometheus, in its text exposition format 0.0.4.

Written here and not by `prometheus_client`: nine metrics are forty lines, and the edge install gets no further package.
"""

from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# name → (kind, description)
_METRICS = {
    "cyclegan_translated_total": ("counter", "Frames translated, by where they came from."),
    "cyclegan_passed_over_total": ("counter", "Frames of live cameras that a newer one replaced."),
    "cyclegan_videos_total": ("counter", "Videos, by how they ended."),
    "cyclegan_refused_total": ("counter", "Requests refused, by reason."),
    "cyclegan_sockets": ("gauge", "Live cameras and viewers connected."),
    "cyclegan_pictures_in_work": ("gauge", "Pictures being received or translated."),
    "cyclegan_videos_queued": ("gauge", "Videos waiting or being translated."),
    "cyclegan_disk_bytes": ("gauge", "Temporary disk in use or reserved."),
    "process_resident_memory_bytes": ("gauge", "Resident memory size in bytes."),
}
_ENGINE = "cyclegan_engine_seconds"
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The counts since the start; any thread may count."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: dict[tuple[str, str], int] = {}
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0

    def count(self, name: str, amount: int = 1, **label: str) -> None:
        """Add to a counter, `count("cyclegan_refused_total", reason="busy")`."""
        labels = ",".join(f'{key}="{value}"' for key, value in label.items())
        with self._lock:
            self._counters[name, labels] = self._counters.get((name, labels), 0) + amount

    def observe(self, seconds: float) -> None:
        """Add one batch's time in the engine."""
        place = sum(seconds > bound for bound in _BUCKETS)
        with self._lock:
            self._buckets[place] += 1
            self._seconds += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return everything, with the gauges' values of this moment."""
        with self._lock:
            counters, buckets, seconds = dict(self._counters), list(self._buckets), self._seconds
        memory = _resident_memory()
        if memory is not None:
            gauges = {**gauges, "process_resident_memory_bytes": memory}
        samples: dict[str, list[str]] = {}
        for (name, labels), value in sorted(counters.items()):
            samples.setdefault(name, []).append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
        for name, gauge in gauges.items():
            samples[name] = [f"{name} {gauge:g}" if gauge < 1e6 else f"{name} {gauge:.0f}"]
        lines = []
        for name, (kind, description) in _METRICS.items():
            if name in samples:
                lines += [f"# HELP {name} {description}", f"# TYPE {name} {kind}", *samples[name]]
        return "\n".join([*lines, *_histogram(buckets, seconds)]) + "\n"


def _histogram(buckets: list[int], seconds: float) -> list[str]:
    bounds = [*map(str, _BUCKETS), "+Inf"]
    below = list(accumulate(buckets))
    return [
        f"# HELP {_ENGINE} Time that the engine needed for one batch.",
        f"# TYPE {_ENGINE} histogram",
        *(f'{_ENGINE}_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, below, strict=True)),
        f"{_ENGINE}_sum {seconds:.6f}",
        f"{_ENGINE}_count {below[-1]}",
    ]


def _resident_memory() -> int | None:
    """Return the process's resident memory in bytes; None where the system has no /proc."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return None
