"""Do one thing at a time, and report what was counted."""

from collections.abc import Callable

import torch
from pretended import counted, report

host, device = torch.rand(1 << 20), torch.rand(1 << 20, device="cuda")
locked = host.pin_memory()
graph = torch.cuda.CUDAGraph()


def capture() -> None:
    with torch.cuda.graph(graph):
        device.mul_(2).add_(1)


def count(what: str, do: Callable[[], object]) -> None:
    with counted() as found:
        do()
    report(what=what, **found)


count("kernel", lambda: device.mul_(2))
count("read", lambda: device.cpu())
count("copy", lambda: device.copy_(host))
count("copy ahead", lambda: device.copy_(locked, non_blocking=True))
count("capture", capture)
count("replay", graph.replay)
