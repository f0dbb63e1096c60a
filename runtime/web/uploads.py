"""Receive the bodies of requests, with limits on their size and time."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from .limits import RefusedError


async def receive(request: Request, most_bytes: int, seconds: float) -> AsyncIterator[bytes]:
    """Yield the body piece by piece.

    Raises:
        RefusedError: 413 it is larger than `most_bytes`; 408 it takes longer than `seconds`.
        ClientDisconnect: the client went away.
    """
    too_large = RefusedError(413, "too_many_bytes", f"this upload is larger than {most_bytes} bytes; make it smaller")
    if declared_bytes(request) > most_bytes:
        raise too_large
    received = 0
    pieces = request.stream()
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise RefusedError(
                408,
                "too_slow",
                f"the upload took longer than {seconds:g} seconds; send less, or over a faster connection",
                {"Connection": "close"},
            ) from None
        if piece is None:
            return
        received += len(piece)
        if received > most_bytes:
            raise too_large
        yield piece


async def receive_all(request: Request, most_bytes: int, seconds: float) -> bytes:
    """Return the whole body; raises what `receive` raises."""
    return b"".join([piece async for piece in receive(request, most_bytes, seconds)])


def declared_bytes(request: Request) -> int:
    """Return the size of the body that the client declares, 0 where it declares none."""
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0
