"""One optimisation step: the four networks, their two Adams, and the order in which they learn.

`G_A` translates A to B and `G_B` B to A; `D_A` judges pictures of domain B and `D_B` of domain A.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from .config import TrainConfig
from .image_pool import ImagePool
from .losses import discriminator_adversarial, generator_adversarial, gradient_penalty, reconstruction
from .networks import build_discriminator, build_generator, init_weights
from .schedule import update_ema

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Translations:
    """What the generators make of a batch, all float [B, C, H, W]; identity results only where they are wanted."""

    fake_A: Tensor
    fake_B: Tensor
    rec_A: Tensor
    rec_B: Tensor
    idt_A: Tensor | None  # G_A of real B
    idt_B: Tensor | None  # G_B of real A


class CycleGAN:
    """The networks, optimisers and history buffers of a run; `step` trains them on one batch."""

    def __init__(self, config: TrainConfig, device: torch.device, amp_dtype: torch.dtype | None = None) -> None:
        """Build everything from `config.run.seed`; `amp_dtype` is the type of autocast, None for FP32."""
        self.config = config
        self.device = device
        self._amp_dtype = amp_dtype
        self.num_seen = 0
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
        self._rng = torch.Generator().manual_seed(config.run.seed)
        self.pool_A, self.pool_B = (ImagePool(config.optim.pool_size, self._rng) for _ in range(2))
        # Without batch statistics and dropout every picture of a batch is treated alone, so calls can be joined.
        self._stateless = config.networks.norm != "batch" and not config.networks.dropout

    def step(self, real_A: Tensor, real_B: Tensor) -> Losses:
        """Train on one batch of each domain, float [B, 3, H, W] in [-1, 1]; returns every term, unweighted, detached.

        generators_first is the official order. discriminators_first shows the discriminators fakes from the history
        alone, stores the new ones after that, and updates the generators last.
        """
        made = self._translate(real_A, real_B)
        if self.config.optim.update_order == "generators_first":
            losses = self._update_generators(real_A, real_B, made)
            history_A, history_B = self.pool_A.query(made.fake_A.detach()), self.pool_B.query(made.fake_B.detach())
            losses |= self._update_discriminators(real_A, real_B, history_A, history_B)
        else:
            history_A, history_B = self.pool_A.sample(made.fake_A.detach()), self.pool_B.sample(made.fake_B.detach())
            losses = self._update_discriminators(real_A, real_B, history_A, history_B)
            self.pool_A.store(made.fake_A.detach())
            self.pool_B.store(made.fake_B.detach())
            losses |= self._update_generators(real_A, real_B, made)
        self.scaler.update()
        self.num_seen += len(real_A)
        if self.config.optim.ema_halflife:
            for averaged, network in ((self.ema_A, self.G_A), (self.ema_B, self.G_B)):
                update_ema(averaged, network, self.config.optim.ema_halflife, len(real_A), self.num_seen)
        return losses

    def _translate(self, real_A: Tensor, real_B: Tensor) -> Translations:
        idt_A = idt_B = None
        with self._autocast():
            if not self.config.losses.lambda_identity:
                fake_B, fake_A = self.G_A(real_A), self.G_B(real_B)
            else:
                fake_B, idt_A = self._together(self.G_A, real_A, real_B)
                fake_A, idt_B = self._together(self.G_B, real_B, real_A)
            return Translations(fake_A, fake_B, self.G_B(fake_B), self.G_A(fake_A), idt_A, idt_B)

    def _update_generators(self, real_A: Tensor, real_B: Tensor, made: Translations) -> Losses:
        config = self.config.losses
        self._freeze_discriminators(True)
        with self._autocast():
            judgement_A, judgement_B = self.D_A(made.fake_B), self.D_B(made.fake_A)
        losses = {
            "G_A": generator_adversarial(judgement_A, config.gan_mode),
            "G_B": generator_adversarial(judgement_B, config.gan_mode),
            "cycle_A": reconstruction(made.rec_A, real_A),
            "cycle_B": reconstruction(made.rec_B, real_B),
        }
        total = losses["G_A"] + losses["G_B"]
        total = total + config.lambda_A * losses["cycle_A"] + config.lambda_B * losses["cycle_B"]
        if made.idt_A is not None and made.idt_B is not None:
            losses["idt_A"] = reconstruction(made.idt_A, real_B)
            losses["idt_B"] = reconstruction(made.idt_B, real_A)
            identity = config.lambda_B * losses["idt_A"] + config.lambda_A * losses["idt_B"]
            total = total + config.lambda_identity * identity
        self._descend(self.optimizer_G, total)
        self._freeze_discriminators(False)
        return {name: loss.detach() for name, loss in losses.items()}

    def _update_discriminators(self, real_A: Tensor, real_B: Tensor, history_A: Tensor, history_B: Tensor) -> Losses:
        losses = {
            "D_A": self._discriminator_loss(self.D_A, real_B, history_B),
            "D_B": self._discriminator_loss(self.D_B, real_A, history_A),
        }
        self._descend(self.optimizer_D, losses["D_A"] + losses["D_B"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _discriminator_loss(self, discriminator: nn.Module, real: Tensor, history: Tensor) -> Tensor:
        config = self.config.losses
        with self._autocast():
            judged_real, judged_fake = self._together(discriminator, real, history)
        loss = 0.5 * discriminator_adversarial(judged_real, judged_fake, config.gan_mode)
        if config.gan_mode == "wgangp" and config.lambda_gp:
            loss = loss + config.lambda_gp * gradient_penalty(discriminator, real, history, self._rng)
        return loss

    def _together(self, network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Run both batches through the network, in one call where that changes nothing."""
        if not self._stateless or first.shape[1:] != second.shape[1:]:
            return network(first), network(second)
        joined = network(torch.cat((first, second.to(first.dtype))))
        return joined[: len(first)], joined[len(first) :]

    def _descend(self, optimizer: Adam, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(optimizer)

    def _freeze_discriminators(self, frozen: bool) -> None:
        self.D_A.requires_grad_(not frozen)
        self.D_B.requires_grad_(not frozen)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self._amp_dtype, enabled=self._amp_dtype is not None)

    def _initialised(self, network: nn.Module) -> nn.Module:
        init_weights(network, self.config.networks.init_type, self.config.networks.init_gain)
        return network.to(self.device)

    def _adam(self, *networks: nn.Module) -> Adam:
        optim = self.config.optim
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return Adam(parameters, lr=optim.lr, betas=(optim.beta1, optim.beta2))

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Every network by the name it has in a checkpoint."""
        return {
            "G_A": self.G_A, "G_B": self.G_B, "D_A": self.D_A, "D_B": self.D_B,
            "ema_A": self.ema_A, "ema_B": self.ema_B,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a step reads or changes."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizer_G": self.optimizer_G.state_dict(),
            "optimizer_D": self.optimizer_D.state_dict(),
            "scaler": self.scaler.state_dict(),
            "pool_A": self.pool_A.state_dict(),
            "pool_B": self.pool_B.state_dict(),
            "num_seen": self.num_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimizer_G.load_state_dict(state["optimizer_G"])
        self.optimizer_D.load_state_dict(state["optimizer_D"])
        self.scaler.load_state_dict(state["scaler"])
        self.pool_A.load_state_dict(state["pool_A"], self.device)
        self.pool_B.load_state_dict(state["pool_B"], self.device)
        self.num_seen = state["num_seen"]
