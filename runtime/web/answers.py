"""Send encoded pictures piece by piece, with limits on the memory of all that are under way and on their pace.

uvicorn takes an answer whole into the buffer of its connection. Of these it never holds more than one piece; the rest
counts here, and where nobody reads, it goes.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .limits import KIB, Limits
from .pace import Pace

PIECE = 256 * KIB
_YOUNG = 1.0  # seconds in which a reader cannot show its speed yet


class UnreadError(Exception):
    """An answer that its reader does not take; its connection is closed."""


@dataclass(eq=False)
class _Answer:
    size: int
    timer: asyncio.Timeout
    pace: Pace
    started: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    sent: int = 0

    def speed(self) -> tuple[bool, float]:
        """Return the order in which answers are given up: the slowest reader first, and new ones last."""
        age = asyncio.get_running_loop().time() - self.started
        return age < _YOUNG, self.sent / max(age, _YOUNG)

    def advance(self, sent: int) -> None:
        """Note that so many further bytes have left."""
        self.sent += sent
        self.pace.advance(sent)
        self.end_at(self.pace.deadline)

    def end_at(self, moment: float) -> None:
        """Move the end of the sending, unless it has come."""
        if not self.timer.expired():
            self.timer.reschedule(moment)


class Answers:
    """The answers that are being sent."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._under_way: set[_Answer] = set()

    @property
    def in_memory(self) -> int:
        """Bytes of all answers that are being sent."""
        return sum(answer.size for answer in self._under_way)

    @contextmanager
    def counted(self, size: int) -> Iterator[_Answer]:
        """Count an answer while the block sends it; where all take too much memory, the slowest is given up."""
        pace = Pace(self._limits.send_rate, self._limits.send_seconds)
        answer = _Answer(size, asyncio.timeout_at(pace.deadline), pace)
        self._under_way.add(answer)
        while self.in_memory > self._limits.answer_memory and (others := self._under_way - {answer}):
            slowest = min(others, key=_Answer.speed)
            self._under_way.discard(slowest)
            slowest.end_at(0)
        try:
            yield answer
        finally:
            self._under_way.discard(answer)


class PictureAnswer(Response):
    """An encoded picture on its way."""

    def __init__(self, content: bytes, media_type: str, headers: Mapping[str, str], answers: Answers) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            UnreadError: the other side reads too slowly, or not at all.
        """
        body = memoryview(self.body)
        with self._answers.counted(len(body)) as answer:
            try:
                async with answer.timer:
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    for start in range(0, len(body), PIECE):
                        piece = bytes(body[start : start + PIECE])
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        answer.advance(len(piece))
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:
                raise UnreadError from None
