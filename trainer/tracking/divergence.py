"""The handling of gradients that are not finite: one is skipped, many are a divergence.

The device skips an update whose gradient is not finite, and training goes on: one bad picture does no harm. A run
diverges where many of its last updates were skipped, or a loss leaves all bounds; it then goes back to its last good
state, and is given up where that does not help.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...runtime.errors import CycleganError

LOGGER = logging.getLogger(__name__)

WINDOW = 20  # steps over which skipped updates are counted
MOST_SKIPPED = 10  # of them, before the run counts as diverging
LARGEST_LOSS = 1e6  # of any term; those of a run that learns stay below some hundreds
MOST_RETURNS = 3  # to one good state, before a run is given up
MOST_NAMED = 5  # steps whose pictures are named

REMEDY = "a lower optim.lr, optim.clip_norm=1 or run.precision=fp32"

Skips = tuple[bool, bool]  # whether a step skipped the update of the generators, and of the discriminators


class SkippedUpdates:
    """The account of the updates that were skipped."""

    def __init__(self) -> None:
        self.steps = 0  # that were looked at
        self.num_skipped = 0  # of these, with at least one update skipped
        self._by_network = [0, 0]
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def add(self, last_step: int, skips: Sequence[Skips], name_pictures: Callable[[int], str]) -> None:
        """Count the steps up to `last_step`, and name the pictures of the first few that skipped an update."""
        first = last_step - len(skips) + 1
        for step, networks in enumerate(skips, first):
            self.steps += 1
            self._by_network = [count + skipped for count, skipped in zip(self._by_network, networks, strict=True)]
            self._recent.append(any(networks))
            if not any(networks):
                continue
            self.num_skipped += 1
            if self.num_skipped <= MOST_NAMED:
                more = "; further ones are counted only" if self.num_skipped == MOST_NAMED else ""
                LOGGER.warning(
                    "a gradient of step %d was not finite, so its update was skipped; its pictures: %s%s",
                    step, name_pictures(step), more,
                )  # fmt: skip

    @property
    def many(self) -> bool:
        """Whether so many of the last updates were skipped that the run diverges."""
        return sum(self._recent) >= MOST_SKIPPED

    @property
    def untrained(self) -> str | None:
        """Networks of which every single update was skipped; None where there are none."""
        names = ("generators", "discriminators")
        idle = [name for name, count in zip(names, self._by_network, strict=True) if 0 < self.steps == count]
        return " and ".join(idle) or None

    def forget_recent(self) -> None:
        """Begin a new window, as after going back."""
        self._recent.clear()


def out_of_bounds(losses: Mapping[str, float]) -> str | None:
    """Return the name of a loss that is not finite or absurdly large; None where all are sound."""
    return next((name for name, loss in losses.items() if not math.isfinite(loss) or abs(loss) > LARGEST_LOSS), None)


class LastGood:
    """The last state of a run that was found good, to go back to when the run diverges."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}  # none before training begins
        self._returns = 0

    def replace(self, state: dict[str, Any]) -> None:
        """Keep a newer good state: a copy on the CPU, see `background.snapshot`."""
        self.state = state
        self._returns = 0

    def go_back(self, step: int, reason: str) -> dict[str, Any]:
        """Return the state, and say that the run goes back to it.

        Raises:
            CycleganError: the run never got from there to another good state.
        """
        self._returns += 1
        if self._returns > MOST_RETURNS:
            raise CycleganError(
                f"the run diverged {self._returns} times since its last good checkpoint, the last time before step "
                f"{step} ({reason}); resume from that checkpoint, or start again, with {REMEDY}"
            )
        LOGGER.warning(
            "the run diverges before step %d (%s): it goes back to its last good state; if this comes again, try %s",
            step, reason, REMEDY,
        )  # fmt: skip
        return self.state
