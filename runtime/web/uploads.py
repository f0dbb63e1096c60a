"""Receive the bodies of requests, with limits on their size, their time, their rate, and the memory of all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from .limits import Limits, RefusedError
from .pace import Pace

PATIENCE = 10.0  # seconds before the rate of an upload counts


@dataclass(eq=False)
class _Upload:
    timer: asyncio.Timeout
    started: float = field(default_factory=lambda: _now())
    received: int = 0
    complete: bool = False
    evicted: bool = False

    def rate(self) -> float:
        return self.received / max(_now() - self.started, 0.001)


class Uploads:
    """The bodies that are being received."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._in_memory: set[_Upload] = set()

    @property
    def in_memory(self) -> int:
        """Bytes of the bodies in memory, of those that are being received and those that are worked on."""
        return sum(upload.received for upload in self._in_memory if not upload.evicted)

    async def receive(self, request: Request, most_bytes: int) -> AsyncIterator[bytes]:
        """Yield the body piece by piece.

        Raises:
            RefusedError: 413 it is larger than `most_bytes`; 408 it comes too slowly.
            ClientDisconnect: the client went away.
        """
        _check_declared(request, most_bytes)
        pace, received = self._pace(), 0
        pieces = request.stream()
        while True:
            try:
                async with asyncio.timeout_at(pace.deadline):
                    piece = await anext(pieces, None)
            except TimeoutError:
                raise self._too_slow() from None
            if piece is None:
                return
            received += len(piece)
            if received > most_bytes:
                raise _too_large(most_bytes)
            pace.advance(len(piece))
            yield piece

    @asynccontextmanager
    async def whole(self, request: Request, most_bytes: int) -> AsyncIterator[bytes]:
        """Yield the whole body, whose memory counts until the block ends; above the limit the slowest is refused.

        Raises:
            RefusedError: 413 it is larger than `most_bytes`; 408 it comes too slowly; 429 the memory is in use.
            ClientDisconnect: the client went away.
        """
        _check_declared(request, most_bytes)
        body = bytearray()
        pace = self._pace()
        timer = asyncio.timeout_at(pace.deadline)
        upload = _Upload(timer)
        self._in_memory.add(upload)
        try:
            try:
                async with timer:
                    async for piece in request.stream():
                        body += piece
                        upload.received += len(piece)
                        if upload.received > most_bytes:
                            raise _too_large(most_bytes)
                        self._make_room(upload)
                        pace.advance(len(piece))
                        timer.reschedule(pace.deadline)
            except TimeoutError:
                raise (self._full() if upload.evicted else self._too_slow()) from None
            upload.complete = True
            data = bytes(body)
            body.clear()
            yield data
        finally:
            self._in_memory.discard(upload)

    def _make_room(self, newest: _Upload) -> None:
        """Refuse the slowest of those that are coming in, perhaps the newest, until the others fit in memory."""
        while self.in_memory > self._limits.upload_memory:
            coming = [upload for upload in self._in_memory if not upload.complete and not upload.evicted]
            slowest = min(coming, key=_Upload.rate, default=newest)
            slowest.evicted = True
            if slowest is newest:
                break
            if not slowest.timer.expired():
                slowest.timer.reschedule(_now())
        if newest.evicted:
            raise self._full()

    def _pace(self) -> Pace:
        return Pace(self._limits.upload_rate, PATIENCE, self._limits.upload_seconds)

    def _full(self) -> RefusedError:
        return RefusedError(
            429,
            "busy",
            "the server is receiving as many pictures as fit in its memory; try again soon",
            {"Retry-After": "2", "Connection": "close"},
        )

    def _too_slow(self) -> RefusedError:
        rate, seconds = self._limits.upload_rate, self._limits.upload_seconds
        return RefusedError(
            408,
            "too_slow",
            f"the upload is slower than {rate} bytes a second, or took longer than {seconds:g} seconds; send less, or "
            "over a faster connection",
            {"Connection": "close"},
        )


def declared_bytes(request: Request) -> int:
    """Return the size of the body that the client declares, 0 where it declares none."""
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdecimal() and len(declared) < 19 else 0


def _now() -> float:
    return asyncio.get_running_loop().time()


def _check_declared(request: Request, most_bytes: int) -> None:
    if declared_bytes(request) > most_bytes:
        raise _too_large(most_bytes)


def _too_large(most_bytes: int) -> RefusedError:
    return RefusedError(413, "too_many_bytes", f"this upload is larger than {most_bytes} bytes; make it smaller")
