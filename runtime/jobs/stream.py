"""`cyclegan translate` on anything but a folder: wire it up, run it, count."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..control import Control, stop_on_signals
from ..pipeline.endpoints import Show, connect
from ..pipeline.run import Policy, Skip, Smooth, run
from ..stats import Progress, Stats
from ..translator import load

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flow:
    """How frames pass through the stages; see `pipeline.run`."""

    policy: Policy = "auto"
    batch_size: int = 1
    smooth: Smooth | None = None
    skip: Skip | None = None


def translate_stream(
    given: str,
    outputs: Sequence[str],
    model: Path,
    settings: Mapping[str, Any],
    show: Show,
    flow: Flow,
    *,
    progress: Progress,
    report: Callable[[Stats], None],
) -> tuple[dict[str, Any], bool]:
    """Translate what `given` names into every output.

    Args:
        given, outputs: see `wiring.connect`.
        model: the artefact.
        settings: the keyword arguments of `translator.load`.
        show: how frames go into the outputs.
        flow: how they pass through the stages.
        progress: shows how far the work is.
        report: is told the counts of a video at its end, however it ends.

    Returns:
        the counts as `cyclegan translate` prints them, and whether a signal or key ended the run before its source.

    Raises:
        UsageError, InputError, ModelError, OutputError: nothing was begun, or the run cannot go on.
    """
    control = Control()
    wiring = connect(given, outputs, control, show)
    if wiring.skipped:
        LOGGER.info("finished before and left alone: %d (--overwrite makes them anew)", wiring.skipped)
    interrupted = False
    with load(model, **settings, live=wiring.source.live) as translator:
        try:
            with progress(wiring.source.total) as watch, stop_on_signals(control):
                run(
                    wiring.source,
                    translator,
                    *wiring.outlets,
                    policy=flow.policy,
                    batch_size=flow.batch_size,
                    control=control,
                    watch=watch,
                    smooth=flow.smooth,
                    skip=flow.skip,
                )
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if wiring.is_video:
                report(control.stats)
        stats = control.stats
        summary = stats.summary() | {
            "translated": 1 if wiring.is_video else stats.frames,
            "skipped": wiring.skipped,
            "engine": translator.backend.name,
            "device": translator.backend.device,
            "precision": translator.backend.precision,
            "output": ", ".join(wiring.outputs),
        }
    return summary, interrupted or stats.interrupted
