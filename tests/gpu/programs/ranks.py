"""Be one of two processes of a training run, each on a GPU of its own; what goes between them goes over gloo.

The first argument is "whole" or "killed": then the second process is killed after two steps, and the first one waits
for it as where a GPU does: no call of its main thread comes back.
"""

import itertools
import os
import signal
import sys
import time

import torch.distributed as dist
from pretended import report

from cyclegan_edge.cli import main
from cyclegan_edge.trainer import distributed

assert distributed.dist is dist
initialise, any_of_all, steps = dist.init_process_group, distributed.World.any, itertools.count(1)


def over_gloo(backend: str, **options: object) -> None:
    """Join as the product asks to, but for NCCL, which needs true GPUs."""
    report(backend=backend, hours=options["timeout"].total_seconds() / 3600)
    initialise("gloo", **options)


def any_until_killed(world: distributed.World, flag: bool) -> bool:
    """Ask all processes, until one of them is gone."""
    if next(steps) > 2:
        if world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    return any_of_all(world, flag)


how, arguments = sys.argv[1], sys.argv[2:]
dist.init_process_group = over_gloo
if how == "killed":
    distributed.World.any = any_until_killed
main(arguments)
