"""Files of weights from any source: read without running code, or refused with the reason.

A file is known by its content, never by its name alone. PyTorch's formats and safetensors are read; weights that lie
one level down, as in `{"state_dict": …}`, are taken out.
"""

import json
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...runtime.errors import CheckpointError, training_side

# Where training scripts put the weights of a generator, beside epochs, optimisers and other things; best first.
WRAPPERS = (
    "params_ema", "ema", "generator", "netG", "G", "state_dict", "model_state_dict", "model", "params", "net",
    "network", "weights", "module",
)  # fmt: skip

MOST_WRAPPERS = 8  # around each other; a file may hold a dict that holds itself

# Beginnings of files that are no weights of PyTorch, and what to do about them.
SIGNATURES = (
    (rb"\s*<(!doctype|html|\?xml)", "it is a web page, not the file that the page offers; download that"),
    (
        rb"version https://git-lfs",
        "it is a Git LFS pointer, not the file itself; fetch that with: git lfs pull",
    ),
    (rb"\x89HDF\r\n", "it is an HDF5 file, as Keras writes it; only weights of PyTorch can be read"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "it is a compressed archive; unpack it, and name the file inside"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF", "it is a picture"),
    (rb"\x08[\x01-\x0f]\x12", "it is an ONNX model, which is exported already"),
)

# Networks of other projects by some of their keys.
FOREIGN = (
    (r"block_[a-e]\.\d+\.\d+\.weight|out_layer\.\d+\.weight", "an AnimeGAN generator"),
    (r"(conv1|res1\.conv1|deconv1)\.conv2d\.weight", "a network of fast neural style"),
    (r"conv_first\.weight|RDB_trunk\.", "an ESRGAN network"),
    (r"(synthesis|mapping)\.", "a StyleGAN network"),
    (r"down_blocks\.|diffusion_model\.", "a diffusion model"),
    (r"layer1\.0\.conv1\.weight|fc\.weight", "a classifier"),
)


# What reading a file that is cut or damaged may raise, besides what says which code it asks for.
BROKEN = (
    OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, struct.error,
    pickle.UnpicklingError,
)  # fmt: skip


def read_tensors(path: Path) -> dict[str, Any]:
    """Read any file of weights onto the CPU, running no code that it may hold.

    Returns:
        the dict in the file; where weights lie one level down, that dict.

    Raises:
        CheckpointError: the file is missing or cut short, or is something else; the sentence says what.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}; name a run folder or a .pt file") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error.strerror}") from error
    if not head:
        raise _unreadable(path, "it is empty; download or copy it again")
    for signature, reason in SIGNATURES:
        if re.match(signature, head, re.IGNORECASE):
            raise _unreadable(path, reason)
    content = _read_safetensors(path) if _is_safetensors(path, head) else _read_torch(path, head)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, no checkpoint")
    content = _unwrapped(dict(content))
    if not all(isinstance(key, str) for key in content):
        raise CheckpointError(f"{path} holds a dict whose keys are no names of weights; save model.state_dict()")
    return content


def describe_foreign(state: Mapping[str, Any]) -> str | None:
    """Say which project's network a state dict is of, by its keys; None for unknown ones."""
    return next(
        (name for pattern, name in FOREIGN if any(re.match(pattern, key) for key in state)),
        None,
    )


def _read_torch(path: Path, head: bytes) -> Any:
    is_zip = head.startswith(b"PK")
    if is_zip:
        _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"Unsupported (?:global|class): ?(?:GLOBAL )?([\w.]+)|GLOBAL ([\w.]+)", str(error))
        if code and (is_zip or not _ends_early(path)):
            raise _unreadable(
                path,
                f"it holds a whole pickled object ({code[1] or code[2]}), whose loading could run code, so it is not "
                "loaded; where it was made, save its weights alone: torch.save(model.state_dict(), path)",
            ) from error
        raise _unreadable(path, _cut_or_foreign(head)) from error
    except BROKEN as error:
        raise _unreadable(path, _cut_or_foreign(head)) from error


def _ends_early(path: Path) -> bool:
    """Tell whether a file of pickles ends within one; torch's older format begins with four of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(4):
            if file.tell() == size:
                return False
            try:
                for _ in pickletools.genops(file):
                    pass
            except BROKEN:
                return True
    return False


def _check_archive(path: Path) -> None:
    """Refuse a ZIP archive that is cut short, that holds no weights, or that unpacks to more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _unreadable(path, "it is cut short; download or copy it again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise _unreadable(path, "it is a TorchScript program, not weights; name the checkpoint that it was made of")
    if unpacked > path.stat().st_size:  # which torch.save, that compresses nothing, never writes
        raise _unreadable(
            path, f"it is a compressed archive, which unpacks to {unpacked} bytes; save it with torch.save"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise _unreadable(path, "it is a ZIP archive of other files; unpack it, and name the weights inside")


def _cut_or_foreign(head: bytes) -> str:
    if head.startswith(b"PK") or re.match(rb"\x80[\x02-\x05]", head):
        return "it is cut short or damaged; download or copy it again"
    text = head.decode("utf-8", errors="replace")
    if text.isprintable() or all(sign.isprintable() or sign.isspace() for sign in text):
        return "it is a text, no file of torch"
    return "it is cut short, or no file of torch"


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Tell a safetensors file by its content: the length of a JSON header, then the header."""
    length = int.from_bytes(head[:8], "little")
    return path.suffix == ".safetensors" or (head[8:9] == b"{" and 2 <= length <= 100_000_000)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with training_side():
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    try:
        state: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, json.JSONDecodeError) as error:
        raise _unreadable(path, "it is a safetensors file that is cut short or damaged") from error
    return state


def _unwrapped(content: dict[str, Any]) -> dict[str, Any]:
    """Take weights out of a dict that holds them beside other things; a dict of tensors, or ours, stays."""
    for _ in range(MOST_WRAPPERS):
        if "format" in content or any(isinstance(value, Tensor) for value in content.values()):
            return content
        inner = (content.get(name) for name in WRAPPERS)
        content = dict(next((value for value in inner if isinstance(value, Mapping) and value), content))
    return content


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as a checkpoint: {reason}")
