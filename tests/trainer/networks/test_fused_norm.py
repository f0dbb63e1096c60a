"""The fused normalisation: its kernels by Triton's interpreter in a process of their own, and when they are used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cyclegan_edge.trainer.networks.layers import Chain, InstanceNorm

INTERPRETED = Path(__file__).with_name("interpreted_fused_norm.py")


def test_the_kernels_compute_the_plain_form(tmp_path):
    pytest.importorskip("triton", reason="Triton comes with PyTorch for CUDA on Linux")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", INTERPRETED]
    # Triton decides when it is imported whether it compiles or interprets.
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def with_kernel(kernel):
    chain = Chain(nn.Conv2d(3, 4, 3), InstanceNorm(), nn.ReLU(True))
    chain[1].kernel = kernel
    return chain


def refuse(*arguments):
    raise AssertionError("the kernel was called")


def test_what_is_compiled_or_evaluated_is_the_plain_form():
    chain, pictures = with_kernel(refuse), torch.rand(1, 3, 8, 8)
    reference = with_kernel(None)
    reference.load_state_dict(chain.state_dict())
    assert torch.equal(torch.compile(chain, backend="eager")(pictures), reference(pictures))
    assert torch.equal(chain.eval()(pictures), reference.eval()(pictures))
    with pytest.raises(AssertionError, match="kernel was called"):
        chain.train()(pictures)


def plain(x, slope):
    return F.leaky_relu(InstanceNorm()(x), slope)


def results(layer, x, upstream):
    x = x.clone().requires_grad_()
    made = layer(x)
    return made, torch.autograd.grad(made, x, upstream)[0]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("side", [16, 64, 256])
def test_a_gpu_computes_what_the_plain_form_does(dtype, side):
    from cyclegan_edge.trainer.networks import fused_norm

    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(2, 5, side, side, generator=generator) + 10).to("cuda", dtype)
    upstream = torch.randn(x.shape, generator=generator).to("cuda", dtype)
    found = results(lambda x: fused_norm.normalise_and_activate(x, 1e-5, 0.2), x, upstream)
    expected = results(lambda x: plain(x, 0.2), x, upstream)
    bound = 3e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    for ours, reference in zip(found, expected, strict=True):
        assert torch.allclose(ours.float(), reference.float(), rtol=bound, atol=bound)
