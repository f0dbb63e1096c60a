"""Which student keeps a budget of milliseconds: candidates measured untrained, in the engine that shall run them.

What a network knows does not change how long it takes, so none is trained for that: each goes through the real export,
and the engine translates noise of the size that was asked for.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ...runtime.backends import open_backend
from ...runtime.contract import Size
from ...runtime.errors import UsageError
from ...runtime.machine.bench import timed
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.config import NetworksConfig
from ..graph.onnx_export import check_size, export_onnx
from ..untrained import untrained_generator
from .costs import count_costs

# The quickest for what they can learn come first, which spares measuring most of the others.
GENERATORS = (
    "edge_resnet_3blocks",
    "edge_resnet_6blocks",
    "edge_resnet_9blocks",
    "mobile_resnet_9blocks",
    "resnet_6blocks",
    "resnet_9blocks",
)
WIDTHS = (8, 16, 24, 32, 48, 64)
BudgetPrecision = Literal["auto", "fp16", "int8"]  # of the file; auto: FP32, in what the engine makes of it
SECONDS = 1.0  # that each candidate is measured for
MARGIN = 0.95  # of the budget that a candidate may take, because a measurement differs from the next by some percent


@dataclass(frozen=True)
class Budget:
    """How long a translation may take, where and of what."""

    ms: float
    engine: str
    precision: BudgetPrecision
    size: Size


@dataclass(frozen=True)
class Timing:
    """One candidate in the engine; `precision` is what that computed in."""

    generator: str
    ngf: int
    parameters: int
    macs: int
    p50_ms: float
    precision: str


def search(
    teacher: LoadedGenerator, networks: NetworksConfig, budget: Budget, generators: tuple[str, ...], ngf: int | None
) -> Iterator[Timing]:
    """Measure candidates for a student of `teacher`, each architecture from its narrowest until one is too slow.

    Left out is what could not be chosen: what is no smaller than the teacher, or than one that keeps the budget.

    Args:
        networks: what the candidates share.
        generators: the architectures.
        ngf: their width, None for several.

    Raises:
        UsageError: they do not take pictures of that size.
    """
    widest = teacher.config.networks.ngf
    widths = (ngf,) if ngf else tuple(width for width in WIDTHS if width <= widest) or (widest,)
    ceiling, best = num_parameters(teacher), 0
    for generator in track(
        generators, "measuring candidates", console=Console(stderr=True), disable=not sys.stderr.isatty()
    ):
        if networks.upsample == "resize" and generator.startswith("edge_"):  # which has nothing to resize by
            continue
        for width in widths:
            student = networks.model_copy(update={"generator": generator, "ngf": width})
            config = teacher.config.model_copy(update={"networks": student})
            candidate = untrained_generator(config, teacher.direction, teacher.input_nc, teacher.output_nc)
            if not best < num_parameters(candidate) < ceiling:
                continue
            timing = measure(candidate, budget)
            yield timing
            if not keeps(timing, budget):
                break
            best = timing.parameters


def choose(timings: list[Timing], budget: Budget) -> Timing:
    """Return the largest candidate that keeps the budget.

    Raises:
        UsageError: none does, or there is none.
    """
    if not timings:
        raise UsageError(
            "no candidate is smaller than the teacher; name an architecture and a width that are",
            about=("generator", "ngf"),
        )
    kept = [timing for timing in timings if keeps(timing, budget)]
    if kept:
        return max(kept, key=lambda timing: timing.parameters)
    fastest = min(timings, key=lambda timing: timing.p50_ms)
    height, width = budget.size
    raise UsageError(
        f"no candidate translates {height}x{width} in {budget.ms:g} ms in {budget.engine} here: the fastest, "
        f"{fastest.generator} with ngf {fastest.ngf}, takes {fastest.p50_ms:.2f} ms; allow "
        f"{np.ceil(10 * fastest.p50_ms / MARGIN) / 10:g} ms, or take a smaller size",
        about=("budget_ms", "size"),
    )


def keeps(timing: Timing, budget: Budget) -> bool:
    """Whether a candidate stays within the budget, and its margin."""
    return timing.p50_ms <= MARGIN * budget.ms


def measure(candidate: LoadedGenerator, budget: Budget) -> Timing:
    """Export a generator as `cyclegan export` does, and time it in the engine.

    Raises:
        UsageError: it does not take pictures of that size.
        BackendError: the engine is missing or fails.
    """
    check_size(budget.size, candidate.network)
    shape = (1, *budget.size, candidate.input_nc)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.onnx"
        metadata = export_onnx(candidate, path, precision="fp16" if budget.precision == "fp16" else "fp32")
        macs = sum(cost.macs for cost in count_costs(path, shape))
        if budget.precision == "int8":
            from ..quantization.int8 import quantise_roughly

            quantise_roughly(path, metadata, noise)
        with closing(open_backend(path, backend=budget.engine)) as backend:
            latency = timed(lambda: backend.infer(noise), SECONDS)
            networks = candidate.config.networks
            precision = backend.precision if budget.precision == "auto" else budget.precision
    return Timing(networks.generator, networks.ngf, num_parameters(candidate), macs, latency.p50_ms, precision)


def budget_table(timings: list[Timing], budget: Budget) -> Table:
    """Lay the candidates out, the fastest first."""
    height, width = budget.size
    title = f"{height}x{width} in {budget.engine}: candidates for {budget.ms:g} ms"
    table = Table(title=title, title_justify="left")
    table.add_column("generator")
    for name in ("ngf", "parameters", "GMAC", "precision", "p50 ms", "fits"):
        table.add_column(name, justify="right")
    for timing in sorted(timings, key=lambda timing: timing.p50_ms):
        table.add_row(
            timing.generator, f"{timing.ngf}", f"{timing.parameters:,}", f"{timing.macs / 1e9:.2f}", timing.precision,
            f"{timing.p50_ms:.2f}", "yes" if keeps(timing, budget) else "no",
        )  # fmt: skip
    return table


def num_parameters(generator: LoadedGenerator) -> int:
    """Count the weights and biases."""
    return sum(parameter.numel() for parameter in generator.network.parameters())
