"""A bounded hop between two threads, which ends once and tells why."""

from collections import deque
from collections.abc import Iterator
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_BYTES = 64 * 2**20


class AbandonedError(Exception):
    """Nobody receives any more; `error` says why, and is None where the receiver had enough."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__(error)
        self.error = error


class EndedError(Exception):
    """The sender has finished, and everything was received."""


class Channel(Generic[Item]):
    """Items on their way from one sender to one receiver, at most `max_items` and, beyond the first, `max_bytes`.

    A full channel makes a lossless sender wait; otherwise the oldest items make room and are counted in `dropped`.
    It ends in one of two ways: the sender has finished, and the receiver gets what is left and then the error, if any;
    or it is abandoned, and both sides learn that at once.
    """

    def __init__(self, max_items: int, *, lossless: bool, max_bytes: int = MAX_BYTES) -> None:
        self.dropped = 0
        self._max_items, self._max_bytes, self._lossless = max_items, max_bytes, lossless
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._changed = Condition()
        self._finished = self._abandoned = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, size: int = 0) -> None:
        """Send an item of `size` bytes.

        Raises:
            AbandonedError: nobody will receive it.
        """
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._abandoned or not self._overfull(1, size))
            if self._abandoned:
                raise AbandonedError(self._error)
            while not self._lossless and self._overfull(1, size):
                self._pop()
                self.dropped += 1
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Item:
        """Receive the next item.

        Raises:
            TimeoutError: none came in `timeout` seconds.
            EndedError: the sender has finished.
            BaseException: the sender's error, after the items before it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._finished or self._abandoned, timeout):
                raise TimeoutError
            if self._items and not self._abandoned:
                item = self._pop()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise EndedError

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                item = self.get()
            except EndedError:
                return
            yield item

    def finish(self, error: BaseException | None = None) -> None:
        """Say, as the sender, that nothing more comes and why; only the first word counts."""
        with self._changed:
            if not (self._finished or self._abandoned):
                self._finished, self._error = True, error
            self._changed.notify_all()

    def abandon(self, error: BaseException | None = None) -> None:
        """Say, as the receiver or as who runs both, that nothing will be received any more."""
        with self._changed:
            if not self._abandoned:
                self._abandoned, self._error = True, error
            self._changed.notify_all()

    def _overfull(self, items: int, size: int) -> bool:
        """Whether that much more would be too much; a single item never is."""
        if not self._items:
            return False
        return len(self._items) + items > self._max_items or self._bytes + size > self._max_bytes

    def _pop(self) -> Item:
        item, size = self._items.popleft()
        self._bytes -= size
        return item
