import math

import pytest
import torch

from cyclegan_edge.trainer.methods.losses import (
    accuracy,
    as_file,
    discriminator_adversarial,
    generator_adversarial,
    gradient_penalty,
    reconstruction,
)

JUDGEMENT = torch.tensor([0.5, -1.0])
REAL = torch.tensor([0.5, 2.0])


@pytest.mark.parametrize(
    ("gan_mode", "expected"),
    [
        ("lsgan", (0.25 + 4.0) / 2),
        ("vanilla", (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(1.0))) / 2),
        ("hinge", 0.25),
        ("wgangp", 0.25),
    ],
)
def test_generator_term_by_hand(gan_mode, expected):
    assert generator_adversarial(JUDGEMENT, gan_mode).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gan_mode", "expected"),
    [
        ("lsgan", (0.25 + 1.0) / 2 + (0.25 + 1.0) / 2),
        (
            "vanilla",
            (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(-2.0))) / 2
            + (math.log(1 + math.exp(0.5)) + math.log(1 + math.exp(-1.0))) / 2,
        ),
        ("hinge", (0.5 + 0.0) / 2 + (1.5 + 0.0) / 2),
        ("wgangp", -1.25 + -0.25),
    ],
)
def test_discriminator_term_by_hand(gan_mode, expected):
    assert discriminator_adversarial(REAL, JUDGEMENT, gan_mode).item() == pytest.approx(expected)


def test_vanilla_is_binary_cross_entropy_with_logits():
    judgement = torch.randn(3, 1, 4, 4)
    target = torch.ones_like(judgement)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(judgement, target)
    assert generator_adversarial(judgement, "vanilla").item() == pytest.approx(expected.item())


def test_reconstruction_is_the_mean_absolute_difference():
    assert reconstruction(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.5])).item() == pytest.approx(1.0)


def test_losses_are_fp32_whatever_comes_in():
    half = torch.randn(2, 1, 3, 3).bfloat16()
    for gan_mode in ("lsgan", "vanilla", "hinge", "wgangp"):
        assert generator_adversarial(half, gan_mode).dtype == torch.float32
        assert discriminator_adversarial(half, half, gan_mode).dtype == torch.float32
    assert reconstruction(half, half).dtype == torch.float32


class Judge(torch.nn.Module):
    """A function as a discriminator."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_gradient_penalty_of_a_linear_judge_by_hand():
    weight = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    real, fake = torch.randn(5, 2, 1, 1), torch.randn(5, 2, 1, 1)
    penalty = gradient_penalty(Judge(lambda x: (weight * x).sum(1)), real, fake, torch.rand(5, 1, 1, 1))
    assert penalty.item() == pytest.approx((5.0 - 1.0) ** 2)


def test_gradient_penalty_is_taken_between_real_and_fake():
    # For D(x) = x²/2 the gradient is x itself, so the penalty tells where it was taken: 1 lies between 0 and 2.
    real, fake = torch.full((1000, 1, 1, 1), 2.0), torch.zeros(1000, 1, 1, 1)
    penalty = gradient_penalty(
        Judge(lambda x: x.square() / 2), real, fake, torch.linspace(0, 1, 1000).view(-1, 1, 1, 1)
    )
    assert penalty.item() == pytest.approx(1 / 3, rel=0.1)  # E (2u - 1)² for uniform u


def test_gradient_penalty_moves_the_discriminator():
    judge = torch.nn.Conv2d(2, 1, 1)
    gradient_penalty(judge, torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4), torch.rand(3, 1, 1, 1)).backward()
    assert judge.weight.grad.abs().sum() > 0


def test_gradient_penalty_is_that_of_autograd_and_leaves_batch_statistics_alone():
    judge = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 1, 1))
    before = {name: buffer.clone() for name, buffer in judge.named_buffers()}
    real, fake, shares = torch.randn(3, 2, 6, 6), torch.randn(3, 2, 6, 6), torch.rand(3, 1, 1, 1)
    gradient_penalty(judge, real, fake, shares).backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in judge.named_buffers())
    found = [parameter.grad.clone() for parameter in judge[0].parameters()]
    judge.zero_grad()
    mixed = torch.lerp(fake, real, shares).requires_grad_(True)
    (gradient,) = torch.autograd.grad(judge(mixed).sum(), mixed, create_graph=True)
    (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
    assert all(torch.allclose(*pair) for pair in zip(found, (each.grad for each in judge[0].parameters()), strict=True))


@pytest.mark.parametrize(("gan_mode", "expected"), [("lsgan", (1 / 2 + 1 / 2) / 2), ("vanilla", (1 + 1 / 2) / 2)])
def test_accuracy_is_the_share_of_patches_on_the_right_side(gan_mode, expected):
    real, fake = torch.tensor([0.4, 2.0]), torch.tensor([-1.0, 0.7])
    assert accuracy(real, fake, gan_mode).item() == pytest.approx(expected)


def test_8_bits_by_hand():
    """-1 is 0, 0 is 127.5 and rounds to the even 128, 0.5 is 191.25; noise of three steps is added before."""
    pictures = torch.tensor([-1.0, 0.0, 0.5, 1.0])
    rounded = (as_file(pictures, torch.zeros(4)) + 1) * 127.5
    assert rounded.tolist() == pytest.approx([0, 128, 191, 255])
    noisy = (as_file(pictures, torch.tensor([-3.0, 3.0, 3.0, 3.0])) + 1) * 127.5
    assert noisy.tolist() == pytest.approx([0, 130, 194, 255], abs=1e-4)  # 130.5 is even again, and 255 the most


def test_the_gradient_passes_8_bits_as_if_nothing_were_rounded():
    pictures = torch.tensor([-1.0, 0.3, 1.0], requires_grad=True)
    as_file(pictures, torch.tensor([-1.0, 0.2, 5.0])).square().sum().backward()
    made = as_file(pictures.detach(), torch.tensor([-1.0, 0.2, 5.0]))
    assert pictures.grad.tolist() == pytest.approx((2 * made).tolist())
