"""What generators and discriminators descend on: the CycleGAN objective over a batch, from pictures to one number.

Zhu et al. (ICCV 2017), section 3. Everything here is forward computation on the device, and can be compiled whole.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from .augment import diff_augment
from .config import TrainConfig
from .losses import accuracy, discriminator_adversarial, generator_adversarial, gradient_penalty, reconstruction

Losses = dict[str, Tensor]
Draws = tuple[Tensor | None, ...]


class Objective:
    """The two sides of the game; `cycle_weight` is the share of lambda_A and lambda_B that counts now."""

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
        self.cycle_weight = torch.ones(())
        # Without batch statistics and dropout every picture of a batch is treated alone, so calls can be joined.
        self.stateless = config.networks.norm != "batch" and not config.networks.dropout

    def compile(self, mode: str | None) -> None:
        """Compile both sides, in a mode of `torch.compile`, for the shapes that they meet."""
        self.generators = torch.compile(self.generators, dynamic=False, mode=mode)  # type: ignore[method-assign]
        if self._config.gan_mode != "wgangp":  # its penalty differentiates twice, which cannot be compiled
            self.discriminators = torch.compile(self.discriminators, dynamic=False, mode=mode)  # type: ignore[method-assign]

    def generators(self, real_A: Tensor, real_B: Tensor, draws: Draws) -> tuple[Tensor, Losses, Tensor, Tensor]:
        """Return what the generators descend on, its terms, and the fakes of both domains.

        The pictures are float [B, C, H, W] in [-1, 1]; the two `draws` change what D_A and D_B see.
        """
        config, G_A, G_B = self._config, self._called["G_A"], self._called["G_B"]
        D_A, D_B = self._networks["D_A"], self._networks["D_B"]  # which do not learn now
        idt_A = idt_B = None
        with self._autocast():
            if config.lambda_identity:
                fake_B, idt_A = self._together(G_A, real_A, real_B)
                fake_A, idt_B = self._together(G_B, real_B, real_A)
            else:
                fake_B, fake_A = G_A(real_A), G_B(real_B)
            rec_A, rec_B = G_B(fake_B), G_A(fake_A)
            judgement_A, judgement_B = D_A(_seen(fake_B, draws[0])), D_B(_seen(fake_A, draws[1]))
        losses = {
            "G_A": generator_adversarial(judgement_A, config.gan_mode),
            "G_B": generator_adversarial(judgement_B, config.gan_mode),
            "cycle_A": reconstruction(rec_A, real_A),
            "cycle_B": reconstruction(rec_B, real_B),
        }
        cycle = config.lambda_A * losses["cycle_A"] + config.lambda_B * losses["cycle_B"]
        total = losses["G_A"] + losses["G_B"] + self.cycle_weight * cycle
        if idt_A is not None and idt_B is not None:
            losses["idt_A"] = reconstruction(idt_A, real_B)
            losses["idt_B"] = reconstruction(idt_B, real_A)
            identity = config.lambda_B * losses["idt_A"] + config.lambda_A * losses["idt_B"]
            total = total + config.lambda_identity * identity
        return total, {name: loss.detach() for name, loss in losses.items()}, fake_A, fake_B

    def discriminators(
        self, real_A: Tensor, real_B: Tensor, fake_A: Tensor, fake_B: Tensor, draws: Draws
    ) -> tuple[Tensor, Losses]:
        """Return what the discriminators descend on, and its terms with what they say of their judgement.

        The pictures are float [B, C, H, W] in [-1, 1]; the four `draws` change real B, fake B, real A and fake A.
        """
        loss_A, terms_A = self._judge("D_A", _seen(real_B, draws[0]), _seen(fake_B, draws[1]))
        loss_B, terms_B = self._judge("D_B", _seen(real_A, draws[2]), _seen(fake_A, draws[3]))
        return loss_A + loss_B, terms_A | terms_B

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
