"""An ONNX file becomes an engine of TensorRT or TensorRT-RTX.

Both are strongly typed: what is computed in which type stands in the graph, so there is no precision to ask for here.
The library is a parameter, `trt`, because both have the same names. A build says how far it is and can be interrupted.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.backends.engine_file import (
    ENGINE_SUFFIX,
    EngineFile,
    Library,
    OptimizationProfile,
    this_system,
    write_engine,
)
from ..runtime.backends.trt_api import Builder, BuilderConfig, Parser, load_library, new_logger
from ..runtime.errors import ArtefactError, BackendError, UsageError, printable
from ..runtime.metadata import ArtefactMetadata
from .replaced import warn_of_replaced
from .timing_cache import load_timing_cache, save_timing_cache, timing_cache_path

LOGGER = logging.getLogger(__name__)

MIB = 2**20


@dataclass(frozen=True)
class EngineOptions:
    """What decides over an engine besides its graph.

    `tf32` lets FP32 convolutions round their factors to 10 bits, which costs about 1e-3 in accuracy. No `workspace_mib`
    leaves the library all of the GPU's memory. No `compute_capabilities`, such as "8.9", means every GPU that
    TensorRT-RTX supports; TensorRT builds for the GPU at hand and takes none.
    """

    profile: OptimizationProfile
    tf32: bool = False
    workspace_mib: int | None = None
    compute_capabilities: tuple[str, ...] = ()


def check_options(options: EngineOptions, library: Library, metadata: ArtefactMetadata) -> None:
    """Find out before anything is built whether the options go together.

    Raises:
        UsageError: they do not; the message says what to give instead.
    """
    for _, *sides in (options.profile.min, options.profile.opt, options.profile.max):
        multiple, minimum = metadata.size_multiple, metadata.size_minimum
        if any(side % multiple or side < minimum for side in sides):
            raise UsageError(
                f"this generator takes sides that are multiples of {multiple}, from {minimum} on, "
                f"not {sides[0]}x{sides[1]}",
                about=("size",),
            )
    if options.compute_capabilities and library == "tensorrt":
        raise UsageError(
            "tensorrt builds for the GPU at hand, for no other compute capability; leave it out, or take tensorrt-rtx",
            about=("compute_capabilities",),
        )


def engine_name(onnx_name: str, description: EngineFile) -> str:
    """Name an engine after its graph and what sets it apart from others of that graph.

    `NAME-rtx1.7.1.116-sm89-128_256_512-b4-linux_x86_64.engine`: sizes as `--size` takes them, unless the graph has one
    size only; the largest batch above 1; tf32 where it is on.
    """
    short = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}[description.library]
    parts = [Path(onnx_name).stem, f"{short}{description.library_version}"]
    parts += [f"sm{each.replace('.', '')}" for each in description.compute_capabilities]
    parts += [_sizes(description.profile)] if description.artefact.size is None else []
    parts += [f"b{description.profile.max[0]}"] if description.profile.max[0] > 1 else []
    parts += ["tf32"] if description.tf32 else []
    parts += [description.system.lower().replace("-", "_")]
    return "-".join(parts) + ENGINE_SUFFIX


def _sizes(profile: OptimizationProfile) -> str:
    shapes = (profile.min, profile.opt, profile.max)
    texts = [f"{height}" if height == width else f"{height}x{width}" for _, height, width in shapes]
    return texts[0] if len(set(texts)) == 1 else "_".join(texts)


def build_engine(
    onnx_path: Path, folder: Path, metadata: ArtefactMetadata, options: EngineOptions, *, library: Library
) -> tuple[Path, EngineFile]:
    """Build the engine of an artefact's graph into `folder`; returns its path and its description.

    Raises:
        UsageError: the options do not go together.
        BackendError: the library is not installed, or cannot build here.
        ArtefactError: the library does not take the graph.
        OutputError: the files cannot be written.
        KeyboardInterrupt: the user stopped the build; nothing was written.
    """
    check_options(options, library, metadata)
    trt = load_library(library)
    gpu, capabilities = _target(library, options.compute_capabilities)
    graph = onnx_path.read_bytes()
    cache = timing_cache_path(library, trt.__version__, gpu) if gpu else None
    plan = build_plan(trt, graph, options, io=metadata.io, title=f"an engine of {onnx_path.stem}", timing_cache=cache)
    description = EngineFile(
        library=library,
        library_version=trt.__version__,
        gpu=gpu,
        compute_capabilities=capabilities,
        system=this_system(),
        plan_bytes=len(plan),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        onnx_sha256=hashlib.sha256(graph).hexdigest(),
        tf32=options.tf32,
        profile=options.profile,
        artefact=metadata,
    )
    path = folder / engine_name(onnx_path.name, description)
    warn_of_replaced(path, metadata.source)
    write_engine(plan, description, path)
    return path, description


def build_plan(
    trt: Any, graph: bytes, options: EngineOptions, *, io: str, title: str, timing_cache: Path | None = None
) -> bytes:
    """Turn an ONNX graph into a plan with the library `trt`; Ctrl-C ends the build at its next step.

    Raises:
        BackendError, ArtefactError, KeyboardInterrupt: as `build_engine`.
    """
    logger = new_logger(trt)
    builder = _builder(trt, logger)
    network = parse(trt, graph, logger, builder)
    config = builder.create_builder_config()
    _configure(trt, builder, config, network, options, io)
    if timing_cache:
        load_timing_cache(config, timing_cache)
    with _progress(trt, title) as monitor:
        config.progress_monitor = monitor
        plan = _interruptible(lambda: builder.build_serialized_network(network, config), monitor)
    if plan is None:
        raise BackendError(f"{trt.__name__} cannot build {title}: {logger.complaint()}")
    if timing_cache:
        save_timing_cache(config, timing_cache)
    return bytes(plan)


def parse(trt: Any, graph: bytes, logger: Any, builder: Builder) -> Any:
    """Read an ONNX graph into a network, whose layers have the graph's own types.

    Raises:
        ArtefactError: the library does not take the graph; the node is named.
    """
    # TensorRT 10 needs the flag; 11 and RTX know nothing else, and ignore it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser: Parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        first = parser.get_error(0) if parser.num_errors else None
        reason = f"{first.desc()} at {first.node_name() or 'the graph'}" if first else logger.complaint()
        raise ArtefactError(f"{trt.__name__} does not take the graph: {' '.join(reason.split())}")
    return network


def _configure(
    trt: Any, builder: Builder, config: BuilderConfig, network: Any, options: EngineOptions, io: str
) -> None:
    profile = builder.create_optimization_profile()
    image = network.get_input(0)
    channels = image.shape[3 if io == "uint8" else 1]
    shapes = [
        (batch, *sides, channels) if io == "uint8" else (batch, channels, *sides)
        for batch, *sides in (options.profile.min, options.profile.opt, options.profile.max)
    ]
    profile.set_shape(image.name, *shapes)
    config.add_optimization_profile(profile)
    (config.set_flag if options.tf32 else config.clear_flag)(trt.BuilderFlag.TF32)
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    if options.compute_capabilities:
        config.num_compute_capabilities = len(options.compute_capabilities)
        for index, capability in enumerate(options.compute_capabilities):
            config.set_compute_capability(_capability(trt, capability), index)


def _capability(trt: Any, text: str) -> Any:
    known = {
        f"{name[2:-1]}.{name[-1]}": value
        for name, value in trt.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    if text not in known:
        raise UsageError(f"tensorrt-rtx builds for no compute capability {text}, but for {', '.join(known)}")
    return known[text]


def _target(library: Library, capabilities: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Return the GPU that an engine is bound to, if to one, and the capabilities that it is built for.

    Raises:
        BackendError: TensorRT needs a GPU to build, and there is none.
    """
    if library == "tensorrt_rtx":
        return None, capabilities
    try:
        from ..runtime.backends.cuda_memory import open_device
    except ImportError as error:
        raise BackendError(
            f"CUDA cannot be asked for its GPU ({error}); install cuda-bindings with: pip install "
            '"cyclegan-edge[tensorrt]"'
        ) from error

    name, capability = open_device(0)
    return name, (capability,)


