"""What shall be made of a generator: the options of `cyclegan export`, and whether they go together.

Imports nothing heavy, because the command's help shows the defaults.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from ..runtime.errors import UsageError

if TYPE_CHECKING:
    from ..runtime.backends.engine_file import Library
    from ..runtime.contract import Size, SizeRange
    from ..runtime.metadata import IO, BatchNorm
    from ..trainer.checkpoints.checkpoint import LoadedGenerator, Weights
    from .engine import EngineOptions

LOGGER = logging.getLogger(__name__)

Target = Literal["onnx", "tensorrt", "tensorrt-rtx", "triton"]
TARGETS: tuple[Target, ...] = get_args(Target)
LIBRARIES: "dict[str, Library]" = {
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
}  # that targets are built with

FilePrecision = Literal["fp32", "fp16", "int8"]

TRITON_BATCH = 8  # the largest that the server puts together where the user names none


class RequestOptions(TypedDict, total=False):
    """The fields of a `Request`, as keyword arguments."""

    targets: tuple[Target, ...]
    precision: FilePrecision
    io: "IO"
    weights: "Weights"
    sizes: "SizeRange | None"
    batch_size: int | None
    tf32: bool
    workspace_mib: int | None
    compute_capabilities: tuple[str, ...]
    calibration: tuple[Path, ...]
    keep_float: int
    freeze_norm: bool
    batch_norm: "BatchNorm"
    verify: bool


@dataclass(frozen=True)
class Request:
    """What shall be made of a generator.

    Args:
        targets: what is written, see `TARGETS`.
        precision: of the convolutions: "fp16" in half; "int8" in integers, which needs `calibration`.
        io: "uint8" for NHWC pixels in and out, "float" for the bare generator, NCHW in [-1, 1].
        weights: "ema" for averaged weights where the checkpoint has any, "raw" for those of the last step.
        sizes: min, opt and max (height, width) of an engine; three equal ones pin an ONNX file. None: any size.
        batch_size: the largest batch of an engine, and that Triton puts together.
        tf32, workspace_mib, compute_capabilities: see `EngineOptions`.
        calibration: the pictures that INT8's ranges, or the statistics of `freeze_norm`, are measured on.
        keep_float: how many of the layers that INT8 costs most stay in float.
        freeze_norm: every picture is normalised by the statistics of `calibration`.
        batch_norm: "evaluation" for the statistics of training, "picture" for each picture's own.
        verify: whether what is written is compared with PyTorch.
    """

    targets: tuple[Target, ...] = ("onnx",)
    precision: FilePrecision = "fp32"
    io: "IO" = "uint8"
    weights: "Weights" = "ema"
    sizes: "SizeRange | None" = None
    batch_size: int | None = None
    tf32: bool = False
    workspace_mib: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    calibration: tuple[Path, ...] = ()
    keep_float: int = 0
    freeze_norm: bool = False
    batch_norm: "BatchNorm" = "evaluation"
    verify: bool = True

    @property
    def libraries(self) -> "list[Library]":
        """The libraries that engines are built with."""
        return [LIBRARIES[target] for target in self.targets if target in LIBRARIES]

    @property
    def max_batch(self) -> int:
        """The largest batch of an engine, and the largest that Triton puts together."""
        return self.batch_size or (TRITON_BATCH if "triton" in self.targets else 1)

    @property
    def pinned(self) -> "Size | None":
        """The one size that was asked for, (height, width)."""
        return self.sizes[0] if self.sizes and self.sizes[0] == self.sizes[2] else None

    def check(self, generators: "list[LoadedGenerator]") -> None:
        """Find out before anything is written whether the options go together.

        Raises:
            UsageError, BackendError: they do not, or a library is missing.
        """
        from ..runtime.backends.trt_api import load_library
        from .graph.onnx_export import check_size

        self._check_calibration()
        self._check_engines()
        if self.precision == "fp16" and self.targets == ("onnx",):
            LOGGER.warning("on a CPU fp16 halves the file and nothing else: engines there compute it in FP32")
        for generator in generators:
            for size in self.sizes or ():
                check_size(size, generator.network)
        for library in self.libraries:
            load_library(library)

    def _check_calibration(self) -> None:
        if self.precision == "int8" and not self.calibration:
            raise UsageError(
                "int8 needs pictures to measure its ranges on; give a folder, such as --calibration trainA"
            )
        if self.freeze_norm and not self.calibration:
            raise UsageError(
                "--freeze-norm needs pictures to take the statistics of; give a folder, such as --calibration trainA"
            )
        if self.precision != "int8" and self.keep_float:
            raise UsageError("--keep-float belongs to --precision int8; leave it out, or add that")
        if self.calibration and not (self.freeze_norm or self.precision == "int8"):
            raise UsageError(
                "--calibration is for --precision int8 and --freeze-norm; leave it out, or add one of them"
            )

    def _check_engines(self) -> None:
        if self.libraries and self.sizes is None:
            raise UsageError(
                "an engine is built for known sizes; give one with --size 256x256, "
                "or a range with --size 128x128:256x256:512x512"
            )
        if not self.libraries and (self.compute_capabilities or self.workspace_mib or self.tf32):
            raise UsageError("--compute-capability, --workspace and --tf32 are for engines; add --to tensorrt-rtx")
        if self.batch_size and not self.libraries and "triton" not in self.targets:
            raise UsageError("--batch-size is for engines and for Triton; an ONNX file takes any batch, leave it out")

    def engine_options(self) -> "EngineOptions":
        """Return what decides over engines, of a request whose sizes are known."""
        from ..runtime.backends.engine_file import OptimizationProfile
        from .engine import EngineOptions

        assert self.sizes is not None, "checked before"
        least, usual, most = self.sizes
        profile = OptimizationProfile(min=(1, *least), opt=(1, *usual), max=(self.max_batch, *most))
        return EngineOptions(profile, self.tf32, self.workspace_mib, self.compute_capabilities)
