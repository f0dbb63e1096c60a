"""A residual generator of our own, shaped by where an engine's time goes (docs/small-generators.md)."""

from torch import Tensor, nn

from .layers import Chain, PixelSkip, ResidualGenerator, ResnetBlock, Tanh, norm_layer


class EdgeResnetGenerator(ResidualGenerator):
    """One strided convolution to a quarter of the size, residual blocks, and the picture from channels to pixels.

    Nothing is convolved or normalised at full or half size, where the official generator has its 7x7 convolutions,
    and no engine needs a layer to pad. What the blocks make is added to what one convolution without overlap makes of
    the picture, which carries the edges that a quarter of the size cannot. Depth to space is that of Shi et al.,
    "Real-Time Single Image and Video Super-Resolution" (CVPR 2016). With 6 blocks and ngf 16 it has 485,488 parameters,
    the official resnet_9blocks with ngf 64 11,378,179.
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
    ) -> None:
        super().__init__()
        channels = 4 * ngf  # as many as the official generator has in its blocks
        stem = nn.Conv2d(input_nc, channels, 8, stride=4, padding=2, bias=norm == "instance")
        layers: list[nn.Module] = [stem, norm_layer(norm)(channels), nn.ReLU(True)]
        layers += [ResnetBlock(channels, norm, dropout, padding="zeros") for _ in range(n_blocks)]
        layers += [nn.Conv2d(channels, 16 * output_nc, 3, padding=1)]
        self.skip = PixelSkip(input_nc, output_nc, 4)
        self.model = Chain(*layers)
        self.picture = nn.Sequential(nn.PixelShuffle(4), Tanh())

    def finish(self, made: Tensor, x: Tensor) -> Tensor:
        """Add the picture's own part, and bring channels back to pixels."""
        return self.picture(made + self.skip(x))  # type: ignore[no-any-return]
