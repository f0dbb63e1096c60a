"""A residual generator of our own, shaped by where an engine's time goes (docs/small-generators.md)."""

from typing import Literal

from torch import Tensor, nn

from .layers import Chain, FullSizeSkip, PixelSkip, ResidualGenerator, ResnetBlock, Tanh, norm_layer


class EdgeResnetGenerator(ResidualGenerator):
    """One strided convolution to a quarter of the size, residual blocks, and the picture from channels to pixels.

    Nothing is convolved or normalised at full or half size, where the official generator has its 7x7 convolutions,
    and no engine needs a layer to pad. What the blocks make is added to what one convolution without overlap makes of
    the picture, which carries the edges that a quarter of the size cannot. Depth to space is that of Shi et al.,
    "Real-Time Single Image and Video Super-Resolution" (CVPR 2016). With 6 blocks and ngf 16 it has 485,488 parameters,
    the official resnet_9blocks with ngf 64 11,378,179.

    With the tail "smooth" nothing treats pixels by their place in a tile of 4x4: what the blocks make is averaged at
    full size, which leaves no period of 2 or 4 pixels, and the picture comes by a 3x3 convolution. The picture is then
    padded by reflection, so that a flat one has no border.
    """

    size_multiple = 4
    size_minimum = 8  # a plane of one value has no variance to normalise by

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        ngf: int = 16,
        n_blocks: int = 6,
        norm: str = "instance",
        dropout: bool = False,
        tail: str = "tiles",
    ) -> None:
        super().__init__()
        channels = 4 * ngf  # as many as the official generator has in its blocks
        padding_mode: Literal["reflect", "zeros"] = "reflect" if tail == "smooth" else "zeros"
        stem = nn.Conv2d(input_nc, channels, 8, stride=4, padding=2, bias=norm == "instance", padding_mode=padding_mode)
        layers: list[nn.Module] = [stem, norm_layer(norm)(channels), nn.ReLU(True)]
        layers += [ResnetBlock(channels, norm, dropout, padding="zeros") for _ in range(n_blocks)]
        layers += [nn.Conv2d(channels, 16 * output_nc, 3, padding=1)]
        self.skip: nn.Module
        if tail == "smooth":
            layers += [nn.PixelShuffle(4), *averaging()]
            self.skip, self.picture = FullSizeSkip(input_nc, output_nc), nn.Sequential(Tanh())
        else:
            self.skip, self.picture = PixelSkip(input_nc, output_nc, 4), nn.Sequential(nn.PixelShuffle(4), Tanh())
        self.model = Chain(*layers)

    def finish(self, made: Tensor, x: Tensor) -> Tensor:
        """Add the picture's own part, and bring channels back to pixels."""
        return self.picture(made + self.skip(x))  # type: ignore[no-any-return]


def averaging() -> list[nn.Module]:
    """Return the layers of the kernel [1 2 2 2 1] / 8 in both directions, whose response at 1/4 and 1/2 is zero.

    Two averages without weights, which count nothing beyond the border, and so need no padding.
    """
    return [nn.AvgPool2d(4, stride=1, padding=2, count_include_pad=False), nn.AvgPool2d(2, stride=1)]
