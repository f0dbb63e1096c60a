"""Generators and discriminators, layer by layer and key by key as in the official PyTorch implementation.

Shapes: B batch, C channels, H height, W width. Generators take and give float [B, C, H, W] in [-1, 1].
Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (ICCV 2017), appendix 7.2;
Johnson et al. (ECCV 2016) for the residual generator; Isola et al. (CVPR 2017) for the U-Net and PatchGAN.
"""

import re
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ..runtime.errors import ConfigError
from .config import GENERATORS, NetworksConfig
from .edge_resnet import EdgeResnetGenerator
from .layers import PixelSkip, ResidualGenerator, ResnetBlock, Tanh, norm_layer, upsampling


class ResnetGenerator(ResidualGenerator):
    """Stem, two strided convolutions, residual blocks at a quarter of the size, two transposed convolutions, tail.

    With 9 blocks and ngf 64 it has 11,378,179 parameters; with separable blocks, as mobile_resnet_9blocks, 1,987,075.
    """

    size_multiple = 4
    size_minimum = 8  # the blocks pad by reflection: a quarter of the side must be at least 2

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        ngf: int = 64,
        n_blocks: int = 9,
        norm: str = "instance",
        dropout: bool = False,
        upsample: str = "deconv",
        separable: bool = False,
    ) -> None:
        super().__init__()
        make_norm, bias = norm_layer(norm), norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7, bias=bias)]
        layers += [make_norm(ngf), nn.ReLU(True)]
        for channels in (ngf, 2 * ngf):  # [B, ngf, H, W] → [B, 4·ngf, H/4, W/4]
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias)]
            layers += [make_norm(2 * channels), nn.ReLU(True)]
        layers += [ResnetBlock(4 * ngf, norm, dropout, separable=separable) for _ in range(n_blocks)]
        for channels in (4 * ngf, 2 * ngf):  # [B, 4·ngf, H/4, W/4] → [B, ngf, H, W]
            layers += [upsampling(upsample, channels, channels // 2, 3, bias)]
            layers += [make_norm(channels // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), Tanh()]
        self.model = nn.Sequential(*layers)


class UnetBlock(nn.Module):
    """One level of the U-Net: down, the levels below it, up, with a skip connection around all."""

    def __init__(
        self,
        outer: int,
        inner: int,
        below: "UnetBlock | None",
        norm: str,
        *,
        input_nc: int | None = None,
        outermost: bool = False,
        dropout: bool = False,
        upsample: str = "deconv",
    ) -> None:
        super().__init__()
        make_norm, bias = norm_layer(norm), norm == "instance"
        self.outermost = outermost
        down = nn.Conv2d(outer if input_nc is None else input_nc, inner, 4, stride=2, padding=1, bias=bias)
        from_below = inner if below is None else 2 * inner
        up = upsampling(upsample, from_below, outer, 4, bias or outermost)
        layers: list[nn.Module]
        if outermost:
            assert below is not None
            layers = [down, below, nn.ReLU(True), up, Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, make_norm(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, make_norm(inner), below, nn.ReLU(True), up, make_norm(outer)]
        if dropout:
            layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, outer, H, W] → [B, 2·outer, H, W]; the outermost level gives the picture alone."""
        if self.outermost:
            return self.model(x)  # type: ignore[no-any-return]
        # The first LeakyReLU works in place, so the skip carries its result, as the official code's does.
        return torch.cat([x, self.model(x)], 1)


class UnetGenerator(nn.Module):
    """U-Net with `num_downs` levels; sides are multiples of 2**num_downs."""

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        num_downs: int,
        ngf: int = 64,
        norm: str = "batch",
        dropout: bool = False,
        upsample: str = "deconv",
    ) -> None:
        super().__init__()
        self.size_multiple = self.size_minimum = 2**num_downs
        level = partial(UnetBlock, norm=norm, upsample=upsample)
        block = level(8 * ngf, 8 * ngf, None)
        for _ in range(num_downs - 5):
            block = level(8 * ngf, 8 * ngf, block, dropout=dropout)
        for width in (4, 2, 1):
            block = level(width * ngf, 2 * width * ngf, block)
        self.model = level(output_nc, ngf, block, input_nc=input_nc, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        """Translate [B, input_nc, H, W] to [B, output_nc, H, W]."""
        return self.model(x)  # type: ignore[no-any-return]


class NLayerDiscriminator(nn.Module):
    """PatchGAN: one judgement for every overlapping patch (70x70 pixels with three layers), without a sigmoid."""

    def __init__(self, input_nc: int, ndf: int = 64, n_layers: int = 3, norm: str = "instance") -> None:
        super().__init__()
        make_norm, bias = norm_layer(norm), norm == "instance"
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        widths = [ndf * min(2**n, 8) for n in range(n_layers + 1)]
        for n in range(1, n_layers + 1):
            stride = 2 if n < n_layers else 1
            layers += [nn.Conv2d(widths[n - 1], widths[n], 4, stride=stride, padding=1, bias=bias)]
            layers += [make_norm(widths[n]), nn.LeakyReLU(0.2, True)]
        layers.append(nn.Conv2d(widths[-1], 1, 4, stride=1, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, input_nc, H, W] → [B, 1, h, w]; 256x256 gives 30x30 with three layers."""
        return self.model(x)  # type: ignore[no-any-return]


class PixelDiscriminator(nn.Module):
    """Judges every pixel by itself (1x1 convolutions)."""

    def __init__(self, input_nc: int, ndf: int = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = norm == "instance"
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(norm)(2 * ndf),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, input_nc, H, W] → [B, 1, H, W]."""
        return self.net(x)  # type: ignore[no-any-return]


Generator = ResnetGenerator | EdgeResnetGenerator | UnetGenerator


def build_generator(config: NetworksConfig, input_nc: int, output_nc: int) -> Generator:
    """Build the generator that `config.generator` names, with the weights PyTorch starts with.

    Raises:
        ConfigError: no architecture has that name.
    """
    ngf, norm, dropout, upsample = config.ngf, config.norm, config.dropout, config.upsample
    if resnet := re.fullmatch(r"(mobile_|edge_)?resnet_(\d+)blocks", config.generator):
        kind, n_blocks = resnet[1], int(resnet[2])
        if kind == "edge_":
            return EdgeResnetGenerator(input_nc, output_nc, ngf, n_blocks, norm, dropout)
        separable = kind == "mobile_"
        return ResnetGenerator(input_nc, output_nc, ngf, n_blocks, norm, dropout, upsample, separable)
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

    A `PixelSkip`, which that code has not, begins as the picture.
    """
    initialise: dict[str, Callable[[Tensor], Tensor]] = {
        "normal": lambda weight: nn.init.normal_(weight, 0.0, gain),
        "xavier": lambda weight: nn.init.xavier_normal_(weight, gain),
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain),
    }
    for module in network.modules():
        if isinstance(module, PixelSkip):
            module.begin_as_picture()
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            initialise[init_type](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
