"""Streams from the network: RTSP, RTMP, HTTP and the like; live ones are kept alive, videos are read to their end."""

import logging
import re
from collections.abc import Callable, Generator
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np

from ..contract import Picture
from ..errors import StreamError, StreamFailure, UsageError
from ..video.format import VideoSource
from .address import without_credentials
from .live import LiveSource

LOGGER = logging.getLogger(__name__)

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "srt", "tcp")
OPEN_TIMEOUT, READ_TIMEOUT = 10.0, 10.0  # seconds
# Low latency: nothing is buffered beyond what decoding needs.
_OPTIONS = {"fflags": "nobuffer", "flags": "low_delay"}
_RTSP = ("rtsp", "rtsps")
_TRANSPORTS = ("tcp", "udp")  # of RTSP, in the order that they are tried; over UDP lost packets smear
_TRANSPORT = re.compile(r"([?&])transport=(\w+)(&|$)")
# PyAV's errors, by the names of their classes → what they mean.
_KINDS: dict[str, StreamFailure] = {
    "HTTPUnauthorizedError": "unauthorised",
    "HTTPForbiddenError": "unauthorised",
    "HTTPNotFoundError": "not found",
    "DemuxerNotFoundError": "unsupported",
    "DecoderNotFoundError": "unsupported",
    "ProtocolNotFoundError": "unsupported",
    "InvalidDataError": "unsupported",
    "TimeoutError": "timeout",
    "ExitError": "timeout",
}
_REMEDIES: dict[StreamFailure, str] = {
    "unauthorised": "check the user and password in the address",
    "not found": "check the address",
    "unsupported": "it is no video that can be decoded here",
    "timeout": "it did not answer in time",
    "unreachable": "check the address and the network",
}


def open_stream(address: str, stop: Event) -> VideoSource:
    """Make the source for an address: a video, if it says its length, or a live stream.

    Raises:
        StreamError: it cannot be opened.
    """
    name = without_credentials(address)
    if find_spec("av") is not None:
        address, transports = _split_transport(address, name)
        return _open_with_pyav(address, name, stop, transports)
    return _open_with_opencv(address, name, stop)


def _split_transport(address: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Return an address without `?transport=…`, which is ours, and the transports to try; none where it is no RTSP.

    Raises:
        UsageError: there is no such transport.
    """
    if address.partition("://")[0].lower() not in _RTSP:
        return address, ()
    match = _TRANSPORT.search(address)
    if match is None:
        return address, _TRANSPORTS
    if match[2] not in _TRANSPORTS:
        raise UsageError(f"{name} has no transport {match[2]!r}; use tcp or udp")
    rest = match[1] if match[3] else ""
    return address[: match.start()] + rest + address[match.end() :], (match[2],)


def _open_with_pyav(address: str, name: str, stop: Event, transports: tuple[str, ...]) -> VideoSource:
    import av

    from ..video.decode import TAGS, PyAvVideo, read_rate
    from ..video.decode_limits import OF_STREAMS

    def connect(options: dict[str, str]) -> "av.container.InputContainer":
        try:
            timeouts = OPEN_TIMEOUT, READ_TIMEOUT
            within = OF_STREAMS.for_container() | options
            container: av.container.InputContainer = av.open(address, options=within, timeout=timeouts, **TAGS)
            return container
        except (av.FFmpegError, OSError) as error:
            raise _failure(name, error) from None  # its text holds the address, and that a password

    container, chosen = _first_that_answers(connect, transports, name)
    with container:
        finite = bool(container.duration)
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise StreamError(f"{name} holds no video that can be decoded here", "unsupported")
        rate, sound = read_rate(stream), bool(container.streams.audio)
    if finite:
        limits = replace(OF_STREAMS, timeout=READ_TIMEOUT, transport=chosen.get("rtsp_transport"))
        return PyAvVideo(address, name, limits)
    if sound:
        LOGGER.warning("%s has sound, which recordings of live sources do not keep", name)

    def pictures() -> Generator[Picture]:
        with connect(_OPTIONS | chosen) as container:
            yield from _live_pictures(container, name)

    return LiveSource(name, pictures, stop, rate=rate or Fraction(30))


def _live_pictures(container: Any, name: str) -> Generator[Picture]:
    """Give the pictures of an open stream as they come.

    Raises:
        StreamError: it holds no video, or broke off.
    """
    import av

    from ..video.decode_limits import OF_STREAMS
    from ..video.rgb import read_colour, to_rgb

    stream: Any = container.streams.best("video")
    if stream is None or stream.codec_context is None:
        raise StreamError(f"{name} holds no video that can be decoded here", "unsupported")
    stream.codec_context.options = OF_STREAMS.for_decoder()
    colour = read_colour(stream.codec_context)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            raise _failure(name, error, opened=True) from None
        if packet is None:
            return
        try:
            decoded = stream.decode(packet)
        except av.FFmpegError:  # damaged on its way; the next key frame heals it
            continue
        for frame in decoded:
            yield to_rgb(frame, colour)[0]


def _first_that_answers(
    connect: Callable[[dict[str, str]], Any], transports: tuple[str, ...], name: str
) -> tuple[Any, dict[str, str]]:
    """Open a stream over the first transport that it answers; return the options that name it.

    Raises:
        StreamError: it answers none.
    """
    for transport in transports[:-1]:
        chosen = {"rtsp_transport": transport}
        try:
            return connect(chosen), chosen
        except StreamError as error:
            if not error.passing:  # another way leads to the same answer
                raise
            LOGGER.info("%s does not answer over %s; trying %s", name, transport, transports[-1])
    chosen = {"rtsp_transport": transports[-1]} if transports else {}
    return connect(chosen), chosen


def _open_with_opencv(address: str, name: str, stop: Event) -> VideoSource:
    from ..video.opencv import OpenCvVideo, read_fps

    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(1000 * OPEN_TIMEOUT),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int(1000 * READ_TIMEOUT),
    ]

    def connect() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            raise StreamError(f"{name} cannot be opened; {_REMEDIES['unreachable']}", "unreachable")
        return capture

    capture = connect()
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return OpenCvVideo(Path(name), capture)
    rate = read_fps(capture) or Fraction(30)
    capture.release()

    def pictures() -> Generator[Picture]:
        capture = connect()
        try:
            while (decoded := capture.read())[0]:
                yield np.asarray(cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB), dtype=np.uint8)
        finally:
            capture.release()

    return LiveSource(name, pictures, stop, rate=rate)


def _failure(name: str, error: Exception, *, opened: bool = False) -> StreamError:
    """Say in our words what an error of PyAV means."""
    kind = _KINDS.get(type(error).__name__, "unreachable")
    if opened:  # it was a stream once, and may be again
        return StreamError(f"{name} broke off", "timeout" if kind == "timeout" else "failed")
    return StreamError(f"{name} cannot be opened; {_REMEDIES[kind]}", kind)
