"""The result of training a run. Imports no torch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainingResult:
    """A run in its folder, as it stands after training."""

    folder: Path
    first_step: int  # steps that were done before, by the run that was resumed
    step: int  # steps done in all
    total_steps: int  # steps of the whole schedule
    interrupted: bool  # whether a signal stopped it
    num_skipped: int  # steps that skipped an update, because its gradient was not finite

    @property
    def latest(self) -> Path:
        """The checkpoint that the run can be resumed from."""
        return self.folder / "checkpoints" / "latest.pt"

    @property
    def best(self) -> Path | None:
        """The checkpoint of the best validation; None where there was none."""
        path = self.folder / "checkpoints" / "best.pt"
        return path if path.exists() else None

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl`, the oldest first; `kind` is "train", "validation" or "health"."""
        from .tracking.metrics_log import read_records

        return read_records(self.folder / "metrics.jsonl")
