"""CycleGAN Edge: two folders of unpaired pictures become a translator that runs in real time on the edge.

>>> import cyclegan_edge
>>> [artefact] = cyclegan_edge.export("runs/flat2three", precision="fp16")
>>> translator = cyclegan_edge.load("flat2three-AtoB-fp16.onnx")
>>> picture = translator(rgb)  # uint8 [H, W, 3] in, uint8 [H, W, 3] of the same size out
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .export.door import export
    from .runtime.errors import (
        ArtefactError,
        BackendError,
        CheckpointError,
        ConfigError,
        CycleganError,
        DatasetError,
        FileOutputError,
        InputError,
        ModelError,
        OutputError,
        StreamError,
        UsageError,
    )
    from .runtime.translator import Translator, load
    from .trainer.launch import train

__version__ = "0.1.0"

_EXPORTS = {
    "load": "runtime.translator",
    "Translator": "runtime.translator",
    "train": "trainer.launch",
    **dict.fromkeys(
        (
            "ArtefactError",
            "BackendError",
            "CheckpointError",
            "ConfigError",
            "CycleganError",
            "DatasetError",
            "FileOutputError",
            "InputError",
            "ModelError",
            "OutputError",
            "StreamError",
            "UsageError",
        ),
        "runtime.errors",
    ),
}

__all__ = [
    "ArtefactError",
    "BackendError",
    "CheckpointError",
    "ConfigError",
    "CycleganError",
    "DatasetError",
    "FileOutputError",
    "InputError",
    "ModelError",
    "OutputError",
    "StreamError",
    "Translator",
    "UsageError",
    "__version__",
    "export",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import cyclegan_edge` costs nothing."""
    if name == "export":  # the package itself, which can be called
        return import_module(".export", __name__)
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f".{_EXPORTS[name]}", __name__)
    except ImportError as error:
        from .runtime.errors import without_opencv

        raise without_opencv(error) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
