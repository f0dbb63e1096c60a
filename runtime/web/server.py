"""Run the application in a process: its socket, its signals, its end."""

import ipaddress
import signal
import socket
import ssl
from pathlib import Path

import uvicorn

from ..errors import UsageError
from .app import create_app
from .guard import SHORTEST_TOKEN
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


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        UsageError: the host is no loopback address and there is no token, or the token is too short to keep anyone out.
    """
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(f"the token must be {SHORTEST_TOKEN} printable ASCII characters or more; make it longer")
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, so it needs a token: add --token with a long random word, "
            "or set CYCLEGAN_TOKEN"
        )


def check_certificate(certificate: Path, key: Path | None) -> None:
    """Refuse a certificate that cannot be used for https.

    Raises:
        UsageError: the files are not PEM, or do not belong together.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"{certificate} and its key cannot be used ({error}); give two PEM files") from error


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        UsageError: the port is taken, or this is no address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen on {host} port {port}: {reason}; name another --host or --port") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: its address may change
