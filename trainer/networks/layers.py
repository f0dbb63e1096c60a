"""Layers of the generators and discriminators.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

NormLayer = Callable[[int], nn.Module]
# Normalises [B, C, H, W] with an eps, and multiplies what is negative by a slope.
NormKernel = Callable[[Tensor, float, float], Tensor]


# A plane is flat where its deviation is this share of sqrt(eps), or of its mean: all that it varies by is rounding.
FLAT = 1e-3
FLAT_RELATIVE = 1e-6


def is_flat(mean: Tensor, spread: Tensor, eps: float) -> Tensor:
    """Tell which planes are constant up to rounding, from their mean and `spread`, the variance plus `eps`.

    A normalisation divides such a plane by sqrt(eps) and so magnifies rounding errors, and gradients, 316 times; one
    picture of a single colour passes some thirty of them, and its gradient overflows. While training, flat planes are
    therefore normalised to zeros that pass no gradient. Trained on pictures, no plane is ever near: all numbers of
    other planes stay what they are.
    """
    # The variance is at most FLAT² eps + (FLAT_RELATIVE mean)²; two kernels, for every normalisation asks this.
    return torch.addcmul(spread, mean, mean, value=-(FLAT_RELATIVE**2)) <= (1 + FLAT**2) * eps


class InstanceNorm(nn.Module):
    """Instance normalisation without parameters or running statistics, always computed in FP32.

    FP16 overflows on the statistics of a 256x256 plane, so input of lower precision passes through an FP32 island. On
    CUDA that island lies inside PyTorch's kernel, which reads and writes the lower precision: no copy is made.
    """

    eps = 1e-5

    def __init__(self) -> None:
        super().__init__()
        self.kernel: NormKernel | None = None  # computes the training form together with an activation, see fused_norm

    @property
    def fused(self) -> NormKernel | None:
        """The kernel, where it is used now; Inductor, which compiles a step, fuses the plain form itself."""
        return self.kernel if self.training and not torch.compiler.is_compiling() else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every plane of [B, C, H, W]; the result has the input's type."""
        if kernel := self.fused:
            return kernel(x, self.eps, 1.0)
        with torch.autocast(x.device.type, enabled=False):
            if not self.training:
                return F.instance_norm(x.float(), eps=self.eps).to(x.dtype)
            # What `F.instance_norm` does: every plane is a channel of a batch norm, which tells its statistics too.
            planes = (x if x.is_cuda else x.float()).contiguous().view(1, -1, *x.shape[2:])
            normal, mean, inverse = torch.native_batch_norm(planes, None, None, None, None, True, 0.0, self.eps)
            flat = is_flat(mean, inverse.pow(-2), self.eps)
            return normal.masked_fill_(flat[:, None, None], 0.0).view(x.shape).to(x.dtype)


class Chain(nn.Sequential):
    """Layers one after another, where an instance norm may compute the activation behind it too."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the last layer makes; the result is that of `nn.Sequential` up to rounding."""
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            slope = _slope(layers[0]) if layers else None
            if isinstance(layer, InstanceNorm) and layer.fused and slope is not None:
                x = layer.fused(x, layer.eps, slope)
                layers.pop(0)
            else:
                x = layer(x)
        return x


def _slope(activation: nn.Module) -> float | None:
    """Return what an activation multiplies negative values by; None where it does anything else."""
    if isinstance(activation, nn.ReLU):
        return 0.0
    return activation.negative_slope if isinstance(activation, nn.LeakyReLU) else None


class BatchNorm(nn.BatchNorm2d):
    """The batch normalisation of torch, safe against pictures that break an update.

    While training, a channel that is flat in the whole batch becomes its bias, and running statistics take in finite
    values only.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every channel of [B, C, H, W]."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        # Copies, because the backward pass of torch refuses statistics that were changed after the forward pass.
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        normal = F.batch_norm(x, mean, variance, self.weight, self.bias, True, momentum, self.eps)
        self.running_mean.copy_(torch.where(mean.isfinite(), mean, self.running_mean))
        self.running_var.copy_(torch.where(variance.isfinite(), variance, self.running_var))
        variance, mean = torch.var_mean(x.detach().float(), dim=(0, 2, 3), correction=0)
        flat = is_flat(mean, variance + self.eps, self.eps)[:, None, None]
        return torch.where(flat, self.bias[:, None, None].to(normal.dtype), normal)


class Tanh(nn.Module):
    """Hyperbolic tangent in FP32: the last step of every generator, whatever the precision before it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any float tensor to FP32 in [-1, 1]."""
        return torch.tanh(x.float())


def norm_layer(norm: str) -> NormLayer:
    """Return what makes the normalisation layer for a number of channels."""
    makers: dict[str, NormLayer] = {
        "instance": lambda channels: InstanceNorm(),
        "batch": BatchNorm,
        "none": lambda channels: nn.Identity(),
    }
    return makers[norm]


class ResizeConv2d(nn.Conv2d):
    """Doubles both sides: nearest neighbours, then a 3x3 convolution, so that every output pixel sees equally much.

    Odena et al., "Deconvolution and Checkerboard Artifacts" (Distill, 2016).
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', 2H, 2W]."""
        return super().forward(F.interpolate(x, scale_factor=2.0))


