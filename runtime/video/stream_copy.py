"""Sound and subtitles, copied from one video to another packet by packet, without decoding them."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from .decode import exact, open_input, reason
from .decode_limits import DecodeLimits

LOGGER = logging.getLogger(__name__)


class StreamCopy:
    """The sound and subtitle streams of a video file, on their way into a container that is being written."""

    def __init__(self, origin: str, limits: DecodeLimits, container: Any) -> None:
        """Add a stream to `container` for each; those that its format cannot hold are told and left out."""
        self._container = container
        self._input = open_input(origin, limits)
        self._copies: dict[int, Any] = {}
        for stream in self._input.streams:
            if stream.type in ("audio", "subtitle"):
                self._add(stream)
        self._packets = self._demux()
        self._next = next(self._packets, None)

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what starts before `time`, in seconds; everything that is left where it is None.

        Raises:
            av.FFmpegError, OSError: the container cannot be written.
        """
        while self._next is not None and (time is None or self._next.dts * exact(self._next.time_base) < time):
            packet = self._next
            packet.stream = self._copies[packet.stream.index]
            self._container.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the file that they come from."""
        self._input.close()

    def _add(self, stream: Any) -> None:
        name = stream.codec_context.name if stream.codec_context else "unknown"
        try:
            if name not in self._container.supported_codecs:
                raise ValueError
            self._copies[stream.index] = self._container.add_stream_from_template(stream)
        except (av.FFmpegError, ValueError):
            holder = self._container.format.name
            LOGGER.warning("%s %s does not go into %s and is left out; name the output .mkv", name, stream.type, holder)
            return
        for key in ("language", "title"):
            if key in stream.metadata:
                self._copies[stream.index].metadata[key] = stream.metadata[key]
        self._copies[stream.index].disposition = stream.disposition

    def _demux(self) -> Iterator[Any]:
        streams = [self._input.streams[index] for index in self._copies]
        if not streams:
            return
        try:
            yield from (packet for packet in self._input.demux(*streams) if packet.dts is not None)
        except av.FFmpegError as error:  # where a file is cut short, its sound is too
            LOGGER.warning("the sound ends early: %s", reason(error))
