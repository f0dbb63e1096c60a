"""Videos through PyAV: every frame with its time stamp, upright, in the colours that its tags tell."""

import logging
import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..contract import Picture
from ..errors import InputError
from ..frame import Frame, LostFramesError
from .decode_limits import OF_FILES, DecodeLimits
from .format import BT601, BT709, BT2020, HLG, PQ, UNSPECIFIED, Colour, VideoFormat

LOGGER = logging.getLogger(__name__)

FALLBACK_RATE = Fraction(25)
# For `av.open`: titles that are not UTF-8 come through byte for byte, as from PyAV 19 on they do by themselves.
TAGS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
# H.273's numbers → libswscale's; all that it does not know is close to BT.601.
_SWS_MATRICES = {BT709: 1, 4: 4, BT601: 5, 7: 7, BT2020: 9, 10: 9}
_FULL_RANGE = 2  # of FFmpeg's colour ranges; limited is 1
_PREDICTED = frozenset({"h264", "hevc"})  # whose decoders pass in silence over frames that refer to one that is lost


class PyAvVideo:
    """The frames of a video file or address, upright, uint8 [H, W, 3] in RGB order."""

    live = False

    def __init__(self, address: str, name: Path, limits: DecodeLimits = OF_FILES) -> None:
        """Open it and read its header.

        Raises:
            InputError: FFmpeg cannot open it, or it holds no video.
        """
        self.name = name
        try:
            self._container = open_input(address, limits)
        except av.ArgumentError as error:
            raise InputError(
                f"{name} is no video of a kind that is read here; a list of other files, such as a playlist, never is"
            ) from error
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{name} is damaged or no video that FFmpeg can read ({reason(error)})") from error
        stream: Any = self._container.streams.best("video")
        if stream is None:
            raise InputError(f"{name} holds no video; name another file")
        if stream.codec_context is None:
            raise InputError(f"{name} is coded in a way that is not known here; convert it to H.264 first")
        self._stream, self._max_pixels = stream, limits.max_pixels
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"flags": "+output_corrupt", **limits.for_decoder()}  # what can be seen is kept
        rate = exact(stream.average_rate) or exact(stream.guessed_rate)
        if not 0 < rate < 1000:
            LOGGER.warning("%s does not say its frame rate; %g frames a second are taken", name, FALLBACK_RATE)
            rate = FALLBACK_RATE
        context = stream.codec_context
        self.format = VideoFormat(
            rate=rate,
            time_base=exact(stream.time_base),
            colour=read_colour(context),
            pixel_aspect=exact(context.sample_aspect_ratio) or Fraction(1),
            origin=address,
            limits=limits,
        )
        self.total: int | None = stream.frames or self._estimate()
        self._reached = Fraction(0)  # where the last packet of any stream ends, in seconds
        self._ledger = _Ledger(context.name in _PREDICTED)
        if self.format.colour.transfer in (PQ, HLG):
            LOGGER.warning("%s is of high dynamic range, which models do not know: colours may look dull", name)

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Decode once, to the end.

        Raises:
            InputError: there is not one frame.
        """
        last: Frame | None = None
        try:
            for item in self._decode():
                last = item if isinstance(item, Frame) else last
                yield item
            if last is None:
                raise InputError(f"{self.name} holds no frame that can be decoded")
            lost = self._lost(last)
        finally:
            self._container.close()
        if lost:
            yield LostFramesError(f"{self.name} holds {lost} frames more that cannot be decoded or are cut off", lost)

    def _decode(self) -> Iterator[Frame | InputError]:
        """Decode packet by packet: one that is damaged costs its own frame only."""
        packets = self._container.demux()
        number = 0
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._ledger.errors += 1
                yield InputError(f"{self.name} cannot be read further: {reason(error)}")
                return
            if packet is None:
                return
            if packet.pts is not None:
                self._reached = max(self._reached, (packet.pts + (packet.duration or 0)) * exact(packet.time_base))
            if packet.stream_index != self._stream.index:
                continue
            self._ledger.send(packet)
            try:
                decoded = self._stream.decode(packet)  # the packet's own stream may have lost its codec
            except av.EOFError:  # flushed before
                continue
            except av.FFmpegError as error:
                self._ledger.errors += 1
                large = f", or larger than {self._max_pixels} pixels" if isinstance(error, av.ArgumentError) else ""
                yield InputError(f"{self.name}: a frame cannot be decoded ({reason(error)}{large})")
                continue
            for frame in decoded:
                self._ledger.receive(frame)
                yield self._frame(frame, number)
                number += 1

    def _frame(self, decoded: Any, number: int) -> Frame:
        base = exact(decoded.time_base) or self.format.time_base or 1 / self.format.rate
        time = decoded.pts * base if decoded.pts is not None else number / self.format.rate
        return Frame(
            to_rgb(decoded, self.format.colour),
            self.name,
            time=Fraction(time),
            duration=decoded.duration * base if decoded.duration else None,
        )

    def _estimate(self) -> int | None:
        length = self._container.duration
        return round(Fraction(length, av.time_base) * self.format.rate) if length else None

    def _lost(self, last: Frame) -> int:
        """Return how many frames there should have been beside those that came and the errors."""
        ledger = self._ledger
        if self._container.format.name == "avi" and self._stream.frames:
            return max(0, int(self._stream.frames) - ledger.frames - ledger.errors)
        inside, after = ledger.passed_over()
        return max(0, inside + max(after, self._missing_after(last)) - ledger.errors)

    def _missing_after(self, last: Frame) -> int:
        """Return how many frames the header promises after the last one; 0 where it makes no sure promise."""
        if self._stream.duration and last.time is not None:
            base = exact(self._stream.time_base)
            promised: Fraction = ((self._stream.start_time or 0) + self._stream.duration) * base
            reached = last.time + (last.duration or 1 / self.format.rate)
        elif "matroska" in self._container.format.name and self._container.duration:  # knows of the whole file only
            promised = Fraction(self._container.duration, av.time_base)
            reached = self._reached
        else:
            return 0
        return max(0, round((promised - reached) * self.format.rate))


class _Ledger:
    """Compares the frames that a decoder gives with the packets that it was sent.

    Packets before the first frame do not count: a recording may begin between two keyframes.
    """

    def __init__(self, exact: bool) -> None:
        """`exact`: each packet should give a frame of its own time stamp."""
        self.errors = self.frames = 0
        self._exact = exact
        self._waiting: set[int] = set()  # time stamps of packets that gave nothing yet
        self._first = self._last = 0

    def send(self, packet: Any) -> None:
        """Note a packet that goes into the decoder."""
        if self._exact and packet.size and packet.pts is not None and not packet.is_discard:
            self._waiting.add(packet.pts)

    def receive(self, frame: Any) -> None:
        """Note a frame that comes out."""
        self._exact = self._exact and frame.pts is not None and not frame.interlaced_frame  # fields may be packets
        if self._exact:
            self._first = min(self._first, frame.pts) if self.frames else frame.pts
            self._last = max(self._last, frame.pts) if self.frames else frame.pts
            self._waiting.discard(frame.pts)
        self.frames += 1

    def passed_over(self) -> tuple[int, int]:
        """Return how many packets gave no frame: between the first and the last that came, and after it."""
        if not self._exact:
            return 0, 0
        inside = sum(self._first < stamp < self._last for stamp in self._waiting)
        return inside, sum(stamp > self._last for stamp in self._waiting)


def open_input(address: str, limits: DecodeLimits) -> Any:
    """Open a file or address for reading, within limits.

    Raises:
        av.FFmpegError, OSError: it cannot be opened; `av.ArgumentError` where its format is none of the demuxers.
    """
    return av.open(address, options=limits.for_container(), **TAGS)


def to_rgb(decoded: Any, colour: Colour) -> Picture:
    """Convert a decoded frame to uint8 [H, W, 3], turned upright."""
    matrix = colour.matrix_of(decoded.height)
    pixels = decoded.to_ndarray(
        format="rgb24",
        src_colorspace=_SWS_MATRICES.get(matrix, 5),
        src_color_range=_FULL_RANGE if colour.full_range else 1,
        dst_color_range=_FULL_RANGE,
    )
    mirrored, turns = _read_turn(decoded)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, turns), np.uint8)


def _read_turn(decoded: Any) -> tuple[bool, int]:
    """Return how a frame is to be shown: whether mirrored left to right, and then by how many quarters to the left."""
    matrix = next((side for side in decoded.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return False, 0
    a, b, _, c, d, _, _, _, _ = struct.unpack("9i", bytes(matrix))  # (x, y) → (ax + cy, bx + dy), y downwards
    mirrored = a * d < b * c
    sign = -1 if mirrored else 1
    return mirrored, round(-math.atan2(sign * b, sign * a) / (math.pi / 2)) % 4


def read_colour(context: Any) -> Colour:
    """Read the tags of a codec context."""
    full = context.color_range == _FULL_RANGE or (context.pix_fmt or "").startswith("yuvj")
    return Colour(context.colorspace or UNSPECIFIED, context.color_primaries, context.color_trc, full)


def exact(value: Any) -> Fraction:
    """Return PyAV's fraction, of whichever class and perhaps None, as a `Fraction`; 0 where it is not set."""
    return Fraction(value.numerator, value.denominator) if value else Fraction(0)


def reason(error: Exception) -> str:
    """Return what FFmpeg says of an error, without the address, which may hold a password."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