def upsampling(kind: str, in_channels: int, out_channels: int, kernel: int, bias: bool) -> nn.Module:
    """Return the layer that doubles both sides; "deconv" is the official transposed convolution, "resize" ours."""
    if kind == "resize":
        return ResizeConv2d(in_channels, out_channels, bias)
    return nn.ConvTranspose2d(in_channels, out_channels, kernel, 2, padding=1, output_padding=kernel % 2, bias=bias)


class BlurPool(nn.Module):
    """Halves both sides without aliasing: a binomial blur, then every second pixel.

    Zhang, "Making Convolutional Networks Shift-Invariant Again" (ICML 2019), key by key as in CUT.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial(torch.tensor([1.0, 2.0, 1.0]), channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H/2, W/2]."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt.to(x.dtype), stride=2, groups=x.shape[1])


class BlurUpsample(nn.Module):
    """Doubles both sides without aliasing: zeros between the pixels, then a binomial blur; see `BlurPool`."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _binomial(torch.tensor([1.0, 3.0, 3.0, 1.0]), channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, 2H, 2W]."""
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, self.filt.to(x.dtype), stride=2, padding=2, groups=x.shape[1])[
            ..., 1:-1, 1:-1
        ]


def _binomial(row: Tensor, channels: int) -> Tensor:
    """Return a blur of sum 1 for each channel, [C, 1, k, k]."""
    square = torch.outer(row, row)
    return (square / square.sum()).repeat(channels, 1, 1, 1)


class ResidualGenerator(nn.Module):
    """A generator with a chain of residual blocks in `model`."""

    model: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        """Translate [B, input_nc, H, W] to [B, output_nc, H, W]; both sides multiples of `size_multiple`."""
        return self.finish(self.model(x), x)

    def finish(self, made: Tensor, x: Tensor) -> Tensor:
        """Make the picture of what `model` makes of `x`; here it is one already."""
        return made


class PixelSkip(nn.Conv2d):
    """Carries each tile of `factor` x `factor` pixels into channels, as `nn.PixelShuffle` brings them back.

    It begins as the picture itself, or its mean channel where the channels differ, and learns from there.
    """

    def __init__(self, input_nc: int, output_nc: int, factor: int) -> None:
        super().__init__(input_nc, output_nc * factor**2, factor, stride=factor, bias=False)
        self.begin_as_picture()

    @torch.no_grad()
    def begin_as_picture(self) -> None:
        """Set the weights to the beginning."""
        pixels = self.kernel_size[0] ** 2
        mixed = _mixed(self.in_channels, self.out_channels // pixels)
        tiles = torch.einsum("oi,pq->opiq", mixed, torch.eye(pixels))
        self.weight.copy_(tiles.reshape(self.weight.shape))


class FullSizeSkip(nn.Conv2d):
    """Carries the picture past the blocks by one 3x3 convolution, which treats all pixels alike; see `PixelSkip`."""

    def __init__(self, input_nc: int, output_nc: int) -> None:
        super().__init__(input_nc, output_nc, 3, padding=1, bias=False, padding_mode="reflect")
        self.begin_as_picture()

    @torch.no_grad()
    def begin_as_picture(self) -> None:
        """Set the weights to the beginning."""
        self.weight.zero_()
        self.weight[:, :, 1, 1] = _mixed(self.in_channels, self.out_channels)


def _mixed(input_nc: int, output_nc: int) -> Tensor:
    """Return the matrix [output_nc, input_nc] that makes a picture of a picture."""
    return torch.eye(input_nc) if input_nc == output_nc else torch.full((output_nc, input_nc), 1 / input_nc)


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection, with no activation after the sum.

    `separable` makes each of them a depthwise 3x3 and a pointwise 1x1 convolution, both normalised (Howard et al.,
    "MobileNets", 2017; Li et al., "GAN Compression", CVPR 2020). `padding` "zeros" is part of a convolution, where
    "reflect", the official one, is a layer of its own to every engine.
    """

    def __init__(
        self,
        channels: int,
        norm: str,
        dropout: bool,
        *,
        separable: bool = False,
        padding: Literal["reflect", "zeros"] = "reflect",
    ) -> None:
        super().__init__()
        make_norm = norm_layer(norm)
        groups = channels if separable else 1
        inside = 1 if padding == "zeros" else 0

        def convolution() -> list[nn.Module]:
            layers: list[nn.Module] = [] if inside else [nn.ReflectionPad2d(1)]
            layers += [nn.Conv2d(channels, channels, 3, padding=inside, groups=groups, bias=norm == "instance")]
            layers += [make_norm(channels)]
            if separable:
                layers += [nn.Conv2d(channels, channels, 1, bias=norm == "instance"), make_norm(channels)]
            return layers

        middle = [nn.ReLU(True), nn.Dropout(0.5)] if dropout else [nn.ReLU(True)]
        self.conv_block = Chain(*convolution(), *middle, *convolution())

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape [B, C, H, W]."""
        return x + self.conv_block(x)  # type: ignore[no-any-return]


class Checkpointed(nn.Module):
    """Stores only a network's input in the forward pass, and computes its activations again in the backward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        """Return what the network returns."""
        return checkpoint(self.network, x, use_reentrant=False)
