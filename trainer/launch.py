"""A new or a resumed run, trained to its end."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import ConfigError, OutputError
from .config import TrainConfig, resolve_config

if TYPE_CHECKING:
    from .loop import Run
    from .result import TrainingResult

LOGGER = logging.getLogger(__name__)


# What may differ between a run and its continuation; the rest decides what was computed so far.
RESUMABLE = {
    "run": {"device", "max_steps", "log_every", "preview_every", "save_every", "keep_every_epochs", "compile"},
    "schedule": {"n_epochs", "n_epochs_decay"},
    "validation": {"patience"},
    "data": {"dataroot", "cache"},
    "optim": {"accumulate", "checkpoint_activations"},
    "distill": {"teacher"},  # which may have moved; that it is the same one, the checkpoint knows
}


def complete(config: TrainConfig, folder: Path, prepare: "Callable[[Run], None]") -> "TrainingResult":
    """Train a run that `prepare` was called with to its end, or until a signal ends it, and say where it is."""
    outcome = _train(config, folder, prepare)
    LOGGER.info(
        "%s step %d; the run is in %s", "interrupted after" if outcome.interrupted else "done:", outcome.step, folder
    )
    return outcome


def refuse_existing(folder: Path) -> None:
    """Make sure that no run is in the place of a new one.

    Raises:
        OutputError: there is one.
    """
    if (folder / "checkpoints").exists():
        raise OutputError(f"{folder} already holds a run; give --resume to go on with it, or another --name")


def _train(config: TrainConfig, folder: Path, prepare: "Callable[[Run], None]") -> "TrainingResult":
    from .distributed import joined_world
    from .loop import Run

    with joined_world(config.run.device) as world:
        run = Run(config, folder, world)
        prepare(run)
        outcome = run.train()
        del run  # its networks hold the process group, whose threads must end before the interpreter does
    return outcome


def new_run(
    folder: Path, layers: list[dict[str, Any]], init_from: Path | None
) -> tuple[TrainConfig, Callable[["Run"], None]]:
    """Return the configuration of a new run, and what is to be done to the run before it trains."""
    refuse_existing(folder)
    if init_from is None:
        return resolve_config(*layers), lambda run: None
    from .checkpoints.warm_start import read_start, warm_start

    start = read_start(init_from)
    config = resolve_config(start.layer, *layers)
    start.check(config)
    return config, lambda run: warm_start(run.model.networks, start)


def resumed_run(folder: Path, layers: list[dict[str, Any]]) -> tuple[TrainConfig, Callable[["Run"], None]]:
    """Return the configuration that a run goes on with, and what is to be done to the run before it does.

    Raises:
        CheckpointError: there is no run to go on with.
        ConfigError: what it computed so far was under another configuration.
    """
    from ..runtime.files import remove_hidden
    from .checkpoints.checkpoint import find_checkpoint, load_checkpoint, restored_config

    path = find_checkpoint(folder)
    content = load_checkpoint(path)
    remove_hidden(path.parent)
    stored = restored_config(content, path)
    config = resolve_config(content["config"], *layers)
    _check_resumable(stored, config)
    return config, lambda run: run.load_state_dict(content["state"], content["progress"])


def _check_resumable(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Refuse to go on under a configuration that would have computed something else so far."""
    if wanted.distill.teacher and not stored.distill.teacher:
        raise ConfigError("the run began without a teacher, so it cannot go on with one; give another --name")
    before, after = stored.model_dump(), wanted.model_dump()
    for part, keys in before.items():
        for key, value in keys.items():
            if after[part][key] != value and key not in RESUMABLE.get(part, ()):
                raise ConfigError(
                    f"the run was started with {part}.{key}={value}, so it cannot go on with {after[part][key]}; "
                    "leave that out, or start a new run with another --name"
                )
