"""Copies from the host to a CUDA device that run beside what the device computes."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Copied:
    """Tensors on their way to a device, and the event that happens when they are there."""

    tensors: tuple[Tensor, ...]
    arrival: torch.cuda.Event

    def take(self) -> tuple[Tensor, ...]:
        """Return the tensors for the stream that computes now; it waits for them, and the host does not."""
        computing = torch.cuda.current_stream(self.tensors[0].device)
        computing.wait_event(self.arrival)
        for tensor in self.tensors:
            tensor.record_stream(computing)  # or a later copy could overwrite memory that is still read
        return self.tensors


class SideStream:
    """A CUDA stream for copies only, so that they overlap with the step that the device computes meanwhile."""

    def __init__(self, device: torch.device) -> None:
        """Make the stream of a device."""
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copy(self, tensors: tuple[Tensor, ...]) -> Copied:
        """Begin to copy tensors of the host to the device; any thread may call it."""
        with torch.cuda.stream(self._stream):
            # The device copies by itself from page-locked memory only.
            copies = tuple(tensor.pin_memory().to(self._stream.device, non_blocking=True) for tensor in tensors)
            return Copied(copies, self._stream.record_event())
