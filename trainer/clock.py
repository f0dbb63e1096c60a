"""The clock of a run: the steps done in all, and the place in its epochs. Imports no torch.

Learning rate, order of the pictures and weight of the cycle are functions of the configuration and this clock alone.
Where the pictures, or the batch size, changed between two parts of a run, an epoch has another number of steps by now;
the clock then keeps the epoch and the share of it that was done.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Clock:
    """Steps are counted from 0, epochs from 1."""

    steps_per_epoch: int
    step: int = 0  # done in all: numbers of records, previews and checkpoints
    place: int = 0  # done, as the present pictures count them

    @property
    def epoch(self) -> int:
        """The epoch of the step to come."""
        return self.place // self.steps_per_epoch + 1

    @property
    def epoch_ends(self) -> bool:
        """Whether the last step ended an epoch."""
        return self.place % self.steps_per_epoch == 0

    def tick(self) -> None:
        """Count a step."""
        self.step += 1
        self.place += 1

    def remaining(self, total_epochs: int) -> int:
        """Return the steps to the end of the schedule."""
        return max(0, total_epochs * self.steps_per_epoch - self.place)

    def progress(self) -> dict[str, int]:
        """Return what a checkpoint must keep; `epoch` is that of the last step."""
        epoch = max(self.place - 1, 0) // self.steps_per_epoch + 1
        return {
            "step": self.step,
            "epoch": epoch,
            "place": self.place,
            "steps_per_epoch": self.steps_per_epoch,
        }

    def resume(self, progress: Mapping[str, int]) -> bool:
        """Go on from `progress`; returns whether its epochs had another number of steps."""
        self.step = progress["step"]
        # Checkpoints of schema 1 do not say how long their epochs were; what they say of the epoch shows a change.
        before = progress.get("steps_per_epoch", self.steps_per_epoch)
        place = progress.get("place", self.step)
        if "steps_per_epoch" not in progress and max(place - 1, 0) // before + 1 != progress["epoch"]:
            self.place = (progress["epoch"] - 1) * self.steps_per_epoch
            return True
        epochs, within = divmod(place, before)
        self.place = epochs * self.steps_per_epoch + within * self.steps_per_epoch // before
        return before != self.steps_per_epoch


def fingerprint(names: Sequence[str]) -> dict[str, Any]:
    """Return how many files a domain has, and a hash of their names, which are relative to its folder."""
    text = os.fsencode("\0".join(names))
    return {"count": len(names), "names": hashlib.sha256(text).hexdigest()[:16]}


def describe_change(domain: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in which way a domain's files differ from those of the part of the run before; empty where they do not."""
    if before == now:
        return ""
    if before["count"] == now["count"]:
        return f"the {now['count']} pictures of domain {domain} have other names than before"
    return f"domain {domain} has {now['count']} pictures, and had {before['count']}"
