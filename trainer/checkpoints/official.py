"""The weights of the official implementation, and of CUT: the names of their files, and the architecture behind them.

A file `EPOCH_net_NAME.pth` is the plain state dict of one network; NAME is G_A, G_B, D_A or D_B, or G in the published
models of a single direction. Nothing in it says what the architecture is, so it is read from the keys and shapes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...runtime.errors import CheckpointError
from .weights_file import describe_foreign

StateDict = dict[str, Tensor]
Layer = dict[str, dict[str, Any]]  # of the configuration, as `resolve_config` takes it

FILE_NAME = re.compile(r"(?P<label>.+)_net_(?P<network>G|[GD]_[AB])\.(pth|pt|bin|safetensors)")
NETWORK_NAMES = frozenset({"G", "G_A", "G_B", "D_A", "D_B"})
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
# What the shapes of other networks, or values that are no tensors, raise.
MISFIT = (KeyError, IndexError, AttributeError, TypeError, ValueError)
RUNNING = re.compile(r"(.+)\.(running_mean|running_var|num_batches_tracked)")


@dataclass(frozen=True)
class GeneratorShape:
    """The architecture behind the shapes of a generator's weights; `networks` is a part of the configuration."""

    networks: dict[str, Any]
    input_nc: int
    output_nc: int

    def layer(self, network: str) -> Layer:
        """Return the configuration in which this is `network`: G_B goes from domain B to domain A."""
        channels = (self.input_nc, self.output_nc)
        input_nc, output_nc = reversed(channels) if network == "G_B" else channels
        return {"networks": self.networks, "data": {"input_nc": input_nc, "output_nc": output_nc}}


def network_name(path: Path) -> str | None:
    """Return the network that a file's name stands for, "G" without a direction; None for other names."""
    match = FILE_NAME.fullmatch(path.name)
    return match["network"] if match else None


def find_files(folder: Path) -> dict[str, Path]:
    """Return the files of a `checkpoints/NAME` folder by network: the latest, or else those of the last epoch."""
    labels: dict[str, dict[str, Path]] = {}
    for path in folder.glob("*_net_*.*"):
        if match := FILE_NAME.fullmatch(path.name):
            labels.setdefault(match["label"], {})[match["network"]] = path
    return labels[max(labels, key=_recency)] if labels else {}


def clean(state: StateDict) -> StateDict:
    """Drop the prefixes of data parallelism and compilation, and the statistics of old InstanceNorm layers.

    Before PyTorch 0.4 InstanceNorm without parameters stored running statistics that are never used.
    """
    state = {WRAPPERS.sub("", key): value for key, value in state.items()}

    def is_unused(key: str) -> bool:
        match = RUNNING.fullmatch(key)
        return match is not None and f"{match[1]}.weight" not in state

    return {key: value for key, value in state.items() if not is_unused(key)}


def generator_shape(state: StateDict, path: Path) -> GeneratorShape:
    """Read the architecture of a clean generator; dropout of a U-Net leaves no trace and is taken as off.

    Raises:
        CheckpointError: these are not the weights of a ResNet or U-Net generator.
    """
    try:
        if "model.1.weight" in state:
            return _resnet_shape(state)
        if "model.model.0.weight" in state:
            return _unet_shape(state)
    except MISFIT:
        pass
    raise CheckpointError(
        f"{path} holds no ResNet or U-Net generator of the official code or CUT, but {_describe(state)}"
    )


def discriminator_shape(state: StateDict, path: Path) -> dict[str, Any]:
    """Return the keys of `networks` that a clean discriminator's shapes tell.

    Raises:
        CheckpointError: these are not the weights of a PatchGAN or pixel discriminator.
    """
    try:
        if "net.0.weight" in state:
            norm = _norm(state, "net.2", "net.3")
            return {"discriminator": "pixel", "ndf": len(state["net.0.weight"]), "norm": norm}
        n_layers = sum(value.ndim == 4 for value in state.values()) - 2
        if "model.0.weight" in state and n_layers >= 1:
            kind = (
                {"discriminator": "basic"} if n_layers == 3 else {"discriminator": "n_layers", "n_layers_D": n_layers}
            )
            return kind | {"ndf": len(state["model.0.weight"]), "norm": _norm(state, "model.2", "model.3")}
    except MISFIT:
        pass
    raise CheckpointError(f"{path} holds no discriminator of the official code, but {_describe(state)}")


def _describe(state: StateDict) -> str:
    """Say what weights that are not understood are."""
    if foreign := describe_foreign(state):
        return foreign
    if "model.0.weight" in state or "net.0.weight" in state:
        return "a discriminator, or a part of one"
    named = ", ".join(map(str, list(state)[:3]))
    return f"{len(state)} {'entry' if len(state) == 1 else 'entries'} ({named}, …)" if named else "nothing"


def _resnet_shape(state: StateDict) -> GeneratorShape:
    first = state["model.1.weight"]
    blocks = sum(re.fullmatch(r"model\.\d+\.conv_block\.1\.weight", key) is not None for key in state)
    ngf = first.shape[0]
    filters = [int(key.split(".")[1]) for key in state if key.endswith(".filt")]  # blur pools of CUT
    if filters not in ([], [7, 11, 12 + blocks, 16 + blocks]):
        raise KeyError("blur pools at other places")
    # A blur pool is a layer of its own behind each strided convolution, and before each that enlarges.
    up, last = (13 + blocks, 21 + blocks) if filters else (10 + blocks, 17 + blocks)
    networks = {
        "generator": f"resnet_{blocks}blocks",
        "ngf": ngf,
        "norm": _norm(state, "model.1", "model.2"),
        "dropout": any(key.endswith("conv_block.6.weight") and value.ndim == 4 for key, value in state.items()),
        "upsample": "deconv" if filters or state[f"model.{up}.weight"].shape[0] == 4 * ngf else "resize",
        "antialias": bool(filters),
    }
    return GeneratorShape(networks, first.shape[1], state[f"model.{last}.weight"].shape[0])


def _unet_shape(state: StateDict) -> GeneratorShape:
    first, last = state["model.model.0.weight"], state["model.model.3.weight"]
    downs = 1 + sum(re.fullmatch(r"model\.model\.1(\.model\.3)*\.model\.1\.weight", key) is not None for key in state)
    if downs not in (7, 8):
        raise KeyError(f"{downs} levels")
    resize = last.shape[-1] == 3
    networks = {
        "generator": f"unet_{2**downs}",
        "ngf": first.shape[0],
        "norm": _norm(state, "model.model.1.model.1", "model.model.1.model.2"),
        "upsample": "resize" if resize else "deconv",
    }
    return GeneratorShape(networks, first.shape[1], last.shape[0 if resize else 1])


def _norm(state: StateDict, convolution: str, following: str) -> str:
    """Tell the normalisation from what follows a convolution: only before InstanceNorm the convolution has a bias."""
    if f"{following}.weight" in state and state[f"{following}.weight"].ndim == 1:
        return "batch"
    return "instance" if f"{convolution}.bias" in state else "none"


def _recency(label: str) -> tuple[bool, int]:
    number = re.search(r"\d+$", label)
    return label == "latest", int(number[0]) if number else -1
