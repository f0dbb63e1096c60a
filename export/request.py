"""What shall be made of a generator: the options of `cyclegan export`, and whether they go together.

Imports nothing heavy, because the command's help shows the choices and defaults.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from ..runtime.errors import UsageError
from ..runtime.metadata import IO, BatchNorm, Direction

if TYPE_CHECKING:
    from ..runtime.backends.engine_file import Library
    from ..runtime.contract import Size, SizeRange
    from ..trainer.checkpoints.checkpoint import LoadedGenerator, Weights
    from .engine import EngineOptions

LOGGER = logging.getLogger(__name__)

Target = Literal["onnx", "tensorrt", "tensorrt-rtx", "triton", "web"]
FilePrecision = Literal["fp32", "fp16", "int8"]
Directions = Literal["AtoB", "BtoA", "both"]

TARGETS: tuple[Target, ...] = get_args(Target)
LIBRARIES: "dict[str, Library]" = {
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
}  # of engines
DIRECTIONS: dict[str, tuple[Direction, ...]] = {"AtoB": ("AtoB",), "BtoA": ("BtoA",), "both": ("AtoB", "BtoA")}
CHOICES: dict[str, tuple[str, ...]] = {
    "precision": get_args(FilePrecision),
    "io": get_args(IO),
    "weights": ("ema", "raw"),
    "batch_norm": get_args(BatchNorm),
}

LARGEST_FLOOR = 100
TRITON_BATCH = 8  # the largest that the server puts together where the user names none


class RequestOptions(TypedDict, total=False):
    """The fields of a `Request`, as keyword arguments."""

    targets: tuple[Target, ...]
    precision: FilePrecision
    size: "Size | SizeRange | None"
    io: IO
    weights: "Weights"
    calibration: str | Path | None
    freeze_norm: bool
    norm_floor: float
    batch_norm: BatchNorm
    keep_float: int
    batch_size: int | None
    tf32: bool
    workspace_mib: int | None
    compute_capabilities: tuple[str, ...]
    verify: bool


@dataclass(frozen=True)
class Request:
    """What shall be made of a generator.

    Args:
        targets: what is written, some of `TARGETS`.
        precision: of the convolutions: "fp16" in half; "int8" in integers, which needs `calibration`.
        size: (height, width) that the graph is pinned to, or an engine's min, opt and max of such. None: any size.
        io: "uint8" for NHWC pixels in and out, "float" for the bare generator, NCHW in [-1, 1].
        weights: "ema" for averaged weights where the checkpoint has any, "raw" for those of the last step.
        calibration: a folder of pictures that INT8's ranges, or the statistics of `freeze_norm` and `norm_floor`, are
            measured on.
        freeze_norm: every picture is normalised by the statistics of `calibration`, in place of its own.
        norm_floor: the least variance that a norm divides by, as a multiple of the usual one in `calibration`; 0: none.
        batch_norm: "evaluation" for the statistics of training, "picture" for each picture's own.
        keep_float: how many of the layers that INT8 costs most stay in float.
        batch_size: the largest batch of an engine, and that Triton puts together.
        tf32, workspace_mib, compute_capabilities: see `EngineOptions`.
        verify: whether what is written is compared with PyTorch.

    Raises:
        UsageError: a value is none of its choices.
    """

    targets: tuple[Target, ...] = ("onnx",)
    precision: FilePrecision = "fp32"
    size: "Size | SizeRange | None" = None
    io: IO = "uint8"
    weights: "Weights" = "ema"
    calibration: str | Path | None = None
    freeze_norm: bool = False
    norm_floor: float = 0
    batch_norm: BatchNorm = "evaluation"
    keep_float: int = 0
    batch_size: int | None = None
    tf32: bool = False
    workspace_mib: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    verify: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.norm_floor <= LARGEST_FLOOR:
            raise UsageError(f"a norm floor lies between 0 and {LARGEST_FLOOR}, not at {self.norm_floor:g}")
        for target in self.targets:
            check_choice("target", target, TARGETS)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)

    @property
    def libraries(self) -> "list[Library]":
        """The libraries that engines are built with."""
        return [LIBRARIES[target] for target in self.targets if target in LIBRARIES]

    @property
    def max_batch(self) -> int:
        """The largest batch of an engine, and the largest that Triton puts together."""
        return self.batch_size or (TRITON_BATCH if "triton" in self.targets else 1)

    @property
    def size_range(self) -> "SizeRange | None":
        """The min, opt and max (height, width); all the same where there is one size."""
        if self.size is None or len(self.size) == 3:
            return self.size
        return self.size, self.size, self.size

    @property
    def pinned(self) -> "Size | None":
        """The one size that was asked for, (height, width)."""
        sizes = self.size_range
        return sizes[0] if sizes and sizes[0] == sizes[2] else None

    def check(self, generators: "list[LoadedGenerator]") -> None:
        """Find out before anything is written whether the options go together.

        Raises:
            UsageError, BackendError: they do not, or a library is missing.
        """
        from ..runtime.backends.trt_api import load_library
        from .graph.onnx_export import check_size

        self._check_calibration()
        self._check_engines()
        self._check_web(generators)
        if self.precision == "fp16" and self.targets == ("onnx",):
            LOGGER.warning("on a CPU fp16 halves the file and nothing else: engines there compute it in FP32")
        for generator in generators:
            for size in self.size_range or ():
                check_size(size, generator.network)
        for library in self.libraries:
            load_library(library)

    def _check_calibration(self) -> None:
        if self.precision == "int8" and not self.calibration:
            raise UsageError(
                "int8 needs pictures to measure its ranges on: a folder for calibration, such as trainA",
                about=("calibration",),
            )
        if (self.freeze_norm or self.norm_floor) and not self.calibration:
            raise UsageError(
                f"{'frozen norms' if self.freeze_norm else 'norms with a floor'} need pictures to take the statistics "
                "of: a folder for calibration, such as trainA",
                about=("calibration",),
            )
        if self.freeze_norm and self.norm_floor:
            raise UsageError(
                "frozen norms divide by no picture's own variance, so they have no floor; leave one of the two out",
                about=("freeze_norm", "norm_floor"),
            )
        if self.precision != "int8" and self.keep_float:
            raise UsageError("layers are kept in float in int8 only", about=("keep_float", "precision"))
        if self.calibration and not (self.freeze_norm or self.norm_floor or self.precision == "int8"):
            raise UsageError(
                "only int8, frozen norms and a norm floor use pictures for calibration; leave them out, or ask for one "
                "of these",
                about=("calibration", "precision", "freeze_norm", "norm_floor"),
            )

    def _check_web(self, generators: "list[LoadedGenerator]") -> None:
        if "web" in self.targets and self.io == "float":
            raise UsageError("a page takes pixels, not the bare generator", about=("io",))
        if self.targets == ("web",) and self.precision == "int8":
            raise UsageError("a page holds FP16 and FP32, no INT8", about=("precision",))
        for generator in generators if "web" in self.targets else ():
            for channels in (generator.input_nc, generator.output_nc):
                if channels not in (1, 3):
                    raise UsageError(f"a page shows pictures of 1 or 3 channels, and {generator.name} has {channels}")

    def _check_engines(self) -> None:
        if self.libraries and self.size is None:
            raise UsageError(
                "an engine is built for known sizes: one such as 256x256, or a range such as 128x128:256x256:512x512",
                about=("size",),
            )
        if not self.libraries and (self.compute_capabilities or self.workspace_mib or self.tf32):
            raise UsageError(
                "compute capabilities, workspace and TF32 are for engines; leave them out, or add tensorrt-rtx",
                about=("targets", "tf32", "workspace_mib", "compute_capabilities"),
            )
        if self.batch_size and not self.libraries and "triton" not in self.targets:
            raise UsageError(
                "a largest batch is for engines and for Triton; an ONNX file takes any batch, so leave it out",
                about=("batch_size",),
            )

    def engine_options(self) -> "EngineOptions":
        """Return what decides over engines, of a request with a size."""
        from ..runtime.backends.engine_file import OptimizationProfile
        from .engine import EngineOptions

        assert self.size_range is not None, "checked before"
        least, usual, most = self.size_range
        profile = OptimizationProfile(min=(1, *least), opt=(1, *usual), max=(self.max_batch, *most))
        return EngineOptions(profile, self.tf32, self.workspace_mib, self.compute_capabilities)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a `UsageError` where a value is none of the choices of a setting."""
    if value not in choices:
        raise UsageError(f"no {name.replace('_', ' ')} is called {value!r}; use {', '.join(choices)}")
