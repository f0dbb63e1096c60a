"""A constant rate for containers that know frames by their number only, such as AVI."""

from fractions import Fraction


class ConstantRate:
    """Tells how often the frame before is repeated, so that each frame is shown at its time."""

    def __init__(self, rate: Fraction) -> None:
        """`rate`: frames a second of the container."""
        self._rate = rate
        self._first: Fraction | None = None
        self._next = 0  # the place of the next frame
        self.left_out = 0  # frames that came faster than the rate

    def repeats(self, time: Fraction | None) -> int | None:
        """Return how often the frame before is repeated first; None where this frame has no place and is left out.

        Args:
            time: when the frame is shown, in seconds; None: right after the one before.
        """
        if time is None:
            self._next += 1
            return 0
        if self._first is None:
            self._first = time
        place = (time - self._first) * self._rate
        if self._next - place >= 1:  # up to there it is only late by less than a frame
            self.left_out += 1
            return None
        repeats = max(0, round(place) - self._next)
        self._next += repeats + 1
        return repeats
