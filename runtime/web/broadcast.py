"""A camera or stream at the server: translated once, shown to everybody who watches.

The source is open, and the engine works, only while somebody watches. A viewer is sent the newest frame once the one
before has left, so a slow viewer sees fewer frames and delays nobody.

Binary messages, numbers little-endian: uint32 number, float32 engine milliseconds, uint32 length of the JPEG before
translation, that JPEG, the JPEG after.
"""

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from threading import Event, Thread

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ..control import Control
from ..errors import CycleganError, InputError
from ..frame import Frame, Write
from ..pipeline.run import run
from .camera import Shrunk, open_live
from .limits import Places
from .metrics import Metrics
from .models import Model, Models, QueuedBackend
from .pictures import encode_frame
from .sockets import INTERNAL_ERROR, close, first_of

LOGGER = logging.getLogger(__name__)

_SHOWN = struct.Struct("<IfI")
_BOUNDARY = "cyclegan-frame"
STREAM_TYPE = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"


@dataclass(frozen=True)
class Shown:
    """One frame and its translation, as JPEG."""

    number: int
    milliseconds: float  # that the engine needed
    before: bytes
    after: bytes


class Broadcast:
    """One source. Its methods are called on the event loop."""

    def __init__(self, address: str, models: Models, model: Model, longest: int, metrics: Metrics) -> None:
        """Prepare to show `address`; frames are shrunk until no side is above `longest`."""
        self._address, self._models, self._model, self._longest = address, models, model, longest
        self._metrics = metrics
        self._watchers = 0
        self._stop = Event()
        self._thread: Thread | None = None
        self._next: asyncio.Future[Shown] | None = None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Shown]]:
        """Open the source for the first viewer, close it after the last; yield the frames to iterate over."""
        self._watchers += 1
        if self._watchers == 1:
            loop = asyncio.get_running_loop()
            self._next, self._stop = loop.create_future(), Event()
            self._thread = Thread(target=self._run, args=(loop, self._stop, self._thread), name="broadcast")
            self._thread.start()
        try:
            yield self._frames()
        finally:
            self._watchers -= 1
            if self._watchers == 0:
                self._stop.set()

    def close(self) -> None:
        """Dismiss every viewer and stop the source."""
        self._stop.set()
        self._publish(None)

    def join(self) -> None:
        """Wait until the source is closed."""
        if self._thread is not None:
            self._thread.join()

    async def _frames(self) -> AsyncIterator[Shown]:
        """Yield each frame that is published while the viewer waits; raise the error that ended the source.

        Raises:
            ModelError: the engine failed.
        """
        while self._next is not None:
            # Shielded, or one viewer who leaves would cancel it for the others.
            with suppress(_ClosedError):
                yield await asyncio.shield(self._next)

    def _publish(self, shown: Shown | Exception | None) -> None:
        waiting = self._next
        if waiting is None or waiting.done():
            return
        self._next = waiting.get_loop().create_future() if isinstance(shown, Shown) else None
        if isinstance(shown, Shown):
            waiting.set_result(shown)
        else:
            waiting.set_exception(shown or _ClosedError())
            waiting.exception()  # seen, though nobody may be waiting

    def _run(self, loop: asyncio.AbstractEventLoop, stop: Event, previous: Thread | None) -> None:
        """Translate the newest frames until nobody watches; runs in a thread of its own."""
        if previous is not None:
            previous.join()  # two must not hold one camera
        translator, queued = self._models.translator(self._model)
        control = Control(stop=stop)
        end: CycleganError | None = None
        try:
            source = Shrunk(open_live(self._address, control), self._longest)
            run(source, translator, self._publishing(loop, queued), control=control)
            if not stop.is_set():
                end = InputError("the camera or stream ended")
        except CycleganError as error:
            end = error
        except Exception:  # a fault of ours must not leave the viewers waiting
            LOGGER.exception("the stream failed")
            end = InputError("the server failed on its camera or stream; its log says why")
        if end is not None:
            LOGGER.error("the stream ended: %s", end)
            loop.call_soon_threadsafe(self._publish, end)

    @contextmanager
    def _publishing(self, loop: asyncio.AbstractEventLoop, queued: QueuedBackend) -> Iterator[Write]:
        """Give the pipeline a sink that encodes both sides of each frame once, for all viewers."""
        numbers = count(1)

        def write(frame: Frame) -> None:
            assert frame.original is not None
            before, after = encode_frame(frame.original), encode_frame(frame.pixels)
            self._metrics.count("cyclegan_translated_total", source="stream")
            loop.call_soon_threadsafe(self._publish, Shown(next(numbers), queued.seconds * 1000, before, after))

        yield write


class _ClosedError(Exception):
    """The server stops."""


async def show(socket: WebSocket, broadcast: Broadcast, send_seconds: float) -> None:
    """Send a viewer both sides of every frame, until the viewer or the source ends it."""
    await socket.accept()

    async def until_left() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    async def send_frames() -> None:
        async with broadcast.watch() as frames:
            async for shown in frames:
                message = _SHOWN.pack(shown.number, shown.milliseconds, len(shown.before)) + shown.before + shown.after
                async with asyncio.timeout(send_seconds):
                    await socket.send_bytes(message)

    try:
        await first_of(until_left(), send_frames())
    except CycleganError as error:
        await close(socket, INTERNAL_ERROR, str(error))


class MotionJpeg(StreamingResponse):
    """Translated frames as MJPEG, for players and `<img>`; ends when one frame takes too long to send."""

    def __init__(self, broadcast: Broadcast, sockets: Places, send_seconds: float) -> None:
        self._parts = _parts(broadcast)
        super().__init__(self._parts, media_type=STREAM_TYPE)
        self._sockets = sockets
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one viewer, who takes a place among the sockets."""
        with self._sockets.one():
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send frames until the viewer or the source ends it."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._send_seconds):
                await send(message)

        async with aclosing(self._parts):  # here, for the loop closes what is left open in no order
            with suppress(TimeoutError, CycleganError):  # the viewer stalled, or the source ended
                await super().stream_response(send_in_time)


async def _parts(broadcast: Broadcast) -> AsyncGenerator[bytes]:
    async with broadcast.watch() as frames:
        async for shown in frames:
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(shown.after)}\r\n\r\n"
            yield head.encode() + shown.after + b"\r\n"
