"""Limits on every connection, before a request is known and after it is answered; uvicorn itself sets none of them.

* A request head is short and comes soon; where there are too many connections, one that is silent makes room.
* An answer that nobody reads ends its connection, at once where all unread answers together take too much memory.
* A WebSocket carries few control frames and no endless fragments.

The classes extend uvicorn's protocols; `make_protocols` sets the server's own limits in them.
"""

import asyncio
import logging
import ssl
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from .crowd import make_room
from .limits import KIB, MIB, Limits
from .sockets import POLICY_VIOLATION
from .tls import Handshake

LOGGER = logging.getLogger(__name__)

HEAD_BYTES = 64 * KIB
HEAD_SECONDS = 10.0
UNREAD_BYTES = 96 * MIB  # answers in memory that nobody has read yet, of all connections together
PIPELINED = 16  # requests that wait behind one another on a connection
SLICE = 4 * KIB  # of a WebSocket's bytes: one turn of the event loop never parses more tiny frames than fit in it
FRAGMENTS = 1024  # of one message
CONTROL_FRAMES, CONTROL_RATE = 100.0, 10.0  # at once, and in a second

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _WriteWatch(asyncio.Protocol):
    """A connection that is cut where the other side stops reading."""

    limits: ClassVar[Limits] = Limits()
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    connections: set[Any]
    stalled_since: float | None = None
    _unsent = 0
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have every unread byte count, the last ones before the end too."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=1)  # with 0, TLS would take an empty buffer for a full one

    def pause_writing(self) -> None:
        """Note that the other side is slower than we are; watch whether it reads at all."""
        super().pause_writing()
        self.stalled_since = self.loop.time()
        self._watch()
        _cut_unread(self.connections)

    def resume_writing(self) -> None:
        """Note that the other side has caught up."""
        super().resume_writing()
        self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the watch."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if self._stall is not None and unsent >= self._unsent:
            LOGGER.debug("a connection is cut, whose answer nobody reads")
            self.transport.abort()
            return
        if self._stall is not None:
            self.stalled_since = self.loop.time()
        self._unsent = unsent
        self._stall = self.loop.call_later(self.limits.send_seconds, self._watch)

    def _unwatch(self) -> None:
        self.stalled_since = None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class Http(_WriteWatch, HttpToolsProtocol):
    """uvicorn's HTTP connection, within limits."""

    heard = 0.0  # when anything last came from the other side, or it was answered
    evicted = False
    _in_head = True
    _unframed = 0  # bytes since the last that belonged to a body or ended a head
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Await a first request; make room where too many connections are open."""
        super().connection_made(transport)
        self.heard = self.loop.time()
        self._await_head()
        make_room(self, self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrives, unless it is a head without end."""
        self.heard = self.loop.time()
        self._unframed += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._unframed > HEAD_BYTES:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._in_head or self.cycle is None or self.cycle.response_complete:  # a blank line begins no head
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; the trailers of a body are dropped."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._end_wait()
        self._in_head, self._unframed = False, 0
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a head, perhaps while an earlier request is under way."""
        self._in_head = True
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unframed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.heard = self.loop.time()
        super().on_response_complete()

    def is_idle(self) -> bool:
        """Tell whether the other side is to speak next, or to read: the server waits for it."""
        awaits = self.cycle is None or self.cycle.response_complete or self.cycle.more_body
        return awaits or self.stalled_since is not None

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end_wait(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocket(_WriteWatch, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, within limits."""

    _fragments = 0
    _allowance, _counted = CONTROL_FRAMES, 0.0

    def data_received(self, data: bytes) -> None:
        """Parse what arrives in small slices, until a limit ends the connection."""
        for start in range(0, len(data), SLICE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE])
        if not self.handshake_initiated:  # the head came whole, and was none
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to a message."""
        self._fragments = 0 if event.fin else self._fragments + 1
        if self._fragments > FRAGMENTS:
            self._cut("a message has too many fragments")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, unless there are too many, or the answers are not read."""
        if self._within_rate() and not self.transport.is_closing():
            super().handle_ping()
            if self.stalled_since is not None and self.transport.get_write_buffer_size() > HEAD_BYTES:
                self.transport.abort()

    def handle_pong(self, event: Frame) -> None:
        """Take an answer, unless there are too many."""
        if self._within_rate():
            super().handle_pong(event)

    def handle_parser_exception(self) -> None:
        """End a connection that speaks no WebSocket, perhaps not even its opening."""
        if self.conn.close_sent is None:
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def _within_rate(self) -> bool:
        now = self.loop.time()
        self._allowance = min(CONTROL_FRAMES, self._allowance + CONTROL_RATE * (now - self._counted)) - 1
        self._counted = now
        if self._allowance < 0:
            self._cut("too many control frames")
        return self._allowance >= 0

    def _cut(self, reason: str) -> None:
        if self.transport.is_closing():
            return
        self.conn.fail(POLICY_VIOLATION, reason)
        self.handle_parser_exception()


def make_protocols(
    limits: Limits, context: ssl.SSLContext | None = None
) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """Return the classes of connections for uvicorn's `http` and `ws`, with the server's limits.

    Given a `context`, that for `http` begins with the handshake of TLS.
    """
    http = type("Http", (Http,), {"limits": limits})
    websocket = type("WebSocket", (WebSocket,), {"limits": limits})
    if context is None:
        return http, websocket
    settings = {"context": context, "protocol": http, "seconds": HEAD_SECONDS}
    return type("TlsHandshake", (Handshake,), settings), websocket


def _cut_unread(connections: set[Any]) -> None:
    """Cut those that have not read for longest, until what is left unread fits in memory."""
    stalled = [one for one in connections if one.stalled_since is not None and not one.transport.is_closing()]
    stalled.sort(key=lambda one: one.stalled_since)
    unread = sum(one.transport.get_write_buffer_size() for one in stalled)
    while unread > UNREAD_BYTES and len(stalled) > 1:
        oldest = stalled.pop(0)
        unread -= oldest.transport.get_write_buffer_size()
        oldest.transport.abort()
