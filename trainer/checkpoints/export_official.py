"""Weights as files that the official implementation loads."""

import logging
from pathlib import Path

import torch

from ...runtime.errors import CheckpointError, OutputError
from ...runtime.files import replacing
from ..config import TrainConfig
from .checkpoint import Weights, find_checkpoint, load_checkpoint, restored_config

LOGGER = logging.getLogger(__name__)


OFFICIAL_GENERATORS = ("resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128")


def export_weights(source: Path, folder: Path, weights: Weights = "ema") -> list[Path]:
    """Write `latest_net_{G_A,G_B,D_A,D_B}.pth` into a folder, as the official code's `checkpoints/NAME` holds them.

    Raises:
        CheckpointError: the checkpoint cannot be used, or the official code does not know its architecture.
        OutputError: a file is there already, or cannot be written.
    """
    path = find_checkpoint(source)
    content = load_checkpoint(path)
    config = restored_config(content, path)
    networks = config.networks
    if networks.generator not in OFFICIAL_GENERATORS or networks.upsample != "deconv" or networks.antialias:
        raise CheckpointError(
            f"{path} holds {networks.generator} with upsample={networks.upsample} and antialias={networks.antialias}, "
            f"and the official code knows only {', '.join(OFFICIAL_GENERATORS)} with deconv and without antialias"
        )
    if networks.norm_floor:
        raise CheckpointError(
            f"{path} holds norms with norm_floor={networks.norm_floor:g}, and those of the official code have no floor"
        )
    averaged = weights == "ema" and config.optim.ema_halflife > 0
    states = content["state"]["networks"]
    trained = [domain for domain in "AB" if f"G_{domain}" in states]
    chosen = {f"G_{domain}": states[f"{'ema' if averaged else 'G'}_{domain}"] for domain in trained}
    chosen |= {f"D_{domain}": states[f"D_{domain}"] for domain in trained}
    targets = {name: folder / f"latest_net_{name}.pth" for name in chosen}
    for target in targets.values():
        if target.exists():
            raise OutputError(f"{target} is there already; name another folder")
    for name, target in targets.items():
        with replacing(target) as partial, partial.open("wb") as file:
            torch.save(dict(chosen[name]), file)
    LOGGER.info("the official code builds these networks with: %s", " ".join(_official_options(config)))
    return list(targets.values())


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
