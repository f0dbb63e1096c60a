"""A new or a resumed run, trained to its end: what `cyclegan_edge.train` and the commands do."""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import CheckpointError, ConfigError, CycleganError, OutputError, UsageError, training_side
from ..runtime.files import remove_hidden
from .config import TrainConfig, resolve_config
from .config_text import read_recipe

if TYPE_CHECKING:
    from .loop import Run
    from .result import TrainingResult

LOGGER = logging.getLogger(__name__)

LATEST = "latest"
Layer = Mapping[str, Mapping[str, Any]]

# What may differ between a run and its continuation; the rest decides what was computed so far.
RESUMABLE = {
    "run": {
        "device", "precision", "max_steps", "log_every", "preview_every", "save_every", "keep_every_epochs",
        "validate_every_epochs", "compile",
    },
    "schedule": {"n_epochs", "n_epochs_decay"},
    "validation": {"patience"},
    "data": {"dataroot", "batch_size", "cache"},
    "optim": {"lr", "clip_norm", "accumulate", "checkpoint_activations"},
    "distill": {"teacher"},  # which may have moved; that it is the same one, the checkpoint knows
}  # fmt: skip
UNSAID = {"data.dataroot", "data.cache", "distill.teacher"}  # what moves often and changes nothing


def train(
    config: TrainConfig | Layer,
    folder: str | Path,
    *,
    recipe: str | None = None,
    resume: str | None = None,
    init_from: str | Path | None = None,
) -> "TrainingResult":
    """Train a run into its folder, to its end or until Ctrl-C.

    Args:
        config: the configuration, or what differs from the defaults, such as `{"data": {"dataroot": "mine"}}`.
        folder: the run's folder, such as "runs/mine".
        recipe: "official" (the defaults) or "edge": settings that `config` is laid over; see docs/quality.md.
        resume: a checkpoint of the folder to go on from: "latest", "best" or "epoch-0010". What `config` says must
            then be what the run began with, but for what may change; see docs/resuming.md.
        init_from: weights to start from: a run, a checkpoint, or a folder or file of the official implementation.

    Returns:
        what was made: folder, steps, checkpoints and metrics.

    Raises:
        UsageError, ConfigError: the configuration cannot be used, or not for this run.
        DatasetError: the pictures cannot be used.
        CheckpointError: the checkpoint or the weights cannot be used.
        OutputError: the folder holds a run already, or cannot be written.
        BackendError: the extra `train` is not installed.
        CycleganError: the run diverged, or no update counted.
    """
    layer = config.model_dump(exclude_unset=True) if isinstance(config, TrainConfig) else config
    folder = Path(folder)
    if resume and init_from:
        raise UsageError("a run that is resumed goes on with its own weights, so it cannot start from others")
    if resume and recipe is not None:
        raise UsageError("a run that is resumed goes on with its own settings; leave the recipe out", about=("recipe",))
    layers = [layer] if recipe is None else [read_recipe(recipe), layer]
    with training_side():
        if resume:
            resolved, prepare = resumed_run(folder, layers, resume)
        else:
            resolved, prepare = new_run(folder, layers, Path(init_from) if init_from else None)
        return complete(resolved, folder, prepare)


def complete(config: TrainConfig, folder: Path, prepare: "Callable[[Run], None]") -> "TrainingResult":
    """Train a run that `prepare` was called with to its end, or until a signal ends it.

    Raises:
        CycleganError: memory is too small, or what `Run.train` raises.
    """
    if not config.data.dataroot:
        raise ConfigError("name the dataset in data.dataroot")
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"TensorBoard cannot write into {folder}, which is no UTF-8; choose another place") from error
    from .distributed import joined_world
    from .loop import Run

    try:
        with joined_world(config.run.device) as world:
            run = Run(config, folder, world)
            prepare(run)
            result = run.train()
            del run  # its networks hold the process group, whose threads must end before the interpreter does
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise CycleganError(
            "the memory is too small for this run; lower data.crop_size, data.batch_size or networks.ngf, or set "
            "optim.accumulate or optim.checkpoint_activations"
        ) from error
    return result


