"""What the engines' libraries and NVIDIA's driver say of themselves, without a model.

Every function raises what its library raises: an ImportError where it is missing, anything where it is broken.
"""

import ctypes
import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path


def describe(library: str) -> str:
    """Return the version of an engine's library and what it can run on, in a few words."""
    module = import_module(library)
    version = getattr(module, "__version__", "of unknown version").partition("-")[0]
    tell = _TELLING.get(library)
    return f"{version}, {tell()}" if tell else version


def load_cuda_provider() -> None:
    """Load the shared library with which ONNX Runtime uses CUDA, and cuDNN, which it loads only when it starts.

    Raises:
        OSError: this build of ONNX Runtime has none, or the message names the library that it lacks.
    """
    import onnxruntime as ort

    if hasattr(ort, "preload_dlls"):  # the CUDA libraries that pip installed
        with redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    folder = Path(ort.__file__).parent / "capi"
    pattern = "onnxruntime_providers_{}.dll" if sys.platform == "win32" else "libonnxruntime_providers_{}.so"
    provider = folder / pattern.format("cuda")
    if not provider.is_file():
        raise OSError("this onnxruntime was built without CUDA")
    ctypes.CDLL(str(folder / pattern.format("shared")), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(provider))
    ctypes.CDLL("cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9")


def gpus() -> str:
    """Return the devices as NVIDIA's driver names them, such as "cuda:0 NVIDIA H100".

    Raises:
        OSError: there is no driver, or it does not answer.
    """
    driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    count, name = ctypes.c_int(), ctypes.create_string_buffer(100)
    if (code := driver.cuInit(0)) or (code := driver.cuDeviceGetCount(ctypes.byref(count))):
        raise OSError(f"the NVIDIA driver answers with error {code}")
    names = []
    for device in range(count.value):
        driver.cuDeviceGetName(name, len(name), device)
        names.append(f"cuda:{device} {name.value.decode(errors='replace')}")
    return ", ".join(names) or "no device"


def has_gpu() -> bool:
    """Whether NVIDIA's driver is there and names a device."""
    try:
        return "cuda:" in gpus()
    except OSError:
        return False


def _openvino() -> str:
    import openvino as ov

    core = ov.Core()
    devices = []
    for device in core.available_devices:
        precisions = [name for name in core.get_property(device, "OPTIMIZATION_CAPABILITIES") if name[-1].isdigit()]
        devices.append(f"{device} ({' '.join(sorted(precisions))})")
    return " ".join(devices)


def _onnxruntime() -> str:
    import onnxruntime as ort

    return " ".join(name.removesuffix("ExecutionProvider") for name in ort.get_available_providers())


_TELLING: dict[str, Callable[[], str]] = {"openvino": _openvino, "onnxruntime": _onnxruntime}
