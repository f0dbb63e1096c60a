"""An amount that several share: who asks for more than is free waits, first come, first served."""

import asyncio
from collections import deque


class Budget:
    """So many bytes for work that is done at the same time. Its methods are called on the event loop."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, amount: int) -> int:
        """Take an amount once it is free, but never more than all; return what is to be released."""
        amount = min(amount, self.total)
        if amount <= self.free and not self._waiting:
            self.free -= amount
            return amount
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self.release(amount)
            self._serve()  # it may have been first, with one behind it that fits
            raise
        return amount

    def release(self, amount: int) -> None:
        """Give an amount back."""
        self.free += amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self.free):
            amount, turn = self._waiting.popleft()
            if not turn.done():  # else nobody waits for it any more
                self.free -= amount
                turn.set_result(None)
