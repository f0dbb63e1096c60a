"""The distillation step: small generators learn to do what large, trained ones do with the same pictures.

A student descends on three terms: the L1 distance to its teacher's output, the distance of activations at matching
depths through 1x1 convolutions that learn with it, and the judgement of a discriminator that starts as the teacher's.
Li et al., "GAN Compression" (CVPR 2020), section 3.1.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.contract import padded_side
from ...runtime.errors import CheckpointError, ConfigError
from ...runtime.metadata import Direction
from ..config import TrainConfig
from ..distributed import World
from ..networks.build import Generator, build_discriminator, build_generator
from ..networks.layers import ResidualGenerator, ResnetBlock
from .draws import Draws
from .gan import GAN, initialised
from .losses import reconstruction, relative_error
from .objective import Losses, Objective, Pictures, Players
from .teacher import load_teachers, start_from_teacher

LOGGER = logging.getLogger(__name__)


# Shares of the chain of residual blocks after which activations are compared, as the official GAN Compression has them.
DEPTHS = (0.0, 1 / 3, 2 / 3, 1.0)


class Distillation(GAN):
    """Students of one direction or both, which share nothing but the optimisers."""

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        amp_dtype: torch.dtype | None = None,
        world: World = World(),  # noqa: B008 - frozen
    ) -> None:
        """Build everything from `config.run.seed`, and load the teachers.

        Raises:
            CheckpointError: there is no such teacher.
            ConfigError: the student cannot learn from it.
        """
        loaded = load_teachers(config)
        torch.manual_seed(config.run.seed)
        students = {
            f"G_{direction[0]}": build_generator(config.networks, teacher.input_nc, teacher.output_nc)
            for direction, teacher in loaded.items()
        }
        networks = {name: initialised(student, config) for name, student in students.items()}
        for direction, teacher in loaded.items():
            networks[f"D_{direction[0]}"] = initialised(build_discriminator(config.networks, teacher.output_nc), config)
        start_from_teacher(networks, config)
        watched, learning = {}, {}
        for (direction, teacher), (name, student) in zip(loaded.items(), students.items(), strict=True):
            watched[direction] = Observed(teacher.network)
            learning[name] = Observed(student)
            if config.distill.lambda_features:
                adaptors = match(learning[name], watched[direction], teacher.input_nc)
                networks[f"adaptors_{direction[0]}"] = adaptors
        objective = partial(DistillationObjective, watched)
        super().__init__(config, networks, objective, device, amp_dtype, world, in_place_of=learning)
        self.teachers = {direction: teacher.network.to(device) for direction, teacher in loaded.items()}
        self._sha256 = {direction: teacher.sha256 for direction, teacher in loaded.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every GAN, and the hashes of the teachers."""
        return super().state_dict() | {"teachers": self._sha256}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken.

        Raises:
            CheckpointError: the teacher has changed since.
        """
        if state["teachers"] != self._sha256:
            raise CheckpointError(
                f"{self.config.distill.teacher} is not what this student began to learn from: was it trained further "
                "since? Name the old one, such as a checkpoint that was kept, or start anew under another name"
            )
        super().load_state_dict(state)


class DistillationObjective(Objective):
    """The students' objective: their teachers' output and activations, and their discriminators' judgement."""

    def __init__(self, teachers: Mapping[Direction, nn.Module], config: TrainConfig, players: Players) -> None:
        """Take the teachers too; each returns a picture and activations."""
        super().__init__(config, players)
        self._teachers = teachers
        self._weights = config.distill

    def generators(self, real: Pictures, draws: Draws) -> tuple[Tensor, Losses, Pictures]:
        """Return the terms of every direction that is learnt."""
        totals, fakes = [], {}
        losses: Losses = {}
        for number, (direction, teacher) in enumerate(self._teachers.items()):
            domain, student = direction[0], self._learning[f"G_{direction[0]}"]
            with torch.no_grad(), self._autocast():
                wanted, landmarks = teacher(real[domain])
            with self._autocast():
                fake, activations = student(real[domain])
            adversarial = self._generator_loss(f"D_{domain}", fake, draws[number])
            output = reconstruction(fake, wanted)
            total = self._weights.lambda_adversarial * adversarial + self._weights.lambda_output * output
            losses |= {f"G_{domain}": adversarial, f"output_{domain}": output}
            if activations:
                errors = [relative_error(*pair) for pair in zip(activations, landmarks, strict=True)]
                losses[f"features_{domain}"] = torch.stack(errors).mean()
                total = total + self._weights.lambda_features * losses[f"features_{domain}"]
            if self.steadied:
                motion = draws[len(self._teachers) + number]
                steady = self._temporal_loss(partial(_picture, student), real[domain], fake, motion)
                losses[f"temporal_{domain}"] = steady
                total = total + self._config.lambda_temporal * steady
            totals.append(total)
            fakes[direction[-1]] = fake
        return torch.stack(totals).sum(), {name: loss.detach() for name, loss in losses.items()}, fakes


def _picture(observed: nn.Module, pictures: Tensor) -> Tensor:
    """Return what an observed generator makes of pictures, without its activations."""
    picture: Tensor = observed(pictures)[0]
    return picture


class Observed(nn.Module):
    """A generator that gives its activations at some depths beside its picture: a student's through its adaptors."""

    def __init__(self, generator: Generator) -> None:
        """Observe nothing yet; see `match`."""
        super().__init__()
        self.generator = generator
        self.layers: list[int] = []
        self.adaptors = nn.ModuleList()

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Translate [B, C, H, W]; the activations are [B, C', h, w] each."""
        if not self.layers:
            return self.generator(x), []
        assert isinstance(self.generator, ResidualGenerator)  # or there were no such layers
        seen, made = {}, x
        for number, layer in enumerate(self.generator.model):
            made = layer(made)
            seen[number] = made
        activations = [seen[number] for number in self.layers]
        if self.adaptors:
            activations = [adaptor(activation) for adaptor, activation in zip(self.adaptors, activations, strict=True)]
        return self.generator.finish(made, x), activations


def match(student: Observed, teacher: Observed, input_nc: int) -> nn.ModuleList:
    """Observe both at the same depths; returns the 1x1 convolutions that lead from student to teacher.

    Raises:
        ConfigError: one of the two has no chain of residual blocks.
    """
    for observed in (student, teacher):
        observed.layers = observed_layers(observed.generator)
    widths = [_widths(observed, input_nc) for observed in (student, teacher)]
    student.adaptors.extend(nn.Conv2d(own, wanted, 1) for own, wanted in zip(*widths, strict=True))
    return student.adaptors


def observed_layers(generator: Generator) -> list[int]:
    """Return the layers of `generator.model` whose outputs stand at `DEPTHS` of its chain of residual blocks.

    Raises:
        ConfigError: it has none.
    """
    layers = enumerate(generator.model) if isinstance(generator, ResidualGenerator) else ()
    blocks = [number for number, layer in layers if isinstance(layer, ResnetBlock)]
    if not blocks:
        raise ConfigError(
            "activations are compared along residual blocks, and a U-Net has none; set distill.lambda_features=0"
        )
    return [blocks[0] - 1 + round(share * len(blocks)) for share in DEPTHS]


@torch.no_grad()
def _widths(observed: Observed, input_nc: int) -> list[int]:
    """Return the channels of every activation, as a picture of the smallest size shows them."""
    generator = observed.generator
    side = padded_side(generator.size_minimum, generator.size_multiple)
    training = generator.training
    generator.eval()
    _, activations = observed(torch.zeros(1, input_nc, side, side))
    generator.train(training)
    return [activation.shape[1] for activation in activations]
