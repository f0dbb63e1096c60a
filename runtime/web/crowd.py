"""How many connections may be open, and which of them makes room for a new one."""

import asyncio
import logging
from collections import Counter
from typing import Any, Protocol

LOGGER = logging.getLogger(__name__)

MAX_CONNECTIONS = 512


class Connection(Protocol):
    """A connection that can make room."""

    transport: asyncio.Transport
    client: tuple[str, int] | None  # the address and port of the other side
    heard: float  # when anything last came from there, or it was answered
    evicted: bool

    def is_idle(self) -> bool:
        """Tell whether it waits for the other side, to speak or to read."""
        ...


def make_room(new: Connection, connections: set[Any]) -> None:
    """Where too many are open, close one that is idle, or the new one where all are at work.

    It is one of the address that holds the most, and of these the one that is silent for longest: who opens hundreds
    displaces connections of one's own.
    """
    if len(connections) <= MAX_CONNECTIONS:
        return
    LOGGER.warning("%d connections are open, the most there may be: one that is silent is closed", MAX_CONNECTIONS)
    held = Counter(_address(one) for one in connections)
    idle = (one for one in connections if not getattr(one, "evicted", True) and one.is_idle())
    chosen = max(idle, key=lambda one: (held[_address(one)], -one.heard), default=new)
    chosen.evicted = True
    chosen.transport.abort()


def _address(connection: Connection) -> str:
    return connection.client[0] if connection.client else ""
