"""How others see and steer a run while it goes on."""

from dataclasses import dataclass, field
from threading import Event

from .stats import Stats


@dataclass(frozen=True)
class Control:
    """Stops a run, holds it for a while, and tells its counts. Any thread or signal handler may use it."""

    stop: Event = field(default_factory=Event)
    paused: Event = field(default_factory=Event)
    stats: Stats = field(default_factory=Stats)
