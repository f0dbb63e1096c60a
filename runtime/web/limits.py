"""Limits on what the server accepts, and the error for what it refuses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Self

from ..errors import UsageError

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True)
class Limits:
    """A limit for everything that a visitor can make grow; each has its own answer when it is reached."""

    picture_bytes: int = 32 * MIB  # 413
    picture_pixels: int = 40_000_000  # 413; read from the file's header, before anything is decoded
    engine_pixels: int = 1024 * 1024  # 413; of what is translated at once
    pictures: int = 16  # 429; waiting or being translated at the same time
    frame_bytes: int = MIB  # close 1009; one frame of a live camera
    sockets: int = 64  # 429; live cameras and viewers
    video_bytes: int = 512 * MIB  # 413
    video_pixels: int = 4096 * 2304  # 413; of a frame, of which a few dozen are in memory while a video is translated
    video_frames: int = 36_000  # 413; twenty minutes at 30 a second
    queue: int = 8  # 429; videos waiting or being translated, half of them of one visitor
    disk_bytes: int = 2048 * MIB  # 429; uploads and results together
    upload_seconds: int = 300  # 408; for one whole upload
    upload_rate: int = 8 * KIB  # 408; bytes a second that an upload must reach
    upload_memory: int = 64 * MIB  # 429; pictures that are received or waiting, before they are decoded
    video_seconds: int = 3600  # the job fails; for the translation of one video
    keep_seconds: int = 900  # 404; how long a translated video can be fetched
    send_seconds: int = 20  # the connection is closed; without anything read, and for one frame to a viewer
    send_rate: int = 8 * KIB  # the connection is closed; bytes a second that the reader of a picture must reach
    answer_memory: int = 64 * MIB  # the slowest is closed; pictures on their way to their readers

    def changed(self, settings: Mapping[str, int]) -> Self:
        """Return these limits with some of them set.

        Raises:
            UsageError: a name is not one of the limits, or a value is not positive.
        """
        names = [field.name for field in fields(self)]
        for name, value in settings.items():
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
                raise UsageError(f"no limit is called {name!r}; {hint}")
            if value < 1:
                raise UsageError(f"the limit {name} must be 1 or more, and is {value}")
        return replace(self, **settings)


class RefusedError(Exception):
    """A request that is refused: the HTTP status, the reason that the counters use, one sentence for the visitor."""

    def __init__(self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = dict(headers or {})


class Places:
    """A number of places; a request that finds none free is refused at once and never waits."""

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self.taken = 0
        self._what = what

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for the length of the block. Called on the event loop only.

        Raises:
            RefusedError: 429, all are taken.
        """
        if self.taken >= self.total:
            raise RefusedError(
                429,
                "busy",
                f"the server already serves {self.total} {self._what}; try again soon",
                {"Retry-After": "2"},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
