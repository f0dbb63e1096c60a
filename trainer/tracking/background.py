"""The background writer: one thread that runs functions in order while training goes on."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import torch
from torch import Tensor

# Writes that may wait at a time: each holds a copy of what it writes, so a slow disk must slow the run down.
MOST_WAITING = 3
PIECE = 64 << 20  # bytes that come over from a device at a time


class BackgroundWriter:
    """Runs functions one after another on its own thread; a context manager that ends when all are done.

    What a function raises comes out of the next `submit`, or of the end of the block.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        """Have `write` called soon; it must touch nothing that training changes (see `snapshot`).

        Raises:
            OutputError: an earlier write failed.
        """
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= MOST_WAITING):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(write))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            for written in self._waiting:
                written.result()


def snapshot(value: Any) -> Any:
    """Copy a nested state to the CPU, so that it stays as it is while training goes on.

    A state has about a thousand tensors, and the host waits for each copy from a device: so they come over many at a
    time.
    """
    on_device = [tensor for tensor in _tensors(value) if tensor.device.type != "cpu"]
    copies: dict[int, Tensor] = {}
    for together in _grouped(on_device):
        copies |= zip(map(id, together), copied_together(together), strict=True)
    return _with_copies(value, copies)


def copied_together(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors of one type to the CPU, each into memory of its own, in one transfer."""
    joined = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    host = torch.empty(joined.shape, dtype=joined.dtype, pin_memory=joined.is_cuda).copy_(joined)
    parts = torch.split(host, [tensor.numel() for tensor in tensors])
    return [part.reshape(tensor.shape).clone() for part, tensor in zip(parts, tensors, strict=True)]


def _grouped(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Give tensors of one type and device together, as many as `PIECE` holds, for joining them takes memory there."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for kind in kinds.values():
        group: list[Tensor] = []
        for tensor in kind:
            if group and sum(each.nbytes for each in group) + tensor.nbytes > PIECE:
                yield group
                group = []
            group.append(tensor)
        yield group


def _tensors(value: Any) -> Iterator[Tensor]:
    """Give every tensor of a nested state."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inner)


def _with_copies(value: Any, copies: Mapping[int, Tensor]) -> Any:
    """Return a nested state with these copies in the place of tensors, by their identity; others are copied now."""
    if isinstance(value, Tensor):
        return copies[id(value)] if id(value) in copies else value.detach().clone()
    if isinstance(value, dict):
        return {key: _with_copies(inner, copies) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_copies(inner, copies) for inner in value)
    return value
