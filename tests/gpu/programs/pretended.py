"""What a program on a pretended GPU begins with."""

import ctypes
import json
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

COUNTED = (
    "launches",  # of kernels, outside a capture
    "captured",  # kernels that became part of a graph
    "synchronisations",
    "to_host",  # copies
    "to_device",
    "pageable",  # those of them that make the host wait, since its memory is not page-locked
    "aside",  # those on another stream than the default one
    "stream_waits",  # of a stream, for an event of another
    "captures",
    "graph_launches",
)

torch.backends.cudnn.enabled = False  # its own graphs cannot be pretended
warnings.filterwarnings("ignore", message="Attempting to run cuBLAS")
warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")

_count = ctypes.CDLL(None).pretended_count
_count.restype = ctypes.c_long


def counts() -> dict[str, int]:
    """Return what was counted since the program began."""
    return {name: _count(name.encode()) for name in COUNTED}


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Give what is counted in the block, once it has ended."""
    found, before = {}, counts()
    yield found
    found |= {name: after - before[name] for name, after in counts().items()}


@contextmanager
def nobody_waits() -> Iterator[None]:
    """Refuse whatever would make the host wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def report(**facts: object) -> None:
    """Print facts for the test."""
    print(json.dumps(facts), flush=True)  # noqa: T201


def reason(error: Exception) -> str:
    """Say where an error of the product comes from."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f"{type(error).__name__}: {str(error).splitlines()[0]} at {ours[-1].filename}:{ours[-1].lineno}"
