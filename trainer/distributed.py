"""One run over several processes, each with its own device; `torchrun` starts them and says who is who.

The processes of a machine read one cache of pictures. Each has its own share of every batch, its own history of fakes
and its own random state.
Gradients are averaged by DistributedDataParallel, so the weights stay the same everywhere. The first process writes.
"""

import gc
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from ..runtime.errors import CycleganError, UsageError
from .config import TrainConfig
from .peers import Peers, connect_peers, in_words

MEETING = 600  # seconds that the processes have to find one another
# A process is waited for while it prepares pictures, measures or compiles; one that is gone is noticed by `Peers`.
LONGEST_WAIT = timedelta(days=1)
NOTICING = 10  # seconds in which gloo notices by itself that a process is gone, where no GPU holds up the main thread
LEAVING = 10  # seconds that leaving the group may take after a failure


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

    Processes wait for one another as long as it takes; one that is gone ends the others within a minute.

    Raises:
        CycleganError: another process ended before its time, or cannot be reached.
        UsageError: one device is named for all processes, or the environment is not torchrun's.
    """
    world = _world_of_torchrun()
    if world.size == 1:
        yield world
        return
    if device.startswith("cuda:"):
        raise UsageError(
            f"run.device={device} is one device for {world.size} processes; use run.device=cuda, one for each"
        )
    peers = _join(world, on_gpus=torch.cuda.is_available() and device != "cpu")
    if not world.writes:
        logging.getLogger(__package__).setLevel(logging.WARNING)  # what all would say, the first one says
    try:
        yield world
    except BaseException as error:
        reason = _why_peers_are_gone(error, world, peers)
        peers.leave(done=False)
        _destroy_group_within(LEAVING)
        if reason is None:
            raise
        raise CycleganError(reason) from error
    # A network in a reference cycle would keep the group's threads alive; they abort the process when they meet an
    # interpreter that has already ended.
    gc.collect()
    dist.destroy_process_group()  # NCCL waits in it for all processes of this machine, so they are still watched
    peers.leave(done=True)


def _world_of_torchrun() -> World:
    """Return this process's place among those that torchrun started, as it tells in the environment."""
    names = ("WORLD_SIZE", "RANK", "LOCAL_RANK")
    numbers = [os.environ.get(name, "") for name in names]
    if numbers[0] in ("", "1"):
        return World()
    for name in (*names, "MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name) or (name != "MASTER_ADDR" and not os.environ[name].isdecimal()):
            raise UsageError(
                f"the environment names WORLD_SIZE={numbers[0]} processes, but {name} is missing or no number; start "
                "them with torchrun, or unset WORLD_SIZE for a run of one process"
            )
    size, rank, local_rank = map(int, numbers)
    return World(rank, size, local_rank)


def _join(world: World, *, on_gpus: bool) -> Peers:
    """Meet the other processes, watch them, and make the group that they compute in."""
    import torch.distributed.nn  # noqa: F401 - imported after the group exists, its functions would hold it for ever

    # What is said between devices goes over NCCL where there are any; small talk goes over the CPU.
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    host, rank, size = os.environ["MASTER_ADDR"], world.rank, world.size
    with ExitStack() as unless_all_join:
        try:
            shared, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=MEETING)))
            # Where torchrun starts processes anew, what those before them wrote is still there.
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = dist.PrefixStore(f"attempt-{attempt}", shared)  # type: ignore[attr-defined]
            peers = connect_peers(rank, size, store, host=host, within=MEETING, grace=NOTICING)
            unless_all_join.callback(peers.leave, done=False)
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT)
        except (dist.DistError, RuntimeError, OSError) as error:
            raise CycleganError(
                f"process {rank} of {size} does not reach the others through {host}, port "
                f"{os.environ['MASTER_PORT']} ({_first_line(error)}); each machine must reach all others, on all ports"
            ) from error
        unless_all_join.pop_all()
    return peers


def _why_peers_are_gone(error: BaseException, world: World, peers: Peers) -> str | None:
    """Return the sentence for an error that another process's end, or the connection to it, caused; else None."""
    if not isinstance(error, dist.DistError | RuntimeError):
        return None
    text = str(error).lower()
    closed = any(sign in text for sign in ("connection closed by peer", "connection reset", "broken pipe"))
    if not closed and "nccl" not in text:
        return None
    lost = peers.wait_for_loss(1)
    if closed or lost is not None:
        return in_words(world.rank, world.size, lost)
    return f"NCCL, which joins the GPUs, failed: {_first_line(error)}; with NCCL_DEBUG=WARN it says more"


def _destroy_group_within(seconds: float) -> None:
    """Leave the group of a run that failed: that may wait for a GPU which waits for a process that is gone."""
    leaving = threading.Thread(target=dist.destroy_process_group, name="leaving", daemon=True)
    leaving.start()
    leaving.join(seconds)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


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
