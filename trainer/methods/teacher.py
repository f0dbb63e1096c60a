"""The teacher of a distillation: its networks, and the configuration that its student begins with."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ...runtime.contract import padded_side
from ...runtime.errors import ConfigError
from ...runtime.metadata import Direction
from ..checkpoints.checkpoint import LoadedGenerator, load_generator
from ..checkpoints.official import Layer
from ..checkpoints.warm_start import read_start
from ..config import TrainConfig

LOGGER = logging.getLogger(__name__)


# Five times that of CycleGAN: a picture to descend to allows it, and short runs need it (docs/distillation.md).
LEARNING_RATE = 1e-3


def as_taught(source: Path, direction: Direction) -> Layer:
    """Return the configuration that lets a student see what its teacher saw, with discriminators like its.

    Raises:
        CheckpointError: there is no such teacher.
    """
    config = load_generator(source, direction).config
    own = {"upsample", "dropout", "antialias", "tail"}  # of the student
    networks = config.networks.model_dump(exclude=own)
    losses = {"gan_mode": config.losses.gan_mode, "lambda_gp": config.losses.lambda_gp, "lambda_identity": 0.0}
    return {
        "data": config.data.model_dump(exclude={"dataroot"}),
        "networks": networks,
        "losses": losses,
        "optim": {"lr": LEARNING_RATE},
    }


def load_teachers(config: TrainConfig) -> dict[Direction, LoadedGenerator]:
    """Load the generator of every direction that is learnt.

    Raises:
        CheckpointError: there is no such teacher.
        ConfigError: it translates other pictures than the run's, or is narrower than the student.
    """
    source = Path(config.distill.teacher)
    teachers = {direction: load_generator(source, direction) for direction in config.distill.directions}
    unnamed = [teacher.sha256 for teacher in teachers.values() if teacher.step is None]
    if len(set(unnamed)) < len(unnamed):
        raise ConfigError(f"{source} holds one generator; say which way it translates: distill.direction=AtoB or BtoA")
    for direction, teacher in teachers.items():
        _check(config, direction, teacher)
    return teachers


def _check(config: TrainConfig, direction: Direction, teacher: LoadedGenerator) -> None:
    """Refuse a teacher that this student cannot learn from."""
    data, network = config.data, teacher.network
    channels = (data.input_nc, data.output_nc)[:: 1 if direction == "AtoB" else -1]
    if channels != (teacher.input_nc, teacher.output_nc):
        raise ConfigError(
            f"the teacher {teacher.name} turns {teacher.input_nc} channels into {teacher.output_nc} ({direction}), not "
            f"{channels[0]} into {channels[1]}; leave out data.input_nc and data.output_nc"
        )
    if teacher.step is not None and data.direction != teacher.config.data.direction:
        raise ConfigError(
            f"the teacher {teacher.name} was trained with data.direction={teacher.config.data.direction}; leave it out"
        )
    if data.crop_size % network.size_multiple or (
        network.size_multiple > config.networks.size_multiple and not data.preprocess.endswith("crop")
    ):
        raise ConfigError(
            f"the teacher {teacher.name} takes sides that are multiples of {network.size_multiple}; train on crops of "
            f"them: data.crop_size={padded_side(data.crop_size, network.size_multiple)}"
        )
    widest = teacher.config.networks.ngf
    if config.networks.ngf > widest:
        raise ConfigError(f"a student of ngf {config.networks.ngf} is wider than its teacher; take {widest} or less")


def start_from_teacher(networks: dict[str, nn.Module], config: TrainConfig) -> None:
    """Give every discriminator the weights of its teacher's, where there is one of the same shape."""
    states = read_start(Path(config.distill.teacher)).states
    for name, network in networks.items():
        if not name.startswith("D_"):
            continue
        state = states.get(name, {})
        if _shapes(state) == _shapes(network.state_dict()):
            network.load_state_dict(state)
        else:
            LOGGER.info("%s starts fresh: the teacher has none of the same shape", name)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in state.items()}
