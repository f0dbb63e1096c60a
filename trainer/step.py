"""One optimisation step: the four networks, their two Adams, and the order in which they learn.

`G_A` translates A to B and `G_B` B to A; `D_A` judges pictures of domain B and `D_B` of domain A.

Nothing in a step waits for the device: losses stay tensors, and a gradient that is not finite is left out there.
"""

import copy
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Adam
from torch.utils.checkpoint import checkpoint

from .augment import draw
from .config import TrainConfig
from .distributed import World
from .image_pool import ImagePool
from .networks import build_discriminator, build_generator, init_weights
from .objective import Draws, Losses, Objective
from .schedule import update_ema


class CycleGAN:
    """The networks, optimisers and history buffers of a run; `step` trains them on one batch."""

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        amp_dtype: torch.dtype | None = None,
        world: World = World(),  # noqa: B008 - frozen
    ) -> None:
        """Build everything from `config.run.seed`; `amp_dtype` is the type of autocast, None for FP32."""
        self.config = config
        self.device = device
        self._amp_dtype = amp_dtype
        self.num_seen = 0
        self.num_broken = torch.zeros((), device=device)  # updates left out because a gradient was not finite
        torch.manual_seed(config.run.seed)
        channels_A, channels_B = config.data.input_nc, config.data.output_nc
        self.G_A = self._initialised(build_generator(config.networks, channels_A, channels_B))
        self.G_B = self._initialised(build_generator(config.networks, channels_B, channels_A))
        self.D_A = self._initialised(build_discriminator(config.networks, channels_B))
        self.D_B = self._initialised(build_discriminator(config.networks, channels_A))
        self.ema_A, self.ema_B = (copy.deepcopy(network).requires_grad_(False) for network in (self.G_A, self.G_B))
        self.optimizer_G = self._adam(self.G_A, self.G_B)
        self.optimizer_D = self._adam(self.D_A, self.D_B)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype == torch.float16)
        self._rng = torch.Generator().manual_seed(config.run.seed + world.rank)
        self.pool_A, self.pool_B = (ImagePool(config.optim.pool_size, self._rng) for _ in range(2))
        # The objectives call the networks as several processes, or thrift, want them called.
        self._called = {name: world.wrap(self._thrifty(name)) for name in ("G_A", "G_B", "D_A", "D_B")}
        self.objective = Objective(config, self.networks, self._called, self._autocast, self._rng)
        self.objective.cycle_weight = self.objective.cycle_weight.to(device)
        if config.run.compile:
            # The whole step as CUDA graphs; not beside DDP, whose collectives would have to be in them.
            self.objective.compile("reduce-overhead" if device.type == "cuda" and world.size == 1 else None)
        torch.manual_seed(config.run.seed + world.rank)

    def step(self, real_A: Tensor, real_B: Tensor) -> Losses:
        """Train on one batch of each domain, float [B, C, H, W] in [-1, 1].

        generators_first is the official order. discriminators_first shows the discriminators fakes from the history
        alone, and stores the new ones after that.

        Returns:
            Every term of the objective, unweighted and detached, and of each discriminator the mean judgement of real
            and fake patches and the share that it judged rightly (`D_A_real`, `D_A_fake`, `D_A_accuracy`).
        """
        if self.config.run.compile:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        if self.config.optim.update_order == "generators_first":
            losses, fake_A, fake_B = self._update_generators(real_A, real_B)
            history_A, history_B = self.pool_A.query(fake_A), self.pool_B.query(fake_B)
            losses |= self._update_discriminators(real_A, real_B, history_A, history_B)
        else:
            losses = self._update_discriminators(real_A, real_B, *self._history(real_A, real_B))
            generator_losses, fake_A, fake_B = self._update_generators(real_A, real_B)
            self.pool_A.store(fake_A)
            self.pool_B.store(fake_B)
            losses |= generator_losses
        self.scaler.update()
        batch = len(real_A)
        self.num_seen += batch
        if self.config.optim.ema_halflife:
            for averaged, network in ((self.ema_A, self.G_A), (self.ema_B, self.G_B)):
                update_ema(averaged, network, self.config.optim.ema_halflife, batch, self.num_seen)
        return losses

    def _history(self, real_A: Tensor, real_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return past fakes of both domains; new ones while nothing is stored."""
        if len(self.pool_A):
            return self.pool_A.sample(len(real_B)), self.pool_B.sample(len(real_A))
        with torch.no_grad(), self._autocast():
            return self.G_B(real_B), self.G_A(real_A)

    def _update_generators(self, real_A: Tensor, real_B: Tensor) -> tuple[Losses, Tensor, Tensor]:
        self.optimizer_G.zero_grad(set_to_none=True)
        for discriminator in (self.D_A, self.D_B):
            discriminator.requires_grad_(False)
        losses, fakes_A, fakes_B = [], [], []
        for part_A, part_B, last in self._parts(real_A, real_B):
            with self._gathering("G_A", "G_B", averaged=last):
                total, terms, fake_A, fake_B = self.objective.generators(part_A, part_B, self._draws(2, part_A))
                self._backward(total)
            losses.append(terms)
            fakes_A.append(fake_A.detach())
            fakes_B.append(fake_B.detach())
        for discriminator in (self.D_A, self.D_B):
            discriminator.requires_grad_(True)
        self._apply(self.optimizer_G)
        return _mean(losses), torch.cat(fakes_A), torch.cat(fakes_B)

    def _update_discriminators(self, real_A: Tensor, real_B: Tensor, history_A: Tensor, history_B: Tensor) -> Losses:
        self.optimizer_D.zero_grad(set_to_none=True)
        losses = []
        for part_A, part_B, fake_A, fake_B, last in self._parts(real_A, real_B, history_A, history_B):
            with self._gathering("D_A", "D_B", averaged=last):
                total, terms = self.objective.discriminators(part_A, part_B, fake_A, fake_B, self._draws(4, part_A))
                self._backward(total)
            losses.append(terms)
        self._apply(self.optimizer_D)
        return _mean(losses)

    def _parts(self, *batches: Tensor) -> list[tuple[Any, ...]]:
        """Cut batches into the parts of `optim.accumulate`, each with whether it is the last."""
        count = self.config.optim.accumulate
        parts = list(zip(*(batch.chunk(count) for batch in batches), strict=True))
        return [(*part, number == len(parts)) for number, part in enumerate(parts, 1)]

    def _draws(self, count: int, pictures: Tensor) -> Draws:
        """Draw what DiffAugment does to `count` batches like `pictures`, or None for each."""
        if not self.config.optim.diffaugment:
            return (None,) * count
        return tuple(draw(len(pictures), self._rng).to(self.device, non_blocking=True) for _ in range(count))

    def _gathering(self, *names: str, averaged: bool) -> ExitStack:
        """Average the gradients of the networks over all processes in this backward pass, or not yet."""
        stack = ExitStack()
        for name in names if not averaged else ():
            if isinstance(network := self._called[name], nn.parallel.DistributedDataParallel):
                stack.enter_context(network.no_sync())
        return stack

    def _backward(self, total: Tensor) -> None:
        self.scaler.scale(total / self.config.optim.accumulate).backward()  # type: ignore[no-untyped-call]

    def _apply(self, optimizer: Adam) -> None:
        """Update the weights, unless a gradient is not finite; this is decided on the device."""
        self.scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.config.optim.clip_norm:
            clip_grads_with_norm_(parameters, self.config.optim.clip_norm, norm)
        if not self.scaler.is_enabled():  # a scaler looks for itself, and meets gradients that overflow every so often
            broken = (~norm.isfinite()).float()
            optimizer.found_inf = broken  # type: ignore[attr-defined]
            self.num_broken += broken
        self.scaler.step(optimizer)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self._amp_dtype, enabled=self._amp_dtype is not None)

    def _thrifty(self, name: str) -> nn.Module:
        network = self.networks[name]
        thrifty = self.config.optim.checkpoint_activations and name.startswith("G")
        return Recomputed(network) if thrifty else network

    def _initialised(self, network: nn.Module) -> nn.Module:
        init_weights(network, self.config.networks.init_type, self.config.networks.init_gain)
        return network.to(self.device)

    def _adam(self, *networks: nn.Module) -> Adam:
        optim = self.config.optim
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return Adam(parameters, lr=optim.lr, betas=(optim.beta1, optim.beta2), fused=True)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Every network by the name it has in a checkpoint."""
        return {
            "G_A": self.G_A, "G_B": self.G_B, "D_A": self.D_A, "D_B": self.D_B,
            "ema_A": self.ema_A, "ema_B": self.ema_B,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a step reads or changes and that is the same in every process."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizer_G": self.optimizer_G.state_dict(),
            "optimizer_D": self.optimizer_D.state_dict(),
            "scaler": self.scaler.state_dict(),
            "num_seen": self.num_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimizer_G.load_state_dict(state["optimizer_G"])
        self.optimizer_D.load_state_dict(state["optimizer_D"])
        self.scaler.load_state_dict(state["scaler"])
        self.num_seen = state["num_seen"]
        self.num_broken.zero_()

    def local_state_dict(self) -> dict[str, Any]:
        """Return what each process has of its own: its history, its draws and, of a batch norm, its statistics."""
        return {
            "pool_A": self.pool_A.state_dict(),
            "pool_B": self.pool_B.state_dict(),
            "buffers": [list(network.buffers()) for network in self.networks.values()],
        }

    def load_local_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `local_state_dict` was taken, in the process that took it."""
        self.pool_A.load_state_dict(state["pool_A"], self.device)
        self.pool_B.load_state_dict(state["pool_B"], self.device)
        for network, saved in zip(self.networks.values(), state["buffers"], strict=True):
            for buffer, value in zip(network.buffers(), saved, strict=True):
                buffer.copy_(value)


class Recomputed(nn.Module):
    """Keeps nothing of a network's forward pass but its input, and computes the rest again on the way back."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Do what the network does."""
        return checkpoint(self.network, x, use_reentrant=False)  # type: ignore[no-any-return]


def _mean(losses: list[Losses]) -> Losses:
    """Average the terms of the parts of a batch."""
    if len(losses) == 1:
        return losses[0]
    return {name: torch.stack([terms[name] for terms in losses]).mean() for name in losses[0]}
