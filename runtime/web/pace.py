"""When the next piece of something that comes or goes over the network must have passed."""

import asyncio


class Pace:
    """A deadline that moves: what passes steadily, at the least rate or faster, is always in time."""

    def __init__(self, rate: float, patience: float, seconds: float = float("inf")) -> None:
        """Begin now.

        Args:
            rate: bytes a second that must pass.
            patience: seconds of silence that are forgiven.
            seconds: that all of it may take.
        """
        self._rate, self._patience = rate, patience
        self._end = _now() + seconds
        self.deadline = min(self._end, _now() + patience)

    def advance(self, passed: int) -> None:
        """Grant the time for so many further bytes, which cannot be saved up."""
        self.deadline = min(self._end, _now() + self._patience, self.deadline + passed / self._rate)


def _now() -> float:
    return asyncio.get_running_loop().time()
