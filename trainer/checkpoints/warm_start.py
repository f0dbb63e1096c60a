"""The start of a new run from the weights of another."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from ...runtime.errors import CheckpointError, ConfigError
from ..config import TrainConfig
from .checkpoint import find_checkpoint, is_ours, load_checkpoint, restored_config
from .official import Layer, StateDict, clean, discriminator_shape, find_files, generator_shape, network_name
from .weights_file import read_tensors

LOGGER = logging.getLogger(__name__)


ARCHITECTURE = (
    "generator", "discriminator", "n_layers_D", "ngf", "ndf", "norm", "dropout", "upsample", "antialias", "tail",
)  # fmt: skip


@dataclass(frozen=True)
class StartingPoint:
    """Weights of some or all networks, by their names in a checkpoint, and the configuration that they ask for."""

    source: Path
    layer: Layer = field(default_factory=lambda: {"networks": {}, "data": {}})
    states: dict[str, StateDict] = field(default_factory=dict)

    def check(self, config: TrainConfig) -> None:
        """Refuse a configuration in which the weights have no place.

        Raises:
            ConfigError: a key differs.
        """
        wanted = config.model_dump()
        for part, keys in self.layer.items():
            for key, value in keys.items():
                if wanted[part][key] != value:
                    raise ConfigError(
                        f"{self.source} holds networks of {part}.{key}={value}, so it cannot start a run with "
                        f"{wanted[part][key]}; leave that out"
                    )


def read_start(source: Path) -> StartingPoint:
    """Read the weights that a new run starts from.

    That is a run folder or checkpoint of ours, a folder of the official `*_net_G_A.pth` files, or a file of any name
    with the weights of one network. A generator whose name does not tell its direction becomes G_A.

    Raises:
        CheckpointError: there is nothing to start from, or files that do not belong together.
    """
    name = network_name(source)
    files = find_files(source) if source.is_dir() else {name or "G": source}
    if not files or (not name and not source.is_dir() and is_ours(read_tensors(source))):
        return _start_from_ours(source)
    start = StartingPoint(source)
    for network, path in files.items():
        state = clean(read_tensors(path))
        network = "G_A" if network == "G" else network
        if network.startswith("G"):
            layer = generator_shape(state, path).layer(network)
        else:
            layer = {"networks": discriminator_shape(state, path)}
        _merge(start.layer, layer, path)
        start.states[network] = state
    return start


def warm_start(networks: Mapping[str, nn.Module], start: StartingPoint) -> None:
    """Load the weights into fresh networks, by their names in a checkpoint; others stay as they were initialised.

    Raises:
        CheckpointError: weights do not fit the networks they are named after.
    """
    states = dict(start.states)
    for domain in "AB":
        if f"G_{domain}" in states:
            states.setdefault(f"ema_{domain}", states[f"G_{domain}"])
    for name in sorted(states.keys() & networks.keys()):
        try:
            networks[name].load_state_dict(states[name])
        except RuntimeError as error:
            raise CheckpointError(
                f"{start.source} holds weights for {name} that no single architecture explains; was the official code "
                "changed before it wrote them?"
            ) from error
    fresh = ", ".join(name for name in networks if name[:2] in ("G_", "D_") and name not in states)
    LOGGER.info("started from %s%s", start.source, f"; fresh: {fresh}" if fresh else "")


def _start_from_ours(source: Path) -> StartingPoint:
    path = find_checkpoint(source)
    content = load_checkpoint(path)
    config = restored_config(content, path)
    networks = {key: getattr(config.networks, key) for key in ARCHITECTURE}
    if floor := config.networks.norm_floor:  # a network without one may be given one
        networks["norm_floor"] = floor
    data = {"input_nc": config.data.input_nc, "output_nc": config.data.output_nc}
    states = content["state"]["networks"]
    if not config.optim.ema_halflife:  # then the averages were never made
        states = {name: state for name, state in states.items() if not name.startswith("ema")}
    return StartingPoint(source, {"networks": networks, "data": data}, states)


def _merge(whole: Layer, layer: Layer, path: Path) -> None:
    """Merge the architecture of one file into that of the others; they must agree."""
    for part, keys in layer.items():
        for key, value in keys.items():
            if whole[part].setdefault(key, value) != value:
                raise CheckpointError(
                    f"{path} is of {key}={value} and the files beside it of {whole[part][key]}; start from one of them"
                )
