import pytest
import torch

from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.trainer.device import COMPILED_STEPS, pays_to_compile, pick_amp_dtype, pick_device, tune


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


@pytest.mark.parametrize(
    ("device", "processes", "steps", "pays"),
    [
        ("cuda:0", 1, COMPILED_STEPS, True),
        ("cuda:0", 1, COMPILED_STEPS - 1, False),
        ("cuda:0", 2, COMPILED_STEPS, False),
        ("cpu", 1, COMPILED_STEPS, False),
    ],
)
def test_compiling_pays_in_a_long_run_on_one_gpu(device, processes, steps, pays):
    assert pays_to_compile(torch.device(device), processes, steps) is pays


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), torch.float16), ((7, 0), torch.float16), ((6, 1), None)])
def test_auto_takes_fp16_where_a_gpu_has_no_bf16(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_amp_dtype("auto", torch.device("cuda", 0)) == expected


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
    with pytest.raises(UsageError, match=r"there is no device cuda:2 here \(2 found\); start no more processes"):
        pick_device("auto", 2)


def test_processes_do_not_share_what_they_cannot_talk_over(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    assert pick_device("auto", 0).type == "cpu"
    with pytest.raises(
        UsageError, match=r"run\.device=mps trains in one process only; use run\.device=cpu for several"
    ):
        pick_device("mps", 0)


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
