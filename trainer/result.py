"""What a training run leaves behind, for those who go on with it. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingResult:
    """A run in its folder: the steps done in all, and whether a signal stopped it before its end."""

    folder: Path
    step: int
    interrupted: bool
