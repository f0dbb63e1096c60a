"""End WebSockets: the first of several tasks, close codes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

# Close codes of RFC 6455, section 7.4.1.
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011

_LONGEST_REASON = 120  # bytes; a close frame takes 123


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run until the first of them ends, and cancel the others; a viewer who left or stalled is no error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except (WebSocketDisconnect, TimeoutError):
        return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close a socket that may be closed already."""
    if socket.application_state is WebSocketState.CONNECTED and socket.client_state is WebSocketState.CONNECTED:
        await socket.close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))
