"""What a run did, counted."""

from dataclasses import dataclass


@dataclass
class Stats:
    """Frames by what became of them, and the time from the first that was read to the last that was written."""

    frames: int = 0  # translated and written
    failed: int = 0  # could not be read
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Frames a second, end to end."""
        return self.frames / self.seconds if self.seconds else 0.0
