"""The objective of a batch: from pictures to the losses that generators and discriminators minimise.

Zhu et al. (ICCV 2017), section 3. Everything here is forward computation on the device, and can be compiled whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import TrainConfig
from .diffaugment import diff_augment
from .draws import Draws
from .losses import accuracy, discriminator_adversarial, generator_adversarial, gradient_penalty
from .synthetic_motion import NOISE, flow_of, move, unsteadiness

Losses = dict[str, Tensor]
Pictures = dict[str, Tensor]  # a batch by its domain, float [B, C, H, W] in [-1, 1]

JUDGED = {"D_A": "B", "D_B": "A"}  # the domain that a discriminator judges


@dataclass(frozen=True)
class Players:
    """The networks of a GAN by their names in a checkpoint, and how an objective calls them."""

    networks: Mapping[str, nn.Module]  # bare
    learning: Mapping[str, nn.Module]  # what is called in the place of a network while it learns
    autocast: Callable[[], AbstractContextManager[None]]
    device: torch.device


class Objective(ABC):
    """The two sides of the game; subclasses say what the generators minimise."""

    cycle_noise = 0.0  # on fakes before their way back, in steps of 1/255

    def __init__(self, config: TrainConfig, players: Players) -> None:
        self._config = config.losses
        self._networks = players.networks
        self._learning = players.learning
        self._autocast = players.autocast
        self._discriminators = tuple(name for name in JUDGED if name in players.networks)
        self.penalised = bool(config.losses.gan_mode == "wgangp" and config.losses.lambda_gp)
        self.steadied = bool(config.losses.lambda_temporal)
        # Without batch statistics and dropout every picture of a batch is treated alone, so calls can be joined.
        self.stateless = config.networks.norm != "batch" and not config.networks.dropout

    def compile(self, mode: str | None) -> None:
        """Compile both sides in a mode of `torch.compile`; each new input shape is compiled once more."""
        self.generators = torch.compile(self.generators, dynamic=False, mode=mode)  # type: ignore[method-assign]
        self.discriminators = torch.compile(self.discriminators, dynamic=False, mode=mode)  # type: ignore[method-assign]

    @abstractmethod
    def generators(self, real: Pictures, draws: Draws) -> tuple[Tensor, Losses, Pictures]:
        """Return the generators' loss, its terms, and the fakes by domain.

        `draws` holds one random draw of DiffAugment for each discriminator; for lambda_temporal, after these, one
        motion for each; and last, where `cycle_noise` is not 0, the noise on the fakes of A and of B.
        """

    def discriminators(self, real: Pictures, fakes: Pictures, draws: Draws) -> tuple[Tensor, Losses]:
        """Return the discriminators' loss, its terms, and statistics of their judgement.

        `draws` holds two random draws of DiffAugment for each discriminator: for real pictures, and for fakes; and
        for wgangp, after these, the shares at which each one's gradient is penalised.
        """
        losses: list[Tensor] = []
        terms: Losses = {}
        for number, name in enumerate(self._discriminators):
            domain = JUDGED[name]
            seen_real = _seen(real[domain], draws[2 * number])
            seen_fake = _seen(fakes[domain], draws[2 * number + 1])
            shares = draws[2 * len(self._discriminators) + number] if self.penalised else None
            loss, own_terms = self._judge(name, seen_real, seen_fake, shares)
            losses.append(loss)
            terms |= own_terms
        return torch.stack(losses).sum(), terms

    def _generator_loss(self, name: str, fake: Tensor, draw: Tensor | None) -> Tensor:
        """Return the adversarial loss of a generator whose fakes a frozen discriminator judges."""
        with self._autocast():
            judgement = self._networks[name](_seen(fake, draw))
        return generator_adversarial(judgement, self._config.gan_mode)

    def _temporal_loss(
        self, translate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, motion: Tensor | None
    ) -> Tensor:
        """Return how far the translation of a moved picture with a little noise is from the moved translation."""
        assert motion is not None  # it is drawn wherever the weight is not 0
        flow = flow_of(motion, *real.shape[-2:])
        moved = move(real, flow)
        with self._autocast():
            moved_first = translate(moved + NOISE * torch.randn_like(moved))
        return unsteadiness(moved_first, move(fake, flow), flow)

    def _judge(self, name: str, real: Tensor, fake: Tensor, shares: Tensor | None) -> tuple[Tensor, Losses]:
        config = self._config
        with self._autocast():
            judged_real, judged_fake = self._together(self._learning[name], real, fake)
        loss = 0.5 * discriminator_adversarial(judged_real, judged_fake, config.gan_mode)
        if shares is not None:
            loss = loss + config.lambda_gp * gradient_penalty(self._networks[name], real, fake, shares)
        terms = {
            name: loss,
            f"{name}_real": judged_real.float().mean(),
            f"{name}_fake": judged_fake.float().mean(),
            f"{name}_accuracy": accuracy(judged_real, judged_fake, config.gan_mode),
        }
        return loss, {key: value.detach() for key, value in terms.items()}

    def _together(self, network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Run two batches through a network, in one call where that does not change the result."""
        if not self.stateless or first.shape[1:] != second.shape[1:]:
            return network(first), network(second)
        joined = network(torch.cat((first, second.to(first.dtype))))
        return joined[: len(first)], joined[len(first) :]


def _seen(pictures: Tensor, draws: Tensor | None) -> Tensor:
    """Return pictures as a discriminator sees them: augmented where there are draws."""
    return pictures if draws is None else diff_augment(pictures, draws)
