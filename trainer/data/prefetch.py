"""Batches that are read by threads while the step before them is computed."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ..config import DataConfig

T = TypeVar("T")

AHEAD_BYTES = 256 << 20  # of pictures in memory that wait for their step


class Ahead(Generic[T]):
    """A function of the step whose next results are computed by threads before they are asked for."""

    def __init__(self, load: Callable[[int], T], number: int) -> None:
        """Compute `number` steps ahead, each in a thread of its own."""
        self._load = load
        self._number = number
        self._threads = ThreadPoolExecutor(number, "pictures")
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """Return the result of a step; steps in their order are the quickest."""
        for other in [other for other in self._coming if not step <= other <= step + self._number]:
            self._coming.pop(other).cancel()
        for wanted in range(step, step + self._number + 1):
            if wanted not in self._coming:
                self._coming[wanted] = self._threads.submit(self._load, wanted)
        return self._coming.pop(step).result()

    def close(self) -> None:
        """End the threads, and forget what they computed."""
        self._threads.shutdown(cancel_futures=True)
        self._coming.clear()


def steps_ahead(config: DataConfig, stored: bool) -> int:
    """Return how many steps to read ahead: two of what lies on the disk, more of what is decoded."""
    channels = config.input_nc + config.output_nc
    in_memory = AHEAD_BYTES // (config.batch_size * channels * max(config.crop_size, config.load_size) ** 2)
    return max(2, min(in_memory, 2 if stored else os.cpu_count() or 1, 16))
