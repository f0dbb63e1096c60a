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
from ..errors import InputError, StreamError
from ..frame import Frame, LostFramesError
from .clock import Clock, exact
from .decode_limits import OF_FILES, DecodeLimits
from .deinterlace import Deinterlacer
from .format import BT601, BT709, BT2020, HLG, PQ, UNSPECIFIED, Colour, VideoFormat

LOGGER = logging.getLogger(__name__)

FALLBACK_RATE = Fraction(25)
# For `av.open`: titles that are not UTF-8 come through byte for byte, as from PyAV 19 on they do by themselves.
TAGS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
# H.273's numbers → libswscale's; all that it does not know is close to BT.601.
_SWS_MATRICES = {BT709: 1, 4: 4, BT601: 5, 7: 7, BT2020: 9, 10: 9}
_FULL_RANGE = 2  # of FFmpeg's colour ranges; limited is 1
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_PREDICTED = frozenset({"h264", "hevc"})  # whose decoders pass in silence over frames that refer to one that is lost


class PyAvVideo:
    """The frames of a video file or address, upright, uint8 [H, W, 3] in RGB order, or 4 with alpha."""

    live = False

    def __init__(self, address: str, name: Path, limits: DecodeLimits = OF_FILES, *, deinterlace: bool = False) -> None:
        """Open it, read its header and decode its first frame.

        Args:
            address: a file or an address of the network.
            name: what it is called in messages, without a password.
            limits: what may be opened and decoded, and how long a read may take.
            deinterlace: make whole frames of those that hold two half pictures.

        Raises:
            InputError: FFmpeg cannot open it, or it holds no video.
        """
        self.name = name
        self._timeout = limits.timeout
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
        context = stream.codec_context
        rate = read_rate(stream)
        if rate is None:
            LOGGER.warning("%s does not say its frame rate; %g frames a second are taken", name, FALLBACK_RATE)
            rate = FALLBACK_RATE
        self._colour = read_colour(context)
        self.total: int | None = stream.frames or self._estimate(rate)
        self._clock = Clock(self._container, str(name))
        self._reached = Fraction(0)  # where the last packet of any stream ends, in seconds
        self._ledger = _Ledger(context.name in _PREDICTED)
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self._alpha, self._decoder = self._find_alpha(limits)
        self._tell_what_is_lost(context)
        if self._colour.transfer in (PQ, HLG):
            LOGGER.warning("%s is of high dynamic range, which models do not know: colours may look dull", name)
        self._items = self._decode(rate)
        # What a frame says of itself, such as how it is turned, must be known before the first is written.
        self._ahead: list[Frame | InputError] = []
        self._turned = self._interlaced = False
        for item in self._items:
            self._ahead.append(item)
            if isinstance(item, Frame):
                break
        aspect = exact(context.sample_aspect_ratio) or Fraction(1)
        self.format = VideoFormat(
            rate=rate,
            time_base=exact(stream.time_base),
            base_rate=exact(stream.base_rate) or None,
            colour=self._colour,
            pixel_aspect=1 / aspect if self._turned else aspect,
            origin=address,
            limits=limits,
        )

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Decode once, to the end.

        Raises:
            InputError: there is not one frame.
            StreamError: nothing came for the time that a read may take.
        """
        last: Frame | None = None
        try:
            while self._ahead:
                item = self._ahead.pop(0)
                last = item if isinstance(item, Frame) else last
                yield item
            for item in self._items:
                last = item if isinstance(item, Frame) else last
                yield item
            if last is None:
                raise InputError(f"{self.name} holds no frame that can be decoded")
            lost = self._lost(last)
        finally:
            self._container.close()
        if lost:
            yield LostFramesError(f"{self.name} holds {lost} frames more that cannot be decoded or are cut off", lost)

    def _decode(self, rate: Fraction) -> Iterator[Frame | InputError]:
        """Decode packet by packet: one that is damaged costs its own frame only."""
        packets = self._container.demux()
        number = 0
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                if self._timeout is not None and isinstance(error, av.error.ExitError | av.error.TimeoutError):
                    silence = f"{self.name} gave no frame for {self._timeout:g} s"
                    raise StreamError(silence, "timeout") from None
                self._ledger.errors += 1
                yield InputError(f"{self.name} cannot be read further: {reason(error)}")
                return
            if packet is None:
                break
            if packet.pts is not None:
                self._reached = max(self._reached, (packet.pts + (packet.duration or 0)) * exact(packet.time_base))
            self._clock.set(packet)
            if packet.stream_index != self._stream.index:
                continue
            self._ledger.send(packet)
            try:
                decoded = self._decoder.decode(packet)  # the packet's own stream may have lost its codec
            except av.EOFError:  # flushed before
                continue
            except av.FFmpegError as error:
                self._ledger.errors += 1
                large = f", or larger than {self._max_pixels} pixels" if isinstance(error, av.ArgumentError) else ""
                yield InputError(f"{self.name}: a frame cannot be decoded ({reason(error)}{large})")
                continue
            for frame in decoded:
                self._ledger.receive(frame)
                for whole in self._deinterlaced(frame):
                    yield self._frame(whole, number, rate)
                    number += 1
        for whole in self._deinterlaced(None):
            yield self._frame(whole, number, rate)
            number += 1

    def _deinterlaced(self, frame: Any | None) -> Iterator[Any]:
        """Give a frame as it is, or what the deinterlacer makes of it; None: what it still holds."""
        if frame is not None and frame.interlaced_frame and not self._interlaced:
            self._interlaced = True
            if self._deinterlacer is None:
                LOGGER.warning(
                    "%s is interlaced: each frame holds two half pictures, which are translated as one; "
                    "deinterlacing makes whole frames of them",
                    self.name,
                )
        if self._deinterlacer is not None:
            yield from self._deinterlacer.push(frame)
        elif frame is not None:
            yield frame

    def _frame(self, decoded: Any, number: int, rate: Fraction) -> Frame:
        base = exact(decoded.time_base) or exact(self._stream.time_base) or 1 / rate
        time = decoded.pts * base if decoded.pts is not None else number / rate
        pixels, self._turned = to_rgb(decoded, self._colour, alpha=self._alpha)
        return Frame(
            pixels, self.name, time=Fraction(time), duration=decoded.duration * base if decoded.duration else None
        )

    def _find_alpha(self, limits: DecodeLimits) -> tuple[bool, Any]:
        """Return whether there is alpha, and what decodes it: FFmpeg's own VP8 and VP9 decoders pass it by."""
        context = self._stream.codec_context
        if context.format and any(part.is_alpha for part in context.format.components):
            return True, self._stream
        name = _ALPHA_DECODERS.get(context.name)
        if name is None or limits.decoders is not None or _tag(self._stream, "alpha_mode") != "1":
            return False, self._stream
        decoder = av.CodecContext.create(name, "r")
        decoder.options = limits.for_decoder()
        return True, decoder

    def _tell_what_is_lost(self, context: Any) -> None:
        """Say in one line what of the pixels does not come through."""
        bits = max((part.bits for part in context.format.components), default=8) if context.format else 8
        if bits > 8:
            LOGGER.warning("%s has %d bits a channel; 8 are translated and written", self.name, bits)

    def _estimate(self, rate: Fraction) -> int | None:
        length = self._container.duration
        return round(Fraction(length, av.time_base) * rate) if length else None

    def _lost(self, last: Frame) -> int:
        """Return how many frames there should have been beside those that came and the errors."""
        ledger = self._ledger
        if self._container.format.name == "avi" and self._stream.frames:
            return max(0, int(self._stream.frames) - self._repeated() - ledger.frames - ledger.errors)
        inside, after = ledger.passed_over()
        return max(0, inside + max(after, self._missing_after(last)) - ledger.errors)

    def _repeated(self) -> int:
        """Return how many chunks of an AVI are empty: they repeat the frame before, and nothing is lost there."""
        entries = list(self._stream.index_entries)
        return int(entries[-1].timestamp) + 1 - len(entries) if entries else 0

    def _missing_after(self, last: Frame) -> int:
        """Return how many frames the header promises after the last one; 0 where it makes no sure promise."""
        if self._clock.breaks:  # its length is the difference of two time stamps, whatever lies between them
            return 0
        if self._stream.duration and last.time is not None:
            base = exact(self._stream.time_base)
            promised: Fraction = ((self._stream.start_time or 0) + self._stream.duration) * base
            reached = last.time - self._clock.start + (last.duration or 1 / self.format.rate)
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
    return av.open(address, options=limits.for_container(), timeout=limits.timeout, **TAGS)


def _tag(stream: Any, name: str) -> str | None:
    return next((value for key, value in stream.metadata.items() if key.lower() == name), None)


def to_rgb(decoded: Any, colour: Colour, *, alpha: bool = False) -> tuple[Picture, bool]:
    """Convert a decoded frame to uint8 [H, W, 3], or 4 with alpha, turned upright.

    Returns:
        the pixels, and whether turning exchanged their sides.
    """
    matrix = colour.matrix_of(decoded.height)
    pixels = decoded.to_ndarray(
        format="rgba" if alpha else "rgb24",
        src_colorspace=_SWS_MATRICES.get(matrix, 5),
        src_color_range=_FULL_RANGE if colour.full_range else 1,
        dst_color_range=_FULL_RANGE,
    )
    mirrored, turns = _read_turn(decoded)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, turns), np.uint8), turns % 2 == 1


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


def read_rate(stream: Any) -> Fraction | None:
    """Return the nominal frames a second of a stream; None where it does not say them."""
    rate = exact(stream.average_rate) or exact(stream.guessed_rate)
    return rate if 0 < rate < 1000 else None


def reason(error: Exception) -> str:
    """Return what FFmpeg says of an error, without the address, which may hold a password."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
