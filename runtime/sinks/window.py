"""A window on the screen, steered by keys; it runs in the thread that calls `run`."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import get_args

import cv2

from ..contract import plain
from ..control import Control
from ..errors import OutputError
from ..frame import Frame, Write
from .recording import Recording
from .views import Overlay, View, compose

LOGGER = logging.getLogger(__name__)

TITLE = "cyclegan"
PATIENCE = 20.0  # seconds that a display may take to answer
SPLIT_STEP = 0.05
KEYS = "q quit, space pause, v view, < > move the split, o overlay, s snapshot, r record"
_ESCAPE = "\x1b"


class Window:
    """Shows frames, and does what the keys say."""

    def __init__(self, control: Control, recording: Recording, view: View, *, overlay: bool) -> None:
        self._control, self._recording = control, recording
        self._view: View = view
        self._overlay = Overlay(control.stats)
        self._with_overlay = overlay
        self._split = 0.5
        self._last: Frame | None = None
        self._actions: dict[str, Callable[[], None]] = {
            "q": control.stop.set,
            _ESCAPE: control.stop.set,
            " ": lambda: _toggle(control.paused),
            "v": self._next_view,
            "<": lambda: self._move(-SPLIT_STEP),
            ",": lambda: self._move(-SPLIT_STEP),
            ">": lambda: self._move(SPLIT_STEP),
            ".": lambda: self._move(SPLIT_STEP),
            "o": self._toggle_overlay,
            "s": recording.snapshot.set,
            "r": lambda: _toggle(recording.wanted),
        }

    @contextmanager
    def sink(self) -> Iterator[Write]:
        """Serve the window that `open_window` opened, and close it at the end."""
        LOGGER.info("keys: %s", KEYS)
        try:
            yield self._write
        finally:
            cv2.destroyWindow(TITLE)

    def _write(self, frame: Frame) -> None:
        if self._last is None:
            cv2.resizeWindow(TITLE, frame.pixels.shape[1], frame.pixels.shape[0])
        self._last = frame
        self._show(frame)
        self.serve_keys()

    def _show(self, frame: Frame) -> None:
        picture = compose(frame, self._view, self._split)
        if self._with_overlay:
            picture = self._overlay.draw(frame, picture)
        cv2.imshow(TITLE, cv2.cvtColor(plain(picture), cv2.COLOR_RGB2BGR))

    def serve_keys(self) -> None:
        """Do what was typed since the last call; a window that was closed ends the run."""
        key = cv2.pollKey()
        action = self._actions.get(chr(key & 0xFF)) if key >= 0 else None
        if action:
            action()
            if self._last is not None:  # paused, the change would not be seen otherwise
                self._show(self._last)
        if self._last is not None and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._control.stop.set()

    def _next_view(self) -> None:
        views: tuple[View, ...] = get_args(View)
        self._view = views[(views.index(self._view) + 1) % len(views)]

    def _move(self, step: float) -> None:
        self._view = "split"
        self._split = min(1.0, max(0.0, self._split + step))

    def _toggle_overlay(self) -> None:
        self._with_overlay = not self._with_overlay


def open_window() -> None:
    """Open the window.

    Raises:
        OutputError: there is no display, or OpenCV was built without windows.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise OutputError("there is no display for a window; use -o http://127.0.0.1:8080 and open it in a browser")
    if sys.platform == "linux" and not _display_answers():
        display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
        raise OutputError(
            f"the display {display} does not answer; use -o http://127.0.0.1:8080 and open it in a browser"
        )
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    except cv2.error as error:
        raise OutputError(
            "this OpenCV opens no windows; use -o http://127.0.0.1:8080, or install opencv-python in place of "
            "opencv-python-headless"
        ) from error


def _display_answers() -> bool:
    """Whether a window can be opened: tried in another process, because Qt aborts the one in which it cannot."""
    command = [sys.executable, "-c", f"import cv2; cv2.namedWindow({TITLE!r})"]
    try:
        return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode >= 0
    except subprocess.TimeoutExpired:
        return False


def _toggle(event: Event) -> None:
    if event.is_set():
        event.clear()
    else:
        event.set()
