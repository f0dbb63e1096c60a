"""Where a server listens, who may reach it there, and with which certificate."""

import ipaddress
import socket
from itertools import pairwise
from pathlib import Path

from ..errors import UsageError
from .tls import make_context

SHORTEST_TOKEN = 16
FEWEST_CHARACTERS = 8  # different ones in a token


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        UsageError: the host is no loopback address and there is no token, or the token is too short to keep anyone out.
    """
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(f"the token must be {SHORTEST_TOKEN} printable ASCII characters or more; make it longer")
    if token is not None and _is_weak(token):
        raise UsageError("the token is easy to guess; make a random one, for example with: openssl rand -base64 24")
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, so it needs a token: a long random word, in a file or in "
            "CYCLEGAN_TOKEN",
            about=("token_file",),
        )


def check_certificate(certificate: Path, key: Path | None) -> None:
    """Refuse a certificate that cannot be used for https.

    Raises:
        UsageError: the files are not PEM, or do not belong together.
    """
    try:
        make_context(certificate, key)
    except OSError as error:  # of SSL too
        raise UsageError(f"{certificate} and its key cannot be used ({error}); name two PEM files") from error


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
        raise UsageError(
            f"cannot listen on {host} port {port}: {reason}; name another host or port", about=("host", "port")
        ) from error


def read_token(path: Path) -> str:
    """Return the token that a file holds, without the white space around it.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a token; write one line of text into it") from error


def _is_weak(token: str) -> bool:
    """Tell whether a token repeats itself, goes on as an alphabet does, or is made of few characters."""
    steps = [ord(later) - ord(earlier) for earlier, later in pairwise(token.lower())]
    return (
        len(set(token)) < FEWEST_CHARACTERS
        or token in (token + token)[1:-1]  # a shorter word, repeated
        or sum(step in (-1, 0, 1) for step in steps) > len(steps) / 2
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: its address may change
