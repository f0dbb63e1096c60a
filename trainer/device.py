"""The device and number type of a run."""

import torch

from ..runtime.errors import UsageError

# Compiling takes some three minutes, and may save 15 ms a step; an estimate, for no GPU has measured it yet.
COMPILED_STEPS = 20_000


def pick_device(name: str, local_rank: int | None = None) -> torch.device:
    """Turn "auto", "cpu", "mps", "cuda" or "cuda:1" into a device that is there.

    A CUDA device always has its index: `torch.cuda.set_device` takes no other. Without a number it is the first one,
    and of several processes on one machine each takes the one of its `local_rank`; None: this process trains alone.

    Raises:
        UsageError: the device that was named does not exist here, or not for several processes; another is never taken
            in its place.
    """
    alone = local_rank is None
    if name == "auto":
        has_mps = alone and torch.backends.mps.is_available()  # which processes cannot talk over
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    device = torch.device("cuda", local_rank or 0) if name == "cuda" else torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no mps device here; use run.device=auto or cpu")
    if device.type == "mps" and not alone:
        raise UsageError("run.device=mps trains in one process only; use run.device=cpu for several")
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        present = f"{torch.cuda.device_count()} found" if torch.cuda.is_available() else "CUDA finds none"
        fewer = "start no more processes on a machine than it has GPUs, or use run.device=cpu"
        raise UsageError(
            f"there is no device {device} here ({present}); {'use run.device=auto or cpu' if alone else fewer}"
        )
    return device


def tune(device: torch.device) -> None:
    """Let CUDA choose the fastest convolutions, and compute what is FP32 in TF32; other devices stay as they are."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")


def pays_to_compile(device: torch.device, processes: int, steps: int) -> bool:
    """Whether to compile a step that nobody asked to compile: on one NVIDIA GPU, where it saves more than it costs."""
    return device.type == "cuda" and processes == 1 and steps >= COMPILED_STEPS


def pick_amp_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type of autocast, None for FP32.

    "auto" takes bf16 where the hardware computes in it, else FP16 where a GPU has tensor cores for that (compute
    capability 7.0 and 7.5; gradients are scaled then), else FP32.

    Raises:
        UsageError: the device cannot train in the precision that was asked for.
    """
    if precision == "fp16" and device.type != "cuda":
        raise UsageError(f"run.precision=fp16 trains on CUDA only, not on {device.type}; use bf16 or fp32")
    if precision == "auto":
        precision = "bf16" if _computes_bf16(device) else "fp16" if _computes_fp16(device) else "fp32"
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


def _computes_fp16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
