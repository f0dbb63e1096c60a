"""One clock for a whole file: it begins near zero and never jumps, whatever the time stamps of the packets do.

A transport stream may begin at any time, and one that was joined from parts begins anew with each. Players and editors
expect that the parts follow one another, so every packet is moved by the same offset as the others of its part.
"""

import logging
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

LOGGER = logging.getLogger(__name__)

SILENCE = Fraction(10)  # seconds; a longer wait is another clock and no part of the film
BACKWARDS = Fraction(1, 10)  # seconds that a careless muxer may go back
MOST_PARTS = 16  # the last of a joined file, in which a stream may still be behind the others


@dataclass
class _Track:
    """What is known of one stream, in seconds on the clock that we make."""

    shift: Fraction  # what is added to its time stamps
    last: Fraction  # when its last packet is decoded
    end: Fraction  # when that one ends


class Clock:
    """Moves packets onto one clock; every packet of a file passes through it in the file's order.

    Two clocks that see the same file do the same, so pictures and sound that are read apart stay together.
    """

    def __init__(self, container: Any, name: str | None = None) -> None:
        """Read where a file begins; jumps are logged under `name`, and not at all where it is None."""
        self._name = name
        # MPEG streams and the like: a break in their time stamps is expected.
        self.breaks = bool(container.format.flags & av.format.Flags.ts_discont.value)
        begin = Fraction(container.start_time or 0, av.time_base)
        self.start = -begin if self.breaks or begin > SILENCE else Fraction(0)
        self.jumps = 0
        self._shifts = deque([self.start], MOST_PARTS)
        self._tracks: dict[int, _Track] = {}

    def set(self, packet: Any) -> None:
        """Give a packet its time stamps on the one clock."""
        if packet.pts is None and packet.dts is None:  # the decoder's sign that nothing more comes
            return
        base = exact(packet.time_base)
        shift = self._shift(packet, base)
        if shift:
            ticks = round(shift / base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks

    def _shift(self, packet: Any, base: Fraction) -> Fraction:
        stream = packet.stream
        if packet.dts is None or stream.type not in ("video", "audio"):  # subtitles come seldom: waits mean nothing
            track = self._tracks.get(stream.index)
            return track.shift if track else self._nearest((packet.pts if packet.dts is None else packet.dts) * base)
        stamp = packet.dts * base
        track = self._tracks.get(stream.index)
        if track is None:
            shift = self._nearest(stamp)
            track = self._tracks[stream.index] = _Track(shift, stamp + shift, stamp + shift)
        elif self._is_jump(track, stamp + track.shift):
            track.shift = self._follow(track, stamp)
        track.last = stamp + track.shift
        track.end = max(track.end, track.last + (packet.duration or 0) * base)
        return track.shift

    @property
    def _head(self) -> Fraction:
        """How far the furthest stream is."""
        return max((track.end for track in self._tracks.values()), default=Fraction(0))

    def _nearest(self, stamp: Fraction) -> Fraction:
        head = self._head
        return min(self._shifts, key=lambda shift: abs(stamp + shift - head))

    def _is_jump(self, track: _Track, time: Fraction) -> bool:
        return time < track.last - BACKWARDS or (self.breaks and time > self._head + SILENCE)

    def _follow(self, track: _Track, stamp: Fraction) -> Fraction:
        """Return the shift of the part that a stream goes on in: one that another stream began, or a new one."""
        for shift in reversed(self._shifts):
            if not self._is_jump(track, stamp + shift):
                return shift
        shift = self._head - stamp
        self._shifts.append(shift)
        self.jumps += 1
        if self.jumps == 1 and self._name:
            LOGGER.warning(
                "%s: its clock jumps by %+.1f s after %.1f s; the parts are put one after the other",
                self._name,
                float(stamp + track.shift - track.end),
                float(self._head),
            )
        return shift


def exact(value: Any) -> Fraction:
    """Return PyAV's fraction, of whichever class and perhaps None, as a `Fraction`; 0 where it is not set."""
    return Fraction(value.numerator, value.denominator) if value else Fraction(0)
