"""The U-Net generator of Isola et al. (CVPR 2017), key by key as in the official implementation."""

from functools import partial

import torch
from torch import Tensor, nn

from .layers import Tanh, norm_layer, upsampling


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
