"""CycleGAN on one page: its objective, and the two generators and two discriminators that are trained on it.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (ICCV 2017).
"""

import torch
from torch import Tensor

from ..config import TrainConfig
from ..distributed import World
from ..networks.build import build_discriminator, build_generator
from .draws import Draws
from .gan import GAN, initialised
from .losses import as_file, reconstruction
from .objective import Losses, Objective, Pictures, Players
from .schedule import cycle_weight_factor


class CycleObjective(Objective):
    """The CycleGAN objective; `cycle_weight` scales lambda_A and lambda_B in the present epoch."""

    def __init__(self, config: TrainConfig, players: Players) -> None:
        super().__init__(config, players)
        self.cycle_weight = torch.ones((), device=players.device)
        self.cycle_noise = self._config.cycle_noise

    def generators(self, real: Pictures, draws: Draws) -> tuple[Tensor, Losses, Pictures]:
        """Return the adversarial, cycle, identity and temporal terms of both directions."""
        config, G_A, G_B = self._config, self._learning["G_A"], self._learning["G_B"]
        real_A, real_B = real["A"], real["B"]
        idt_A = idt_B = None
        with self._autocast():
            if config.lambda_identity:
                fake_B, idt_A = self._together(G_A, real_A, real_B)
                fake_A, idt_B = self._together(G_B, real_B, real_A)
            else:
                fake_B, fake_A = G_A(real_A), G_B(real_B)
            # The way back starts from what a file would hold of a fake, where noise is asked for.
            noise = draws[-2:] if self.cycle_noise else (None, None)
            seen_A, seen_B = as_file(fake_A, noise[0]), as_file(fake_B, noise[1])
            rec_A, rec_B = G_B(seen_B), G_A(seen_A)
        losses = {
            "G_A": self._generator_loss("D_A", fake_B, draws[0]),
            "G_B": self._generator_loss("D_B", fake_A, draws[1]),
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
        if self.steadied:
            losses["temporal_A"] = self._temporal_loss(G_A, real_A, fake_B, draws[2])
            losses["temporal_B"] = self._temporal_loss(G_B, real_B, fake_A, draws[3])
            total = total + config.lambda_temporal * (losses["temporal_A"] + losses["temporal_B"])
        return total, {name: loss.detach() for name, loss in losses.items()}, {"A": fake_A, "B": fake_B}


class CycleGAN(GAN):
    """Both directions at once, held together by the cycle."""

    objective: CycleObjective

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        amp_dtype: torch.dtype | None = None,
        world: World = World(),  # noqa: B008 - frozen
    ) -> None:
        """Build everything from `config.run.seed`; `amp_dtype` is the type of autocast, None for FP32."""
        torch.manual_seed(config.run.seed)
        channels_A, channels_B = config.data.input_nc, config.data.output_nc
        self.G_A = initialised(build_generator(config.networks, channels_A, channels_B), config)
        self.G_B = initialised(build_generator(config.networks, channels_B, channels_A), config)
        self.D_A = initialised(build_discriminator(config.networks, channels_B), config)
        self.D_B = initialised(build_discriminator(config.networks, channels_A), config)
        networks = {"G_A": self.G_A, "G_B": self.G_B, "D_A": self.D_A, "D_B": self.D_B}
        super().__init__(config, networks, CycleObjective, device, amp_dtype, world)
        self.ema_A, self.ema_B = self.networks["ema_A"], self.networks["ema_B"]

    def begin(self, epoch: int) -> None:
        """Set the weight of the cycle in `epoch`, counted from 1, after `schedule.cycle_weight_end`."""
        self.objective.cycle_weight.fill_(cycle_weight_factor(self.config.schedule, epoch))
