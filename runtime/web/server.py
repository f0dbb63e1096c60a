"""Run the application in a process: its socket, its signals, its end."""

import signal
import socket
from pathlib import Path

import uvicorn

from .app import create_app
from .service import Service

_GRACE = 5  # seconds that requests under way may still take when the server stops
_MOST_CONNECTIONS = 512  # above, uvicorn answers 503


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
    config = uvicorn.Config(
        create_app(service, token),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws_max_size=service.limits.frame_bytes,
        ws_per_message_deflate=False,  # JPEG does not shrink, and a bomb would grow
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    return Server(config, service)


def serve(server: Server, listening: socket.socket) -> None:
    """Run until SIGINT or SIGTERM, then finish what is under way."""
    stops = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # uvicorn sets its own handlers, and raises the signal once more when it is done: then ours passes it by.
        server.run(sockets=[listening])
    finally:
        for number, handler in stops.items():
            signal.signal(number, handler)
