"""TLS in front of HTTP: a handshake counts among the connections, and has a deadline, from its first byte on.

Given a certificate, uvicorn would leave handshakes to the event loop, which waits for each a minute and counts none.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any, ClassVar, cast

from .crowd import make_room


class Handshake(asyncio.Protocol):
    """A connection that becomes one of `protocol` once its handshake is done."""

    context: ClassVar[ssl.SSLContext]
    protocol: ClassVar[type[Any]]  # of uvicorn
    seconds: ClassVar[float]  # that a handshake may take

    transport: asyncio.Transport
    client: tuple[str, int] | None = None
    heard = 0.0
    evicted = False
    stalled_since = None

    def __init__(self, server_state: Any, _loop: asyncio.AbstractEventLoop | None = None, **uvicorns: Any) -> None:
        """Take what uvicorn gives to its protocols."""
        self.loop = _loop or asyncio.get_running_loop()
        self.connections: set[Any] = server_state.connections
        self._inner = self.protocol(server_state=server_state, _loop=_loop, **uvicorns)
        self._early: list[bytes] = []  # what was decrypted before the protocol could take it
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.transport.pause_reading()  # until TLS reads: what came before would be lost to it
        self.heard = self.loop.time()
        self.client = transport.get_extra_info("peername")
        self.connections.add(self)
        self._shaking = self.loop.create_task(self._shake())
        make_room(self, self.connections)

    def data_received(self, data: bytes) -> None:
        """Keep the first request, which may come with the end of the handshake."""
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection ended with its handshake."""
        self._lost = True

    def is_idle(self) -> bool:
        """Tell that it can make room: nobody has asked for anything."""
        return True

    def shutdown(self) -> None:
        """End, as the server does."""
        self.transport.abort()

    async def _shake(self) -> None:
        try:
            encrypted = await self.loop.start_tls(
                self.transport, self, self.context, server_side=True, ssl_handshake_timeout=self.seconds
            )
        except (OSError, RuntimeError):  # no TLS, too slow, gone, or the server stops
            self.transport.abort()
            return
        finally:
            self.connections.discard(self)
        if encrypted is None or self._lost:
            return
        self._inner.connection_made(encrypted)
        encrypted.set_protocol(self._inner)
        for data in self._early:
            self._inner.data_received(data)


def make_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the context of a server, TLS 1.2 and later.

    Raises:
        ssl.SSLError, OSError: the files are not PEM, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate, key)
    return context
