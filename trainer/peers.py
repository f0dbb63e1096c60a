"""The other processes of a run, watched: if one of them dies, this one ends too, whatever it waits for.

A GPU waits in NCCL for ever for a process that is gone, and so does the process that it computes for. Therefore every
process holds a connection to the first, which a thread watches. The system closes it when its process dies, and
keepalive messages find a machine that is lost. A process that takes its time, because it measures, compiles or prepares
pictures, keeps its connection and is waited for.
"""

import hmac
import logging
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import Protocol

from ..runtime.errors import CycleganError

LOGGER = logging.getLogger(__name__)

KEY = "cyclegan-edge/peers"  # in the store: where the first process listens, and what a peer says to be let in
# A connection without a word for 15 seconds is asked; after 4 questions without an answer it is lost: 35 s in all.
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
GREETING = 5  # seconds that a connection has to say who it is
ALL_AT_ONCE = 0.5  # seconds in which several processes may end for one reason, without a word about each other
WORD = 8  # bytes of a message: the rank of a process that is gone, or
LEAVES = b" leaves "


class Store(Protocol):
    """What the processes of a run share from the beginning, such as torch's TCPStore."""

    def set(self, key: str, value: str) -> object: ...  # noqa: D102
    def get(self, key: str) -> bytes: ...  # noqa: D102


class Peers:
    """The connections of a process to the others, and the thread that watches them."""

    def __init__(self, rank: int, size: int, connections: dict[int, socket.socket], *, grace: float) -> None:
        """Watch the peers that are connected, by their rank: the first process all others, others the first.

        When one is gone, this process has `grace` seconds to notice that by itself and call `leave`, and is ended then.
        """
        self.lost: int | None = None  # the rank of the process that is gone
        self._rank, self._size = rank, size
        self._connections = connections
        self._grace = grace
        self._known = threading.Event()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
        self._thread.start()

    def wait_for_loss(self, seconds: float) -> int | None:
        """Return the rank of the process that is gone, if one is within so many seconds."""
        self._known.wait(seconds)
        return self.lost

    def leave(self, *, done: bool) -> None:
        """Stop watching. Unless this process is `done` with its part, its peers learn that it is gone."""
        self._left.set()
        for connection in self._connections.values():
            with suppress(OSError):  # it has left before
                if done:
                    connection.sendall(LEAVES)
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in self._connections.values():
            connection.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for rank, connection in self._connections.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            while selector.get_map() and not self._known.is_set():
                for key, _ in selector.select():
                    word = _receive(self._connections[key.data], WORD)
                    if self._left.is_set():
                        return
                    if word == LEAVES:
                        selector.unregister(key.fileobj)
                    else:
                        self.lost = int(word) if word.strip().isdigit() else key.data
                        self._known.set()
                        break
        if self.lost is None:
            return
        self._spread(self.lost)
        if self._left.wait(ALL_AT_ONCE):
            return
        LOGGER.warning("process %d of %d is gone, so that this one, %d, ends too", self.lost, self._size, self._rank)
        if not self._left.wait(self._grace):
            end_process(in_words(self._rank, self._size, self.lost))

    def _spread(self, lost: int) -> None:
        """Tell the others, who are connected to the first process alone."""
        for rank, connection in self._connections.items():
            if self._rank == 0 and rank != lost:
                with suppress(OSError):
                    connection.sendall(b"%*d" % (WORD, lost))


def connect_peers(rank: int, size: int, store: Store, *, host: str, within: float, grace: float) -> Peers:
    """Connect this process with the others of its run and watch them.

    Args:
        rank: of this process, of `size` in all.
        store: where the first process leaves its port for the others.
        host: the machine of the first process, as the others know it.
        within: seconds that connecting may take.
        grace: seconds in which a process notices by itself that another is gone, before it is ended.

    Raises:
        OSError: they do not connect in time.
    """
    end = time.monotonic() + within
    if rank == 0:
        with _listener() as listener:
            token = secrets.token_hex(16)
            store.set(KEY, f"{listener.getsockname()[1]} {token}")
            connections = _accept(listener, token, size, end)
    else:
        port, token = store.get(KEY).decode().split()
        connection = socket.create_connection((host, int(port)), timeout=end - time.monotonic())
        connection.sendall(_greeting(token, rank))
        connections = {0: connection}
    for connection in connections.values():
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():  # each system knows some of them
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Peers(rank, size, connections, grace=grace)


def in_words(rank: int, size: int, lost: int | None) -> str:
    """Say why a process ends that lost another, whose rank may be unknown."""
    number = "" if lost is None else f", number {lost}"
    return (
        f"process {rank} of {size} stopped because another one ended{number}; if that left no message, it was killed. "
        "The latest checkpoint is whole: resume the run"
    )


def end_process(message: str) -> None:
    """End this process at once, with a sentence: its main thread may wait for a GPU that never answers."""
    cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # which a progress bar hides
    os.write(2, f"{cursor}cyclegan: {message}\n".encode())
    os._exit(CycleganError.exit_code)


def _listener() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _accept(listener: socket.socket, token: str, size: int, end: float) -> dict[int, socket.socket]:
    """Wait until every other process has connected; whoever else does is sent away."""
    connections: dict[int, socket.socket] = {}
    expected = {_greeting(token, rank): rank for rank in range(1, size)}
    with ExitStack() as unless_all_come:
        while len(connections) < size - 1:
            listener.settimeout(max(0.001, end - time.monotonic()))
            connection, _ = listener.accept()
            connection.settimeout(GREETING)
            greeting = _receive(connection, len(_greeting(token, 0)))
            rank = next((rank for known, rank in expected.items() if hmac.compare_digest(known, greeting)), None)
            if rank is None or rank in connections:
                connection.close()
            else:
                connections[rank] = unless_all_come.enter_context(connection)
        unless_all_come.pop_all()
    return connections


def _greeting(token: str, rank: int) -> bytes:
    return f"{token}{rank:{WORD}d}".encode()


def _receive(connection: socket.socket, size: int) -> bytes:
    """Return the next bytes; fewer where the connection ends or fails before."""
    received = b""
    with suppress(OSError):
        while len(received) < size and (part := connection.recv(size - len(received))):
            received += part
    return received
