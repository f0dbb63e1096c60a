"""The residual generator of Johnson et al. (ECCV 2016), key by key as in the official implementation."""

from torch import nn

from .layers import BlurPool, BlurUpsample, Chain, ResidualGenerator, ResnetBlock, Tanh, norm_layer, upsampling


class ResnetGenerator(ResidualGenerator):
    """Stem, two strided convolutions, residual blocks at a quarter of the size, two transposed convolutions, tail.

    With 9 blocks and ngf 64 it has 11,378,179 parameters; with separable blocks, as mobile_resnet_9blocks, 1,987,075.
    With `antialias` its strides are blur pools, as in the generator of CUT (Park et al., ECCV 2020).
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
        antialias: bool = False,
    ) -> None:
        super().__init__()
        make_norm, bias = norm_layer(norm), norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7, bias=bias)]
        layers += [make_norm(ngf), nn.ReLU(True)]
        for channels in (ngf, 2 * ngf):  # [B, ngf, H, W] → [B, 4·ngf, H/4, W/4]
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=1 if antialias else 2, padding=1, bias=bias)]
            layers += [make_norm(2 * channels), nn.ReLU(True)]
            layers += [BlurPool(2 * channels)] if antialias else []
        layers += [ResnetBlock(4 * ngf, norm, dropout, separable=separable) for _ in range(n_blocks)]
        for channels in (4 * ngf, 2 * ngf):  # [B, 4·ngf, H/4, W/4] → [B, ngf, H, W]
            if antialias:
                layers += [BlurUpsample(channels), nn.Conv2d(channels, channels // 2, 3, padding=1, bias=bias)]
            else:
                layers += [upsampling(upsample, channels, channels // 2, 3, bias)]
            layers += [make_norm(channels // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), Tanh()]
        self.model = Chain(*layers)