def _builder(trt: Any, logger: Any) -> Builder:
    try:
        builder: Builder = trt.Builder(logger)
    except Exception as error:  # without a GPU TensorRT's constructor fails, as pybind11 puts it
        raise BackendError(f"{trt.__name__} cannot build here: {logger.complaint()}; see: cyclegan doctor") from error
    return builder


def _interruptible(build: Callable[[], Any], monitor: Any) -> Any:
    """Run a build in a thread of its own: Python hears Ctrl-C only in the main one, which then asks it to stop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(build).result()
        except KeyboardInterrupt:
            monitor.cancelled = True
            raise


@contextmanager
def _progress(trt: Any, title: str) -> Iterator[Any]:
    """Show how far the outermost phase of a build is, where stderr is a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    shown = sys.stderr.isatty() and LOGGER.isEnabledFor(logging.INFO)
    with Progress(console=Console(stderr=True), disable=not shown, transient=True) as progress:
        task = progress.add_task(escape(printable(f"building {title}")), total=None)

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
            """Nested phases, each with steps of its own; the first one stands for the build."""

            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)
                self.cancelled = False
                self.phases: list[str] = []

            def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
                self.phases.append(phase)
                if phase == self.phases[0]:
                    progress.update(task, total=steps, completed=0)

            def step_complete(self, phase: str, step: int) -> bool:
                if phase == self.phases[0]:
                    progress.update(task, completed=step + 1)
                return not self.cancelled

            def phase_finish(self, phase: str) -> None:
                pass

        yield Monitor()
