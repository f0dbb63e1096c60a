"""Generators and discriminators, layer by layer and key by key as in the official PyTorch implementation.

Shapes: B batch, C channels, H height, W width. Generators take and give float [B, C, H, W] in [-1, 1].
Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (ICCV 2017), appendix 7.2;
Johnson et al. (ECCV 2016) for the residual generator; Isola et al. (CVPR 2017) for the U-Net and PatchGAN.
"""

import re
from collections.abc import Callable

from torch import Tensor, nn

from ...runtime.errors import ConfigError
from ..config import GENERATORS, NetworksConfig
from .discriminators import NLayerDiscriminator, PixelDiscriminator
from .edge_resnet import EdgeResnetGenerator
from .layers import FullSizeSkip, PixelSkip
from .norm_floor import floor_norms
from .resnet import ResnetGenerator
from .unet import UnetGenerator

Generator = ResnetGenerator | EdgeResnetGenerator | UnetGenerator


def build_generator(config: NetworksConfig, input_nc: int, output_nc: int) -> Generator:
    """Build the generator that `config.generator` names, with the weights PyTorch starts with.

    Raises:
        ConfigError: no architecture has that name.
    """
    generator = _build_generator(config, input_nc, output_nc)
    if config.norm_floor:
        floor_norms(generator, config.norm_floor)
    return generator


def _build_generator(config: NetworksConfig, input_nc: int, output_nc: int) -> Generator:
    ngf, norm, dropout, upsample = config.ngf, config.norm, config.dropout, config.upsample
    if resnet := re.fullmatch(r"(mobile_|edge_)?resnet_(\d+)blocks", config.generator):
        kind, n_blocks = resnet[1], int(resnet[2])
        if kind == "edge_":
            return EdgeResnetGenerator(input_nc, output_nc, ngf, n_blocks, norm, dropout, config.tail)
        separable = kind == "mobile_"
        return ResnetGenerator(input_nc, output_nc, ngf, n_blocks, norm, dropout, upsample, separable, config.antialias)
    if size := re.fullmatch(r"unet_(128|256)", config.generator):
        num_downs = int(size[1]).bit_length() - 1
        return UnetGenerator(input_nc, output_nc, num_downs, ngf, norm, dropout, upsample)
    raise ConfigError(f"no generator is called {config.generator!r}; use {GENERATORS}")


def build_discriminator(config: NetworksConfig, input_nc: int) -> nn.Module:
    """Build the discriminator that `config.discriminator` names."""
    if config.discriminator == "pixel":
        return PixelDiscriminator(input_nc, config.ndf, config.norm)
    return NLayerDiscriminator(input_nc, config.ndf, config.num_discriminator_layers, config.norm)


def init_weights(network: nn.Module, init_type: str, gain: float) -> None:
    """Initialise as the official code does: convolutions by `init_type`, biases 0, BatchNorm weights N(1, gain).

    A `PixelSkip` or `FullSizeSkip`, which that code has not, begins as the picture.
    """
    initialise: dict[str, Callable[[Tensor], Tensor]] = {
        "normal": lambda weight: nn.init.normal_(weight, 0.0, gain),
        "xavier": lambda weight: nn.init.xavier_normal_(weight, gain),
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain),
    }
    for module in network.modules():
        if isinstance(module, PixelSkip | FullSizeSkip):
            module.begin_as_picture()
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            initialise[init_type](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
