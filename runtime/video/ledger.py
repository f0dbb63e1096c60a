"""How many frames of a video are lost: those that its packets or its header promise, and that never came."""

from fractions import Fraction
from typing import Any

import av

from ..frame import Frame
from .clock import Clock, exact

_PREDICTED = frozenset({"h264", "hevc"})  # whose decoders pass in silence over frames that refer to one that is lost


class Ledger:
    """Compares the frames that a decoder gives with the packets that it was sent, and with the header.

    Packets before the first frame do not count: a recording may begin between two keyframes.
    """

    def __init__(self, container: Any, stream: Any, clock: Clock) -> None:
        """Take an open file, its video stream, and the clock that all its packets pass."""
        self._container, self._stream, self._clock = container, stream, clock
        self.errors = 0  # frames that were reported one by one
        self._frames = 0
        self._reached = Fraction(0)  # where the last packet of any stream ends, in seconds, as the file has it
        self._exact = stream.codec_context.name in _PREDICTED  # each packet gives a frame of its own time stamp
        self._waiting: set[int] = set()  # time stamps of packets that gave nothing yet
        self._first = self._last = 0

    def read(self, packet: Any) -> None:
        """Note a packet of any stream, before the clock moves it."""
        if packet.pts is not None:
            self._reached = max(self._reached, (packet.pts + (packet.duration or 0)) * exact(packet.time_base))

    def send(self, packet: Any) -> None:
        """Note a packet that goes into the decoder."""
        if self._exact and packet.size and packet.pts is not None and not packet.is_discard:
            self._waiting.add(packet.pts)

    def receive(self, frame: Any) -> None:
        """Note a frame that comes out."""
        self._exact = self._exact and frame.pts is not None and not frame.interlaced_frame  # fields may be packets
        if self._exact:
            self._first = min(self._first, frame.pts) if self._frames else frame.pts
            self._last = max(self._last, frame.pts) if self._frames else frame.pts
            self._waiting.discard(frame.pts)
        self._frames += 1

    def lost(self, last: Frame, rate: Fraction) -> int:
        """Return how many frames there should have been up to the end, beside those that came and the errors."""
        if self._container.format.name == "avi" and self._stream.frames:
            return max(0, int(self._stream.frames) - self._repeated() - self._frames - self.errors)
        inside, after = self._passed_over()
        return max(0, inside + max(after, self._missing_after(last, rate)) - self.errors)

    def _passed_over(self) -> tuple[int, int]:
        """Return how many packets gave no frame: between the first and the last that came, and after it."""
        if not self._exact:
            return 0, 0
        inside = sum(self._first < stamp < self._last for stamp in self._waiting)
        return inside, sum(stamp > self._last for stamp in self._waiting)

    def _repeated(self) -> int:
        """Return how many chunks of an AVI are empty: they repeat the frame before, and nothing is lost there."""
        entries = list(self._stream.index_entries)
        return int(entries[-1].timestamp) + 1 - len(entries) if entries else 0

    def _missing_after(self, last: Frame, rate: Fraction) -> int:
        """Return how many frames the header promises after the last one; 0 where it makes no sure promise."""
        if self._clock.breaks:  # its length is the difference of two time stamps, whatever lies between them
            return 0
        if self._container.format.name == "asf":  # its length is that of all streams, and none where it is cut short
            return 0
        if self._stream.duration and last.time is not None:
            base = exact(self._stream.time_base)
            promised: Fraction = ((self._stream.start_time or 0) + self._stream.duration) * base
            reached = last.time - self._clock.start + (last.duration or 1 / rate)
        elif "matroska" in self._container.format.name and self._container.duration:  # knows of the whole file only
            promised = Fraction(self._container.duration, av.time_base)
            reached = self._reached
        else:
            return 0
        return max(0, round((promised - reached) * rate))
