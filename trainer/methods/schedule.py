"""The learning rate and the weight of the cycle by epoch, and the averaging of the generators."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, epoch: int) -> float:
    """Return the share of the initial learning rate in `epoch`, counted from 1, for every policy but plateau.

    linear: 1 - max(0, epoch - n_epochs) / (n_epochs_decay + 1), the newest official formula, never quite 0 while it
    trains. step: a tenth after every `lr_decay_iters` epochs. cosine: constant for `n_epochs`, then half a cosine over
    `n_epochs_decay`, ending there.
    """
    into_decay = max(0, epoch - config.n_epochs)
    if config.lr_policy == "linear":
        return max(0.0, 1 - into_decay / (config.n_epochs_decay + 1))
    if config.lr_policy == "step":
        return 0.1 ** ((epoch - 1) // config.lr_decay_iters)
    progress = min(1.0, into_decay / (config.n_epochs_decay + 1))
    return 0.5 * (1 + math.cos(math.pi * progress))


def cycle_weight_factor(config: ScheduleConfig, epoch: int) -> float:
    """Return the share of lambda_A and lambda_B in `epoch`: 1 in epoch 1, `cycle_weight_end` in the last.

    Linear between; a cycle that may be broken in the end lets a translation drop what only its way back needs (Wang
    and Lin, "CycleGAN with Better Cycles").
    """
    progress = (epoch - 1) / max(1, config.total_epochs - 1)
    return 1 + (config.cycle_weight_end - 1) * min(1.0, progress)


class Plateau:
    """The learning rate of the plateau policy: cut to a fifth when the validation stalls for five times in a row."""

    def __init__(self) -> None:
        self._optimizer = SGD([torch.zeros(1)], lr=1.0)  # carries the factor for torch's scheduler
        self._scheduler = ReduceLROnPlateau(self._optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)

    @property
    def factor(self) -> float:
        """Share of the initial learning rate."""
        return float(self._optimizer.param_groups[0]["lr"])

    def update(self, value: float) -> None:
        """Take in a validation; lower is better."""
        self._scheduler.step(value)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"factor": self.factor, "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._scheduler.load_state_dict(state["scheduler"])
        self._optimizer.param_groups[0]["lr"] = state["factor"]


@torch.no_grad()
def update_ema(averaged: nn.Module, network: nn.Module, halflife: float, batch: int, seen: int | Tensor) -> None:
    """Move `averaged` towards `network` so that a past weight counts half after `halflife` pictures.

    The half-life is at most a twentieth of the pictures seen so far, so that the average does not drag the random
    start along (Karras et al., "Training GANs with Limited Data", NeurIPS 2020, official code). `seen` may be a float64
    tensor on the device, which a CUDA graph reads.
    """
    averages: list[Tensor] = list(averaged.parameters())
    parameters = [parameter.float() for parameter in network.parameters()]
    if isinstance(seen, Tensor):
        decay = 0.5 ** (batch / (0.05 * seen.clamp(min=1)).clamp(max=halflife))
        steps = list(torch._foreach_sub(parameters, averages))
        torch._foreach_mul_(steps, (1 - decay).float())
        torch._foreach_add_(averages, steps)
    else:
        halflife = min(halflife, 0.05 * max(seen, 1))
        torch._foreach_lerp_(averages, parameters, 1 - 0.5 ** (batch / halflife))
    for target, source in zip(averaged.buffers(), network.buffers(), strict=True):
        target.copy_(source)
