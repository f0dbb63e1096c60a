"""Where a server listens, who may reach it there, and with which certificate."""

import ipaddress
import socket
import ssl
from pathlib import Path

from ..errors import UsageError

SHORTEST_TOKEN = 16


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
