"""Run the application in a process: its socket, its signals, its end."""

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from .answers import UnreadError
from .app import create_app
from .connections import make_protocols
from .service import Service
from .tls import make_context

_GRACE = 5  # seconds that requests under way may still take when the server stops
_DESCRIPTORS = 4096  # that the process may have open, where the system lets it
_REPEATED_AFTER = 10.0  # seconds before a log line is written again


class Server(uvicorn.Server):
    """uvicorn, which also ends the streams that would never end on their own."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Dismiss the viewers of the stream, then stop as uvicorn does."""
        if self._service.broadcast is not None:
            self._service.broadcast.close()
        await super().shutdown(sockets)


def make_server(
    service: Service, token: str | None = None, certificate: Path | None = None, key: Path | None = None
) -> Server:
    """Return a server that is not running yet."""
    context = make_context(certificate, key) if certificate else None
    http, websocket = make_protocols(service.limits, context)
    config = uvicorn.Config(
        create_app(service, token),
        http=http,
        ws=websocket,
        loop="asyncio" if context else "auto",  # uvloop cannot begin TLS on a connection that is not read yet
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws_max_size=service.limits.frame_bytes,
        ws_per_message_deflate=False,  # JPEG does not shrink, and a bomb would grow
        timeout_graceful_shutdown=_GRACE,
    )
    return Server(config, service)


def serve(server: Server, listening: socket.socket) -> None:
    """Run until SIGINT or SIGTERM, then finish what is under way."""
    _raise_descriptor_limit()
    for name in ("uvicorn.error", f"{__package__}.crowd"):
        logging.getLogger(name).addFilter(_QuietLog())
    stops = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # uvicorn sets its own handlers, and raises the signal once more when it is done: then ours passes it by.
        server.run(sockets=[listening])
    finally:
        for number, handler in stops.items():
            signal.signal(number, handler)


class _QuietLog(logging.Filter):
    """Drop what strangers could fill the log with: repeated lines, and tracebacks of requests that were cut off."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written."""
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError | UnreadError):
            return False  # the server stops, or the reader is gone
        if record.exc_info or record.levelno < logging.WARNING:
            return True
        last = self._written.get(record.msg)
        if last is not None and record.created - last < _REPEATED_AFTER:
            return False
        self._written[record.msg] = record.created
        return True


def _raise_descriptor_limit() -> None:
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
