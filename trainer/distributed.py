"""One run over several processes, each with its own device; `torchrun` starts them and says who is who.

The processes of a machine read one cache of pictures. Each has its own share of every batch, its own history of fakes
and its own random state.
Gradients are averaged by DistributedDataParallel, so the weights stay the same everywhere. The first process writes.
"""

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..runtime.errors import CycleganError, UsageError
from .config import TrainConfig


@dataclass(frozen=True)
class World:
    """The processes of a run and which of them this one is; alone, nothing is communicated."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # which process, and so which device, of this machine

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes, shows and measures."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network that averages its gradients over all processes; alone, the network itself."""
        if self.size == 1:
            return network
        # Networks are called more than once before a backward pass, which broadcasting their buffers would break.
        with warnings.catch_warnings():  # torch 2.15 has another name for it, which older ones do not know
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(network, broadcast_buffers=False)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process. Passes through the CPU, so no device is waited for."""
        if self.size == 1:
            return flag
        shared = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return bool(shared.item())

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Average values of the same names over all processes."""
        if self.size == 1:
            return values
        shared = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(shared)
        return dict(zip(values, (shared / self.size).tolist(), strict=True))

    def gather(self, value: Any) -> list[Any]:
        """Return the value of every process, in their order, to the process that writes; to others, only their own."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.writes else None
        dist.gather_object(value, values)
        return values or [value]

    def share(self, value: Any) -> Any:
        """Return the value of the process that writes to every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, if it did; leave them when the block ends.

    Raises:
        CycleganError: another process ended before its time.
        UsageError: one device is named for all processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if device.startswith("cuda:"):
        raise UsageError(f"run.device={device} is one device for {size} processes; use run.device=cuda, one for each")
    import torch.distributed.nn  # imported after the group exists, its functions would hold it for ever

    world = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    # What is said between devices goes over NCCL where there are any; small talk goes over the CPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() and device != "cpu" else "gloo")
    if not world.writes:
        logging.getLogger(__package__).setLevel(logging.WARNING)  # what all would say, the first one says
    try:
        yield world
    except (dist.DistError, RuntimeError) as error:
        if not _says_that_a_peer_is_gone(error):
            raise
        raise CycleganError(
            f"process {world.rank} of {size} stopped because another one ended; its own message says why. The latest "
            "checkpoint is whole: resume the run"
        ) from error
    else:
        # A network in a reference cycle would keep the group's threads alive; they abort the process when they meet
        # an interpreter that has already ended.
        gc.collect()
    finally:
        dist.destroy_process_group()


def _says_that_a_peer_is_gone(error: Exception) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in ("connection closed by peer", "connection reset", "broken pipe", "nccl"))


def check_distributable(config: TrainConfig, world: World) -> None:
    """Refuse what several processes cannot compute.

    Raises:
        UsageError: batch norm would normalise each process's single picture by itself.
    """
    if world.size > 1 and config.networks.norm == "batch" and config.data.batch_size == config.optim.accumulate:
        raise UsageError(
            f"networks.norm=batch with one picture at a time in each of {world.size} processes normalises every "
            f"picture by itself; use norm=instance, or data.batch_size={2 * config.optim.accumulate} or more"
        )
