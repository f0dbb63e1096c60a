"""How the learning rate falls, epoch by epoch, and the averaging of the generators."""

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from ..config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, epoch: int) -> float:
    """Share of the initial learning rate in `epoch` (counted from 1), for every policy but plateau.

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
    """Share of lambda_A and lambda_B in `epoch` (counted from 1): 1 in the first, `cycle_weight_end` in the last.

    Linear between; a cycle that may be broken in the end lets a translation drop what only its way back needs (Wang
    and Lin, "CycleGAN with Better Cycles").
    """
    progress = (epoch - 1) / max(1, config.total_epochs - 1)
    return 1 + (config.cycle_weight_end - 1) * min(1.0, progress)


def build_scheduler(optimizer: Optimizer, config: ScheduleConfig) -> LRScheduler | ReduceLROnPlateau:
    """Return the scheduler of `config.lr_policy`; it is stepped once at the end of every epoch.

    Plateau is stepped with the validation metric after each validation instead, and cuts to a fifth when that stalls
    for five of them.
    """
    if config.lr_policy == "plateau":
        return ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
    return LambdaLR(optimizer, lambda finished: learning_rate_factor(config, finished + 1))


@torch.no_grad()
def update_ema(averaged: nn.Module, network: nn.Module, halflife: float, batch: int, seen: int) -> None:
    """Move `averaged` towards `network` so that a past weight counts half after `halflife` pictures.

    The half-life is at most a twentieth of the pictures seen so far, so that the average does not drag the random
    start along (Karras et al., "Training GANs with Limited Data", NeurIPS 2020, official code).
    """
    halflife = min(halflife, 0.05 * max(seen, 1))
    decay = 0.5 ** (batch / halflife)
    parameters = [parameter.float() for parameter in network.parameters()]
    torch._foreach_lerp_(list(averaged.parameters()), parameters, 1 - decay)
    for target, source in zip(averaged.buffers(), network.buffers(), strict=True):
        target.copy_(source)
