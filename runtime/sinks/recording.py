"""Snapshots and recordings that are asked for while frames flow."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event

from ..errors import OutputError
from ..frame import Frame, Write
from ..video import VideoFormat, has_pyav, video_sink
from ..video.parts import from_zero
from .pictures import write_picture

LOGGER = logging.getLogger(__name__)


class Recording:
    """A sink that writes nothing but what is asked for: the next frame, or all while recording, without sound."""

    def __init__(self, folder: Path, format: VideoFormat) -> None:  # noqa: A002 - the source's word for it
        # The source's sound began before the recording does, and goes on after it.
        self._folder, self._format = folder, replace(format, origin=None)
        self.snapshot = Event()
        self.wanted = Event()  # while it is set, every frame is recorded

    @contextmanager
    def sink(self) -> Iterator[Write]:
        """Serve requests until the run ends; a recording that goes on until then is finished."""
        with ExitStack() as recording:
            record: Write | None = None

            def write(frame: Frame) -> None:
                nonlocal record
                if self.snapshot.is_set():
                    self.snapshot.clear()
                    try:
                        write_picture(self._name("snapshot", "png"), frame.pixels)
                    except OutputError as error:  # no reason to end the show
                        LOGGER.error("no snapshot: %s", error)
                if self.wanted.is_set() and record is None:
                    path = self._name("recording", "mp4" if has_pyav() else "avi")
                    sink = video_sink(path, self._format.rate, like=self._format)
                    record = from_zero(recording.enter_context(sink))
                if not self.wanted.is_set() and record is not None:
                    record = None
                    recording.close()
                if record is not None:
                    record(frame)

            yield write

    def _name(self, kind: str, suffix: str) -> Path:
        path = self._folder / f"{kind}-{datetime.now():%Y%m%d-%H%M%S-%f}.{suffix}"
        LOGGER.info("%s: %s", kind, path)
        return path
