"""The discriminators of Isola et al. (CVPR 2017), key by key as in the official implementation."""

from torch import Tensor, nn

from .layers import Chain, norm_layer


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
        self.model = Chain(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, input_nc, H, W] → [B, 1, h, w]; 256x256 gives 30x30 with three layers."""
        return self.model(x)  # type: ignore[no-any-return]


class PixelDiscriminator(nn.Module):
    """Judges every pixel by itself (1x1 convolutions)."""

    def __init__(self, input_nc: int, ndf: int = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = norm == "instance"
        self.net = Chain(
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
