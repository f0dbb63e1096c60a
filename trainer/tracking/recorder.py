"""The recorder of a run: writes everything into its folder, in the background while training goes on."""

from functools import partial
from pathlib import Path
from typing import Any, Self

import tomli_w
from torch import Tensor

from ...runtime.files import replacing
from ..checkpoints.checkpoint import save_checkpoint
from ..config import TrainConfig
from .background import BackgroundWriter
from .metrics_log import MetricsLog
from .preview import save_preview
from .report import write_run_report


class Recorder:
    """Writes configuration, records, previews and checkpoints, in this order of calls; a context manager.

    A write that fails ends the run with an OutputError, at the next write or at the end; what was written before stays.
    """

    def __init__(self, folder: Path, config: TrainConfig, step: int, metric: str | None) -> None:
        """Write the configuration of a run that stands at `step`, and open its log; `metric` chooses best.pt."""
        self._folder = folder
        self._config = config
        self._metric = metric
        with replacing(folder / "config.toml") as partial_file:
            # A path that is no UTF-8 goes in and out as the bytes that it is.
            partial_file.write_text(tomli_w.dumps(config.model_dump()), encoding="utf-8", errors="surrogateescape")
        self._log = MetricsLog(folder, step)
        self._writer = BackgroundWriter()

    def record(self, kind: str, step: int, epoch: int, values: dict[str, float]) -> None:
        """Write one record of `kind` "train", "validation" or "health" into the metrics log."""
        self._writer.submit(partial(self._log.record, kind, step, epoch, values))
        if kind == "validation":
            self._report()

    def preview(self, step: int, grid: Tensor) -> None:
        """Write a preview grid, uint8 [3, H, W]."""
        self._writer.submit(partial(save_preview, grid, self._folder / "previews" / f"step-{step:07d}.png"))
        self._writer.submit(partial(self._log.picture, step, grid))

    def checkpoint(self, name: str, progress: dict[str, int], state: dict[str, Any]) -> None:
        """Write `checkpoints/NAME.pt`; the state must not change any more."""
        path = self._folder / "checkpoints" / f"{name}.pt"
        self._writer.submit(partial(save_checkpoint, path, self._config, progress, state))

    def _report(self) -> None:
        self._writer.submit(partial(write_run_report, self._folder, self._config, self._metric))

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        try:
            if failure[0] is None:
                self._report()
            self._writer.__exit__(*failure)
        finally:
            self._log.__exit__()
