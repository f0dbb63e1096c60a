"""A browser's camera over one WebSocket: JPEG frames come in, translated ones go back.

One frame of each viewer is in the engine and at most one waits; a newer frame replaces the waiting one. Every frame is
answered: with its translation, or with nothing if it was replaced. So the browser knows how many frames are under way,
sends no more than the line carries, and the picture is never older than one turn of the engine.

Binary messages, numbers little-endian:  to the server  uint32 number, JPEG
                                         back           uint32 number, float32 engine milliseconds, JPEG or nothing
"""

import asyncio
import struct

from starlette.websockets import WebSocket

from ..errors import CycleganError
from ..translator import Translator
from .limits import RefusedError
from .models import QueuedBackend
from .picture_header import read_header
from .pictures import decode_frame, encode_frame
from .service import Service
from .sockets import INTERNAL_ERROR, POLICY_VIOLATION, close, first_of

_NUMBER = struct.Struct("<I")
_ANSWER = struct.Struct("<If")


class Viewer:
    """One open socket."""

    def __init__(self, socket: WebSocket, service: Service, model: str | None) -> None:
        """Join the queue of a model.

        Raises:
            RefusedError: 404, there is none of that name.
        """
        self._socket = socket
        self._service = service
        self._translator, self._queued = service.models.translator(service.models.find(model))
        self._waiting: tuple[int, bytes] | None = None
        self._arrived = asyncio.Event()

    async def serve(self) -> None:
        """Answer frames until the viewer leaves or a frame is refused."""
        await self._socket.accept()
        try:
            await first_of(self._receive(), self._translate())
        except RefusedError as refusal:
            self._service.metrics.count("cyclegan_refused_total", reason=refusal.reason)
            await close(self._socket, POLICY_VIOLATION, refusal.detail)
        except CycleganError as error:
            await close(self._socket, INTERNAL_ERROR, str(error))

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes") or b""
            if len(data) <= _NUMBER.size:
                raise RefusedError(422, "bad_frame", "a frame is a binary message: its number, then a JPEG picture")
            older, self._waiting = self._waiting, (_NUMBER.unpack_from(data)[0], data[_NUMBER.size :])
            self._arrived.set()
            if older is not None:
                self._service.metrics.count("cyclegan_passed_over_total")
                await self._answer(older[0], 0.0, b"")

    async def _translate(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            assert self._waiting
            (number, data), self._waiting = self._waiting, None
            header = read_header(data)
            translated = await self._service.in_thread(
                header.working_bytes if header else 0,
                translate_frame,
                data,
                self._translator,
                self._queued,
                self._service,
            )
            self._service.metrics.count("cyclegan_translated_total", source="camera")
            await self._answer(number, self._queued.seconds * 1000, translated)

    async def _answer(self, number: int, milliseconds: float, jpeg: bytes) -> None:
        async with asyncio.timeout(self._service.limits.send_seconds):
            await self._socket.send_bytes(_ANSWER.pack(number, milliseconds) + jpeg)


def translate_frame(data: bytes, translator: Translator, queued: QueuedBackend, service: Service) -> bytes:
    """Translate one JPEG frame, in a thread that may wait for the engine.

    Raises:
        RefusedError: it is no picture, damaged, or larger than the engine takes.
        ModelError: the engine failed.
    """
    picture = decode_frame(data, service.limits.engine_pixels)
    return encode_frame(translator(picture))
