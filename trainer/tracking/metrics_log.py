"""The metrics log of a run: one JSON line for each record, and the same in TensorBoard."""

import json
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from ...runtime.errors import OutputError
from ...runtime.files import open_to_append, replacing


class MetricsLog:
    """Appends to `metrics.jsonl` and `tensorboard/` of a run folder; a context manager."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the log of a run that stands at `step`; what an interrupted run wrote beyond it is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "metrics.jsonl"
        try:
            self._drop_after(step)
            self._file = TextIOWrapper(open_to_append(self._path), encoding="utf-8")
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        except OSError as error:
            raise OutputError(f"cannot write the metrics log in {folder}: {error.strerror}") from error

    def record(self, kind: str, step: int, epoch: int, values: dict[str, float]) -> None:
        """Write one record; `kind` is "train", "validation" or "health".

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, "epoch": epoch} | values) + "\n")
            self._file.flush()
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
        except OSError as error:
            raise self._refused(error) from error

    def picture(self, step: int, grid: Tensor) -> None:
        """Show a preview grid, uint8 [3, H, W], in TensorBoard.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._board.add_image("preview", grid, step)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self._path} and what lies beside it: {error.strerror}; make room there")

    def _drop_after(self, step: int) -> None:
        if not self._path.exists():
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        with replacing(self._path) as partial:
            partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with closing(self._board), self._file:
                pass
        except OSError as error:
            raise self._refused(error) from error


def read_records(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the records of one kind, or all, in the order they were written."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [record for record in records if kind in (None, record["kind"])]


def _step_of(line: str) -> float:
    """Return the step of a record; a line that a kill or a power cut damaged counts as beyond every step."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return float("inf")
