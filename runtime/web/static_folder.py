"""Serve a page that `cyclegan export --to web` wrote, with the headers that it needs; the standard library suffices."""

import signal
import socket
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import InputError
from .tls import make_context

MAX_CONNECTIONS = 128  # each has a thread

# What a page may do, and what threads need (cross-origin isolation). `index.html` holds the policy too, for hosts that
# send no headers.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
        "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class StaticHandler(SimpleHTTPRequestHandler):
    """Sends files of one folder, never a listing, always with the headers."""

    extensions_map = {  # noqa: RUF012 – as the base class has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".json": "application/json",
        ".svg": "image/svg+xml",
    }

    server_version, sys_version = "cyclegan", ""
    timeout = 30.0  # seconds without a word, before a connection is closed

    def end_headers(self) -> None:
        """Add the headers to every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        """Refuse: a folder without an index.html is no page."""
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 – the base class's name
        """Keep quiet."""


class StaticServer(ThreadingHTTPServer):
    """A server of one folder on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, folder: Path) -> None:
        super().__init__(listening.getsockname()[:2], partial(StaticHandler, directory=folder), bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self._open: dict[Any, None] = {}  # connections, the oldest first
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread; where there are too many, the oldest is cut off."""
        with self._lock:
            self._open[request] = None
            if len(self._open) > MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: strangers could fill the log with connections that speak no HTTP, or break off."""


def check_folder(folder: Path) -> None:
    """Make sure that there is a page in `folder`.

    Raises:
        InputError: there is none.
    """
    if not (folder / "index.html").is_file():
        raise InputError(f"there is no page in {folder}; make one with: cyclegan export RUN --to web")


def serve_folder(
    folder: Path, listening: socket.socket, certificate: Path | None = None, key: Path | None = None
) -> None:
    """Serve `folder` until SIGINT or SIGTERM."""
    if certificate is not None:
        context = make_context(certificate, key)
        listening = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    server = StaticServer(listening, folder)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        server.server_close()
