"""Runs of so many steps, for the benchmarks that train: they can be stopped and go on."""

from pathlib import Path

import click

from cyclegan_edge.trainer.checkpoints.checkpoint import find_checkpoint, load_checkpoint
from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.data.dataset import domain_folder, list_pictures
from cyclegan_edge.trainer.loop import Run


def fit_schedule(config: TrainConfig, steps: int) -> TrainConfig:
    """Return the configuration with a learning rate that falls over the second half of so many steps."""
    pictures = max(len(list_pictures(domain_folder(config.data, "train", domain))) for domain in ("A", "B"))
    pictures = min(pictures, config.data.max_dataset_size or pictures)
    epochs = max(2, -(-steps * config.data.batch_size // pictures))
    schedule = {"n_epochs": epochs // 2, "n_epochs_decay": epochs - epochs // 2}
    return resolve_config(config.model_dump(), {"schedule": schedule})


def train(config: TrainConfig, folder: Path) -> None:
    """Train a run to its end, from where it stands."""
    checkpoint = find_checkpoint(folder) if folder.is_dir() else None
    content = load_checkpoint(checkpoint) if checkpoint and checkpoint.exists() else None
    if content and content["progress"]["step"] >= config.run.max_steps:
        return
    run = Run(config, folder)
    if content:
        run.load_state_dict(content["state"], content["progress"])
    if run.train().interrupted:
        raise click.Abort