def refuse_existing(folder: Path) -> None:
    """Make sure that no run is in the place of a new one.

    Raises:
        OutputError: there is one.
    """
    try:
        exists = (folder / "checkpoints").exists()
    except OSError as error:
        raise OutputError(f"cannot look into {folder}: {error.strerror}; choose another place") from error
    if exists:
        raise OutputError(f"{folder} already holds a run; resume it, or give the new one another name")


def new_run(folder: Path, layers: "list[Layer]", init_from: Path | None) -> tuple[TrainConfig, Callable[["Run"], None]]:
    """Return the configuration of a new run, and a function that prepares the run before it trains."""
    refuse_existing(folder)
    if init_from is None:
        return resolve_config(*layers), lambda run: None
    from .checkpoints.warm_start import read_start, warm_start

    start = read_start(init_from)
    config = resolve_config(start.layer, *layers)
    start.check(config)
    return config, lambda run: warm_start(run.model.networks, start)


def resumed_run(folder: Path, layers: "list[Layer]", name: str = LATEST) -> tuple[TrainConfig, Callable[["Run"], None]]:
    """Return the configuration of a resumed run, and a function that restores its state.

    Every setting that changes is said in one line. `name` is a checkpoint of the folder.

    Raises:
        CheckpointError: there is no run to go on with, or its checkpoint is damaged; others are named.
        ConfigError: what it computed so far was under another configuration.
    """
    from .checkpoints.checkpoint import load_checkpoint, restored_config

    kept = {path.stem: path for path in sorted((folder / "checkpoints").glob("*.pt")) if not path.name.startswith(".")}
    path = kept.get(name.removesuffix(".pt"))
    if path is None:
        others = f"; it keeps {', '.join(kept)}" if kept else ""
        raise CheckpointError(f"there is no checkpoint {name} of a run in {folder}{others}")
    try:
        content = load_checkpoint(path)
    except CheckpointError as error:
        others = ", ".join(other for other in kept if other != path.stem)
        raise CheckpointError(f"{error}; the run can be resumed from {others}" if others else str(error)) from error
    remove_hidden(path.parent)
    stored = restored_config(content, path)
    config = resolve_config(content["config"], *layers)
    for change in _changes(stored, config):
        LOGGER.info("%s", change)
    if path.stem != LATEST and LATEST in kept:
        LOGGER.warning(
            "the run goes on from %s at step %d; what it wrote after that step is replaced",
            path.stem, content["progress"]["step"],
        )  # fmt: skip
    return config, lambda run: run.load_state_dict(content["state"], content["progress"])


def _changes(stored: TrainConfig, wanted: TrainConfig) -> list[str]:
    """Return a line for each setting that changes on resuming.

    Raises:
        ConfigError: a setting differs under which the run would have computed something else so far.
    """
    if wanted.distill.teacher and not stored.distill.teacher:
        raise ConfigError("the run began without a teacher, so it cannot go on with one; give the new one another name")
    before, after = stored.model_dump(), wanted.model_dump()
    lines = []
    for part, keys in before.items():
        for key, value in keys.items():
            if after[part][key] == value:
                continue
            if key not in RESUMABLE.get(part, ()):
                raise ConfigError(
                    f"the run was started with {part}.{key}={value}, so it cannot go on with {after[part][key]}; "
                    "leave that out, or start a new run with another name"
                )
            if f"{part}.{key}" not in UNSAID:
                lines.append(f"{part}.{key} changes from {value} to {after[part][key]}")
    return lines


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether an allocator gave up, on any device."""
    pattern = r"out of memory|can't allocate memory|not enough memory|Unable to allocate"
    return isinstance(error, MemoryError) or re.search(pattern, str(error)) is not None
