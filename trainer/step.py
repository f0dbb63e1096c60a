"""The CycleGAN step: two generators and two discriminators that learn on one batch of each domain."""

import torch

from .config import TrainConfig
from .distributed import World
from .learner import Learner, initialised
from .networks import build_discriminator, build_generator
from .objective import CycleObjective
from .schedule import cycle_weight_factor


class CycleGAN(Learner):
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
        super().__init__(config, networks, device, amp_dtype, world)
        self.ema_A, self.ema_B = self.networks["ema_A"], self.networks["ema_B"]
        objective = CycleObjective(config, self.networks, self._called, self._autocast, self._rng)
        objective.cycle_weight = objective.cycle_weight.to(device)
        self._descend(objective)

    def begin(self, epoch: int) -> None:
        """Weigh the cycle as `schedule.cycle_weight_end` has it in this epoch, counted from 1."""
        self.objective.cycle_weight.fill_(cycle_weight_factor(self.config.schedule, epoch))
