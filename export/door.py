"""The door for Python: `cyclegan_edge.export(source, …)`, which does what `cyclegan export` does."""

from pathlib import Path
from typing import Unpack

from .request import DIRECTIONS, Directions, Request, RequestOptions, check_choice
from .targets import Product, export_source


def export(
    source: str | Path,
    *,
    direction: Directions = "AtoB",
    images: str | Path | None = None,
    output: str | Path | None = None,
    **options: Unpack[RequestOptions],
) -> list[Product]:
    """Export a trained generator, and compare what was written with PyTorch.

    Args:
        source: a run folder, a checkpoint, or official weights (a folder of latest_net_G_A.pth files, or one of them).
        direction: "AtoB", "BtoA" or "both".
        images: a folder of pictures to verify with, by default the dataset's held-out ones.
        output: the folder to write to, by default the run's exports/, or for a file the current one.
        options: `targets`, `precision`, `size`, `calibration`, `verify` and the other fields of `Request`.

    Returns:
        every file that was made: its `path`, its verification `report` and its `quantisation`. A file that misses its
        gate is kept, and its `report.passed` is False.

    Raises:
        UsageError: options that do not go together.
        CheckpointError, InputError, OutputError: the source, the pictures or the folder cannot be used.
        BackendError: no engine is installed to verify with, or a library is missing.
    """
    check_choice("direction", direction, tuple(DIRECTIONS))
    request = Request(**options)
    folders = [Path(folder) if folder else None for folder in (images, output)]
    return list(export_source(Path(source), DIRECTIONS[direction], request, images=folders[0], output=folders[1]))
