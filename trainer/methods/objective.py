"""What generators and discriminators descend on: an objective over a batch, from pictures to one number.

Zhu et al. (ICCV 2017), section 3. Everything here is forward computation on the device, and can be compiled whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ..config import TrainConfig
from .diffaugment import diff_augment
from .losses import accuracy, discriminator_adversarial, generator_adversarial, gradient_penalty

Losses = dict[str, Tensor]
Draws = tuple[Tensor | None, ...]
Pictures = dict[str, Tensor]  # a batch by its domain, float [B, C, H, W] in [-1, 1]

JUDGED = {"D_A": "B", "D_B": "A"}  # the domain that a discriminator judges


class Objective(ABC):
    """The two sides of the game; what generators descend on is up to whoever inherits."""

    def __init__(
        self,
        config: TrainConfig,
        networks: Mapping[str, nn.Module],
        called: Mapping[str, nn.Module],
        autocast: Callable[[], AbstractContextManager[None]],
        rng: torch.Generator,
    ) -> None:
        """Take the bare networks by name, and what to call in the place of those that are learning."""
        self._config = config.losses
        self._networks = networks
        self._called = called
        self._autocast = autocast
        self._rng = rng
        self._discriminators = tuple(name for name in JUDGED if name in networks)
        # Without batch statistics and dropout every picture of a batch is treated alone, so calls can be joined.
        self.stateless = config.networks.norm != "batch" and not config.networks.dropout

    def compile(self, mode: str | None) -> None:
        """Compile both sides, in a mode of `torch.compile`, for the shapes that they meet."""
        self.generators = torch.compile(self.generators, dynamic=False, mode=mode)  # type: ignore[method-assign]
        if self._config.gan_mode != "wgangp":  # its penalty differentiates twice, which cannot be compiled
            self.discriminators = torch.compile(self.discriminators, dynamic=False, mode=mode)  # type: ignore[method-assign]

    @abstractmethod
    def generators(self, real: Pictures, draws: Draws) -> tuple[Tensor, Losses, Pictures]:
        """Return what the generators descend on, its terms, and the fakes by domain.

        Of the `draws`, which change what it sees, each discriminator has one.
        """

    def discriminators(self, real: Pictures, fakes: Pictures, draws: Draws) -> tuple[Tensor, Losses]:
        """Return what the discriminators descend on, and its terms with what they say of their judgement.

        Of the `draws` each discriminator has two: for real pictures, and for fakes.
        """
        losses: list[Tensor] = []
        terms: Losses = {}
        for number, name in enumerate(self._discriminators):
            domain = JUDGED[name]
            shown = [_seen(batch[domain], draws[2 * number + place]) for place, batch in enumerate((real, fakes))]
            loss, told = self._judge(name, *shown)
            losses.append(loss)
            terms |= told
        return torch.stack(losses).sum(), terms

    def _fooling(self, name: str, fake: Tensor, draw: Tensor | None) -> Tensor:
        """Return how far a discriminator, which does not learn now, is from taking fakes for real."""
        with self._autocast():
            judgement = self._networks[name](_seen(fake, draw))
        return generator_adversarial(judgement, self._config.gan_mode)

    def _judge(self, name: str, real: Tensor, fake: Tensor) -> tuple[Tensor, Losses]:
        config = self._config
        with self._autocast():
            judged_real, judged_fake = self._together(self._called[name], real, fake)
        loss = 0.5 * discriminator_adversarial(judged_real, judged_fake, config.gan_mode)
        if config.gan_mode == "wgangp" and config.lambda_gp:
            loss = loss + config.lambda_gp * gradient_penalty(self._networks[name], real, fake, self._rng)
        terms = {
            name: loss,
            f"{name}_real": judged_real.float().mean(),
            f"{name}_fake": judged_fake.float().mean(),
            f"{name}_accuracy": accuracy(judged_real, judged_fake, config.gan_mode),
        }
        return loss, {key: value.detach() for key, value in terms.items()}

    def _together(self, network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Run both batches through the network, in one call where that changes nothing."""
        if not self.stateless or first.shape[1:] != second.shape[1:]:
            return network(first), network(second)
        joined = network(torch.cat((first, second.to(first.dtype))))
        return joined[: len(first)], joined[len(first) :]


def _seen(pictures: Tensor, draws: Tensor | None) -> Tensor:
    """Return pictures as a discriminator sees them."""
    return pictures if draws is None else diff_augment(pictures, draws)
