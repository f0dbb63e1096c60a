import pytest
import torch

from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.trainer.device import pick_amp_dtype, pick_device, tune


def test_a_device_that_is_named_is_never_replaced():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="there is no device cuda:63 here"):
        pick_device("cuda:63")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"amx_bf16": True}, torch.bfloat16), ({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, None)],
)
def test_auto_takes_bf16_where_the_cpu_computes_in_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert pick_amp_dtype("auto", torch.device("cpu")) == expected


def test_fp16_is_for_cuda():
    with pytest.raises(UsageError, match="trains on CUDA only"):
        pick_amp_dtype("fp16", torch.device("cpu"))
    assert pick_amp_dtype("fp32", torch.device("cpu")) is None
    assert pick_amp_dtype("bf16", torch.device("cpu")) == torch.bfloat16


def test_each_of_several_processes_takes_its_own_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(name, 1) for name in ("auto", "cuda", "cpu")] == [
        *[torch.device("cuda:1")] * 2,
        torch.device("cpu"),
    ]
    with pytest.raises(UsageError, match="there is no device cuda:2 here"):
        pick_device("auto", 2)


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_cuda_device_always_has_its_index(monkeypatch, name):
    """`torch.cuda.set_device`, which `tune` calls, refuses a device without one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device(name) == torch.device("cuda", 0)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_auto_takes_cuda_where_there_is_one(name):
    device = pick_device(name)
    tune(device)
    assert device == torch.device("cuda", 0)
