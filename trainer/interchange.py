"""Weights from elsewhere: what a run can start from, and what the official implementation can go on with."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..runtime.errors import CheckpointError, ConfigError, OutputError
from ..runtime.files import replacing
from .checkpoint import Weights, find_checkpoint, load_checkpoint, read_tensors, restored_config
from .config import TrainConfig
from .learner import Learner
from .official import Layer, StateDict, clean, discriminator_shape, find_files, generator_shape, network_name

LOGGER = logging.getLogger(__name__)

ARCHITECTURE = ("generator", "discriminator", "n_layers_D", "ngf", "ndf", "norm", "dropout", "upsample")
OFFICIAL_GENERATORS = ("resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128")


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
    """Read what `--init-from` names.

    That is a run folder or checkpoint of ours, a folder of the official `*_net_G_A.pth` files, or one such file. A
    `*_net_G.pth`, a published model of one direction, becomes G_A.

    Raises:
        CheckpointError: there is nothing to start from, or files that do not belong together.
    """
    name = network_name(source)
    files = find_files(source) if source.is_dir() else {name: source} if name else {}
    if not files:
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


def warm_start(model: Learner, start: StartingPoint) -> None:
    """Put the weights into a fresh model, as far as it has such networks; others stay as they were initialised.

    Raises:
        CheckpointError: weights do not fit the networks they are named after.
    """
    states = dict(start.states)
    for domain in "AB":
        if f"G_{domain}" in states:
            states.setdefault(f"ema_{domain}", states[f"G_{domain}"])
    for name in sorted(states.keys() & model.networks.keys()):
        try:
            model.networks[name].load_state_dict(states[name])
        except RuntimeError as error:
            raise CheckpointError(
                f"{start.source} holds weights for {name} that no single architecture explains; was the official code "
                "changed before it wrote them?"
            ) from error
    fresh = ", ".join(name for name in model.networks if name[:2] in ("G_", "D_") and name not in states)
    LOGGER.info("started from %s%s", start.source, f"; fresh: {fresh}" if fresh else "")


def export_weights(source: Path, folder: Path, weights: Weights = "ema") -> list[Path]:
    """Write `latest_net_{G_A,G_B,D_A,D_B}.pth` into a folder, as the official code's `checkpoints/NAME` holds them.

    Raises:
        CheckpointError: the checkpoint cannot be used, or the official code does not know its architecture.
        OutputError: a file is there already, or cannot be written.
    """
    path = find_checkpoint(source)
    content = load_checkpoint(path)
    config = restored_config(content, path)
    if config.networks.generator not in OFFICIAL_GENERATORS or config.networks.upsample != "deconv":
        raise CheckpointError(
            f"{path} holds {config.networks.generator} with upsample={config.networks.upsample}, and the official code "
            f"knows only {', '.join(OFFICIAL_GENERATORS)} with deconv"
        )
    averaged = weights == "ema" and config.optim.ema_halflife > 0
    states = content["state"]["networks"]
    trained = [domain for domain in "AB" if f"G_{domain}" in states]
    chosen = {f"G_{domain}": states[f"{'ema' if averaged else 'G'}_{domain}"] for domain in trained}
    chosen |= {f"D_{domain}": states[f"D_{domain}"] for domain in trained}
    targets = {name: folder / f"latest_net_{name}.pth" for name in chosen}
    for target in targets.values():
        if target.exists():
            raise OutputError(f"{target} is there already; name another folder with --output")
    for name, target in targets.items():
        with replacing(target) as partial, partial.open("wb") as file:
            torch.save(dict(chosen[name]), file)
    LOGGER.info("the official code builds these networks with: %s", " ".join(_official_options(config)))
    return list(targets.values())


def _start_from_ours(source: Path) -> StartingPoint:
    path = find_checkpoint(source)
    content = load_checkpoint(path)
    config = restored_config(content, path)
    networks = {key: getattr(config.networks, key) for key in ARCHITECTURE}
    data = {"input_nc": config.data.input_nc, "output_nc": config.data.output_nc}
    states = content["state"]["networks"]
    if not config.optim.ema_halflife:  # then the averages were never made
        states = {name: state for name, state in states.items() if not name.startswith("ema")}
    return StartingPoint(source, {"networks": networks, "data": data}, states)


def _merge(whole: Layer, layer: Layer, path: Path) -> None:
    """Lay what one file tells over what the others told; they must agree."""
    for part, keys in layer.items():
        for key, value in keys.items():
            if whole[part].setdefault(key, value) != value:
                raise CheckpointError(
                    f"{path} is of {key}={value} and the files beside it of {whole[part][key]}; start from one of them"
                )


def _official_options(config: TrainConfig) -> list[str]:
    """Return the options under which the official code builds these networks.

    Its cycle_gan model has no dropout, whatever is asked for; its test model has, and builds one generator.
    """
    networks, data = config.networks, config.data
    options = {
        "netG": networks.generator,
        "ngf": networks.ngf,
        "netD": networks.discriminator,
        "ndf": networks.ndf,
        "n_layers_D": networks.n_layers_D,
        "norm": networks.norm,
        "input_nc": data.input_nc,
        "output_nc": data.output_nc,
    }
    words = ["--model", "cycle_gan"]
    if networks.dropout:
        words = ["--model", "test", "--model_suffix", "_A"]
        options = {name: options[name] for name in ("netG", "ngf", "norm", "input_nc", "output_nc")}
    return words + [word for name, value in options.items() for word in (f"--{name}", str(value))]
