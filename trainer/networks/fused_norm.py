"""Instance normalisation and the activation behind it in one Triton kernel, and its backward pass in another.

It computes what `InstanceNorm` does while training, in FP32 inside and with the input's type outside; one plane is one
program, which reads it three times (mean, variance, result), all but the first time from the cache. The plain form
stays where it has advantages: torch.compile fuses it with the layers around it, an exported graph must show it, and it
can be differentiated twice.
"""

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .layers import FLAT, FLAT_RELATIVE, InstanceNorm

LOGGER = logging.getLogger(__name__)

BLOCK = 4096  # values of a plane that are held at a time
# A trial whose result differs by more from the plain form's is a fault, and no rounding: two roundings of bf16 at 4.
MOST_DIFFERENCE = 0.05


@triton.jit  # type: ignore[untyped-decorator]
def _forward(
    x: tl.tensor, y: tl.tensor, means: tl.tensor, inverses: tl.tensor,
    size: tl.tensor, eps: tl.tensor, limit: tl.tensor, relative: tl.tensor, slope: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    plane = tl.program_id(0)
    first = plane.to(tl.int64) * size
    inner = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, size, BLOCK):
        places = start + inner
        total += tl.load(x + first + places, mask=places < size, other=0.0).to(tl.float32)
    mean = tl.sum(total, 0) / size
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, size, BLOCK):
        places = start + inner
        value = tl.load(x + first + places, mask=places < size, other=0.0).to(tl.float32)
        deviation = tl.where(places < size, value - mean, 0.0)
        total += deviation * deviation
    spread = tl.sum(total, 0) / size + eps
    # As `is_flat`: such a plane becomes zeros, and so does its gradient.
    inverse = tl.where(spread - relative * mean * mean <= limit, 0.0, tl.rsqrt(spread))
    for start in range(0, size, BLOCK):
        places = start + inner
        value = tl.load(x + first + places, mask=places < size, other=0.0).to(tl.float32)
        normal = (value - mean) * inverse
        normal = tl.where(normal > 0, normal, slope * normal)
        tl.store(y + first + places, normal.to(y.dtype.element_ty), mask=places < size)
    tl.store(means + plane, mean)
    tl.store(inverses + plane, inverse)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(
    x: tl.tensor,
    means: tl.tensor,
    inverses: tl.tensor,
    upstream: tl.tensor,
    gradient: tl.tensor,
    size: tl.tensor,
    slope: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    plane = tl.program_id(0)
    first = plane.to(tl.int64) * size
    inner = tl.arange(0, BLOCK)
    mean, inverse = tl.load(means + plane), tl.load(inverses + plane)
    total = tl.zeros((BLOCK,), tl.float32)
    product = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, size, BLOCK):
        places = start + inner
        normal = (tl.load(x + first + places, mask=places < size, other=0.0).to(tl.float32) - mean) * inverse
        above = tl.load(upstream + first + places, mask=places < size, other=0.0).to(tl.float32)
        above = tl.where(normal > 0, above, slope * above)
        total += above
        product += above * normal  # nothing is above the end of the plane
    total_mean, product_mean = tl.sum(total, 0) / size, tl.sum(product, 0) / size
    for start in range(0, size, BLOCK):
        places = start + inner
        normal = (tl.load(x + first + places, mask=places < size, other=0.0).to(tl.float32) - mean) * inverse
        above = tl.load(upstream + first + places, mask=places < size, other=0.0).to(tl.float32)
        above = tl.where(normal > 0, above, slope * above)
        below = tl.where(inverse == 0, 0.0, inverse * (above - total_mean - normal * product_mean))
        tl.store(gradient + first + places, below.to(gradient.dtype.element_ty), mask=places < size)


class _NormalisedAndActivated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, slope: float) -> Tensor:
        x = x.contiguous()
        y = torch.empty_like(x)
        means, inverses = x.new_empty((2, x.shape[0] * x.shape[1]), dtype=torch.float32).unbind()
        size = x.shape[2] * x.shape[3]
        limit, relative = (1 + FLAT**2) * eps, FLAT_RELATIVE**2
        _launch(_forward, x, y, means, inverses, size, eps, limit, relative, slope)
        ctx.save_for_backward(x, means, inverses)
        ctx.slope = slope
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        x, means, inverses = ctx.saved_tensors
        gradient = torch.empty_like(x)
        _launch(_backward, x, means, inverses, upstream.contiguous(), gradient, x.shape[2] * x.shape[3], ctx.slope)
        return gradient, None, None


def _launch(kernel: Any, x: Tensor, *arguments: Any) -> None:
    planes, size = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
    block = min(BLOCK, triton.next_power_of_2(size))
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]  # Triton launches on the current device
        kernel[(planes,)](x, *arguments, BLOCK=block, num_warps=max(1, block // 512), enable_fp_fusion=True)


def normalise_and_activate(x: Tensor, eps: float, slope: float) -> Tensor:
    """Normalise every plane of [B, C, H, W], and multiply what is negative by `slope`; the type stays.

    `slope` is 0 for ReLU, that of a LeakyReLU, or 1 for no activation. Equal to the plain form in FP32 within 1e-5, in
    lower precision within two roundings; the result can be differentiated once.
    """
    result: Tensor = _NormalisedAndActivated.apply(x, eps, slope)
    return result


def fuse(networks: Iterable[nn.Module], device: torch.device, dtype: torch.dtype) -> None:
    """Have the instance norms of these networks use the kernel while they train, if it works on this CUDA device."""
    if not _works(device, dtype):
        return
    for network in networks:
        for module in network.modules():
            if isinstance(module, InstanceNorm):
                module.kernel = normalise_and_activate


@cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    """Try both kernels on a few planes beside the plain form; where they fail or differ, say so."""
    planes = torch.linspace(0, 60, 6 * 32 * 32, device=device).sin().view(2, 3, 32, 32).to(dtype)
    upstream = planes.flip(3)
    try:
        results = []
        for layer in (lambda x: normalise_and_activate(x, InstanceNorm.eps, 0.2), _plain):
            x = planes.clone().requires_grad_()
            made = layer(x)
            results.append(torch.stack((made, *torch.autograd.grad(made, x, upstream))).float())
        difference = (results[0] - results[1]).abs().max().item()
    except Exception as error:  # Triton, its C compiler and the driver have errors of their own
        reason = str(error).strip().partition("\n")[0]
        LOGGER.warning(
            "instance norms are computed kernel by kernel, because fusing fails here: %s: %s",
            type(error).__name__, reason,
        )  # fmt: skip
        return False
    if difference <= MOST_DIFFERENCE:
        return True
    LOGGER.warning("instance norms are computed kernel by kernel, because the fused ones differ by %g here", difference)
    return False


def _plain(x: Tensor) -> Tensor:
    return F.leaky_relu(InstanceNorm()(x), 0.2)
