"""Whole frames from interlaced ones: each holds two half pictures, of different times, in its even and odd rows."""

from collections.abc import Iterator
from typing import Any

import av

FILTER = "bwdif"  # Bob Weaver: w3fdif's and yadif's ways together
OPTIONS = "mode=send_frame:deint=interlaced"  # as many frames as came in; those that are whole already stay as they are


class Deinterlacer:
    """A filter of FFmpeg; it holds back a frame or two, because it looks ahead."""

    def __init__(self) -> None:
        self._graph: Any = None

    def push(self, frame: Any | None) -> Iterator[Any]:
        """Take a decoded frame, or None at the end; give those that are done."""
        if frame is not None and self._graph is None:
            self._graph = av.filter.Graph()
            self._graph.link_nodes(
                self._graph.add_buffer(
                    width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
                ),
                self._graph.add(FILTER, OPTIONS),
                self._graph.add("buffersink"),
            ).configure()
        if self._graph is None:
            return
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
