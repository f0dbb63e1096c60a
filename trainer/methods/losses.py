"""The terms of the CycleGAN objective as pure functions; each gives a scalar in FP32.

LSGAN: Mao et al. (ICCV 2017); hinge: Lim and Ye (2017); WGAN-GP: Gulrajani et al. (NeurIPS 2017); cycle and identity
terms: Zhu et al. (ICCV 2017), section 3.2 and 5.2.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ...runtime.contract import denormalise, normalise


def generator_adversarial(judgement: Tensor, gan_mode: str) -> Tensor:
    """Return the generator's loss for a discriminator's judgement [B, 1, h, w] of fakes."""
    return _towards_real(judgement.float(), gan_mode) if gan_mode != "hinge" else -judgement.float().mean()


def discriminator_adversarial(real: Tensor, fake: Tensor, gan_mode: str) -> Tensor:
    """Return the discriminator's loss for its judgements [B, 1, h, w] of real and fake pictures; not halved."""
    return _towards_real(real.float(), gan_mode) + _towards_fake(fake.float(), gan_mode)


def _towards_real(judgement: Tensor, gan_mode: str) -> Tensor:
    if gan_mode == "lsgan":
        return (judgement - 1).square().mean()
    if gan_mode == "vanilla":
        return F.softplus(-judgement).mean()  # binary cross-entropy with logits against 1
    if gan_mode == "hinge":
        return F.relu(1 - judgement).mean()
    return -judgement.mean()  # wgangp


def _towards_fake(judgement: Tensor, gan_mode: str) -> Tensor:
    if gan_mode == "lsgan":
        return judgement.square().mean()
    if gan_mode == "vanilla":
        return F.softplus(judgement).mean()  # binary cross-entropy with logits against 0
    if gan_mode == "hinge":
        return F.relu(1 + judgement).mean()
    return judgement.mean()  # wgangp


def accuracy(real: Tensor, fake: Tensor, gan_mode: str) -> Tensor:
    """Return the share of patches [B, 1, h, w] that a discriminator judges rightly: threshold 1/2 for lsgan, else 0."""
    boundary = 0.5 if gan_mode == "lsgan" else 0.0
    return 0.5 * ((real > boundary).float().mean() + (fake <= boundary).float().mean())


def reconstruction(result: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference: the cycle and the identity term."""
    return F.l1_loss(result.float(), target.float())


def as_file(pictures: Tensor, noise: Tensor | None) -> Tensor:
    """Return float [B, C, H, W] in [-1, 1] as an 8-bit file with noise holds it; without noise as it is.

    A generator can hide what its way back needs in differences that no 8-bit file keeps (Chu et al., "CycleGAN, a
    Master of Steganography", 2017, arXiv 1712.02950); here they are lost. `noise` is in steps of 1/255. The gradient
    passes as if nothing were rounded: the straight-through estimator of Bengio et al. (2013, arXiv 1308.3432).
    """
    if noise is None:
        return pictures
    steps = (denormalise(pictures.detach().float()) + noise).round().clamp(0, 255)
    return pictures + (normalise(steps) - pictures.detach())


def relative_error(activation: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of [B, C, h, w] over the target's mean square: 0 equal, 1 as bad as zeros.

    Relative, because the scale of activations is up to the architecture. Where the two differ in resolution, both are
    compared at the smaller: neither is asked for detail that the other cannot hold.
    """
    if activation.shape[-2:] != target.shape[-2:]:
        size = min(activation.shape[-2], target.shape[-2]), min(activation.shape[-1], target.shape[-1])
        activation, target = (F.adaptive_avg_pool2d(each, size) for each in (activation, target))
    target = target.float()
    return (activation.float() - target).square().mean() / target.square().mean().clamp(min=1e-6)


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """Mean of (‖∇ D(x̂)‖₂ - 1)² over the batch, x̂ between fake and real [B, C, H, W] by uniform `shares` [B, 1, 1, 1].

    The mixed pictures leave no trace in the statistics of a batch norm.
    """

    def judged(pictures: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}
        judgement: Tensor = functional_call(discriminator, buffers, (pictures,))
        return judgement.float().sum()

    # A function of its own, unlike `autograd.grad`, can be compiled together with its second derivative.
    gradient: Tensor = torch.func.grad(judged)(torch.lerp(fake.float(), real.float(), shares))
    norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norm - 1).square().mean()
