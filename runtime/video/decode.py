"""Videos through PyAV: every frame with its time stamp, upright, in the colours that its tags say."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import InputError, StreamError
from ..frame import Frame, LostFramesError
from .clock import Clock, exact
from .decode_limits import OF_FILES, DecodeLimits
from .deinterlace import Deinterlacer
from .format import HLG, PQ, VideoFormat
from .ledger import Ledger
from .rgb import read_bits, read_colour, to_rgb

LOGGER = logging.getLogger(__name__)

FALLBACK_RATE = Fraction(25)
# For `av.open`: titles that are not UTF-8 come through byte for byte, as from PyAV 19 on they do by themselves.
TAGS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class PyAvVideo:
    """The frames of a video file or address: upright, in RGB order, with alpha as a fourth channel where they have it.

    They are uint8 [H, W, C], or uint16 where a channel has more than 8 bits.
    """

    live = False

    def __init__(self, address: str, name: str, limits: DecodeLimits = OF_FILES, *, deinterlace: bool = False) -> None:
        """Open it, read its header and decode its first frame.

        Args:
            address: a file or an address of the network.
            name: what it is called in messages, without a password.
            limits: what may be opened and decoded, and how long a read may take.
            deinterlace: make whole frames of those that hold two half pictures.

        Raises:
            InputError: FFmpeg cannot open it, or it holds no video.
        """
        self.name, self._limits = name, limits
        self._container, self._stream = _open_video(address, name, limits)
        context = self._stream.codec_context
        rate = read_rate(self._stream)
        if rate is None:
            LOGGER.warning("%s does not say its frame rate; %g frames a second are taken", name, FALLBACK_RATE)
        self._rate = rate or FALLBACK_RATE
        self.total: int | None = self._stream.frames or self._estimate()
        self._clock = Clock(self._container, name)
        self._ledger = Ledger(self._container, self._stream, self._clock)
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self._turned = self._interlaced = False
        self._colour, self._bits = read_colour(context), read_bits(context)
        self._alpha, self._decoder = _find_alpha(self._stream, limits)
        if self._colour.transfer in (PQ, HLG):
            LOGGER.warning("%s is of high dynamic range, which models do not know: colours may look dull", name)
        self._items = self._decode()
        self._ahead = self._read_ahead()
        aspect = exact(self._stream.sample_aspect_ratio) or Fraction(1)
        self.format = VideoFormat(
            rate=self._rate,
            time_base=exact(self._stream.time_base),
            base_rate=exact(self._stream.base_rate) or None,
            colour=self._colour,
            bits=self._bits,
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
            lost = self._ledger.lost(last, self._rate)
        finally:
            self._container.close()
        if lost:
            yield LostFramesError(f"{self.name} holds {lost} frames more that cannot be decoded or are cut off", lost)

    def _read_ahead(self) -> list[Frame | InputError]:
        """Decode the first frame: what it says of itself, such as how it is turned, is known before one is written."""
        ahead = []
        for item in self._items:
            ahead.append(item)
            if isinstance(item, Frame):
                break
        return ahead

    def _decode(self) -> Iterator[Frame | InputError]:
        """Give the frames, and in place of each that is damaged an error."""
        number = 0
        for packet in self._packets():
            if isinstance(packet, InputError):
                yield packet
                break
            self._ledger.send(packet)
            try:
                decoded = self._decoder.decode(packet)  # the packet's own stream may have lost its codec
            except av.EOFError:  # flushed before
                continue
            except av.FFmpegError as error:
                self._ledger.errors += 1
                large = f", or larger than {self._limits.max_pixels} pixels"
                why = reason(error) + (large if isinstance(error, av.ArgumentError) else "")
                yield InputError(f"{self.name}: a frame cannot be decoded ({why})")
                continue
            for frame in decoded:
                self._ledger.receive(frame)
                for whole in self._deinterlaced(frame):
                    yield self._frame(whole, number)
                    number += 1
        for whole in self._deinterlaced(None):
            yield self._frame(whole, number)
            number += 1

    def _packets(self) -> Iterator[Any]:
        """Give the packets of the video on the one clock, and last the error that ends them early, if one does.

        Raises:
            StreamError: nothing came for the time that a read may take.
        """
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                timeout = self._limits.timeout
                if timeout is not None and isinstance(error, av.error.ExitError | av.error.TimeoutError):
                    raise StreamError(f"{self.name} gave no frame for {timeout:g} s", "timeout") from None
                self._ledger.errors += 1
                yield InputError(f"{self.name} cannot be read further: {reason(error)}")
                return
            if packet is None:
                return
            self._ledger.read(packet)
            self._clock.set(packet)
            if packet.stream_index == self._stream.index:
                yield packet

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

    def _frame(self, decoded: Any, number: int) -> Frame:
        base = exact(decoded.time_base) or exact(self._stream.time_base) or 1 / self._rate
        time = decoded.pts * base if decoded.pts is not None else number / self._rate
        duration = decoded.duration * base if decoded.duration else None
        pixels, self._turned = to_rgb(decoded, self._colour, alpha=self._alpha, deep=self._bits > 8)
        return Frame(pixels, Path(self.name), time=Fraction(time), duration=duration)

    def _estimate(self) -> int | None:
        length = self._container.duration
        return round(Fraction(length, av.time_base) * self._rate) if length else None


def _open_video(address: str, name: str, limits: DecodeLimits) -> tuple[Any, Any]:
    """Open a file or address; return the container and its best video stream, ready to be decoded.

    Raises:
        InputError: FFmpeg cannot open it, or it holds no video.
    """
    try:
        container = open_input(address, limits)
    except av.ArgumentError as error:
        raise InputError(
            f"{name} is no video of a kind that is read here; a list of other files, such as a playlist, never is"
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{name} is damaged or no video that FFmpeg can read ({reason(error)})") from error
    stream: Any = container.streams.best("video")
    if stream is None:
        raise InputError(f"{name} holds no video; name another file")
    if stream.codec_context is None:
        raise InputError(f"{name} is coded in a way that is not known here; convert it to H.264 first")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"flags": "+output_corrupt", **limits.for_decoder()}  # what can be seen is kept
    return container, stream


def _find_alpha(stream: Any, limits: DecodeLimits) -> tuple[bool, Any]:
    """Return whether there is alpha, and what decodes it: FFmpeg's own VP8 and VP9 decoders pass it by."""
    context = stream.codec_context
    if context.format and any(part.is_alpha for part in context.format.components):
        return True, stream
    decoder_name = _ALPHA_DECODERS.get(context.name)
    mode = next((value for key, value in stream.metadata.items() if key.lower() == "alpha_mode"), None)
    if decoder_name is None or limits.decoders is not None or mode != "1":
        return False, stream
    decoder = av.CodecContext.create(decoder_name, "r")
    decoder.options = limits.for_decoder()
    return True, decoder


def open_input(address: str, limits: DecodeLimits) -> Any:
    """Open a file or address for reading, within limits.

    Raises:
        av.FFmpegError, OSError: it cannot be opened; `av.ArgumentError` where its format is none of the demuxers.
    """
    return av.open(address, options=limits.for_container(), timeout=limits.timeout, **TAGS)


def read_rate(stream: Any) -> Fraction | None:
    """Return the nominal frames a second of a stream; None where it does not say them."""
    rate = exact(stream.average_rate) or exact(stream.guessed_rate)
    return rate if 0 < rate < 1000 else None


def reason(error: Exception) -> str:
    """Return what FFmpeg says of an error, without the address, which may hold a password."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
