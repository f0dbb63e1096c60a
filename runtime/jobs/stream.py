"""`cyclegan translate` on anything but a folder: connect the endpoints, run the pipeline, count."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..control import Control, stop_on_signals
from ..pipeline.endpoints import connect
from ..pipeline.outputs import OutputOptions
from ..pipeline.run import PATIENCE, Policy, run
from ..stats import Progress, Stats
from ..temporal.smoothing import STRENGTH, SimilarFrames, Smoother, Smoothing
from ..translator import LoadOptions

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamOptions:
    """How frames pass through the stages of the pipeline; see `pipeline.run` and `temporal`."""

    policy: Policy = "auto"
    batch_size: int = 1
    smooth: Smoothing | None = None
    smooth_strength: float = STRENGTH
    skip_similar: float | None = None  # dB PSNR
    deinterlace: bool = False

    @property
    def needs_video(self) -> bool:
        """Whether the options compare each frame with the one before."""
        return self.smooth is not None or self.skip_similar is not None


def translate_stream(
    address: str,
    targets: Sequence[str],
    model: Path,
    load_options: LoadOptions,
    output_options: OutputOptions,
    stream_options: StreamOptions,
    *,
    progress: Progress,
    report: Callable[[Stats], None],
) -> tuple[dict[str, Any], bool]:
    """Translate a picture, video, camera or stream into every target.

    Args:
        address, targets: see `endpoints.connect`.
        model: the artefact.
        load_options: how the model is loaded.
        output_options: how frames go into the targets.
        stream_options: how they pass through the pipeline.
        progress: shows how far the work is.
        report: called with the counts of a video at its end, also where an error ends it.

    Returns:
        the counts as `cyclegan translate` prints them, and whether a signal or key ended the run before its source.

    Raises:
        UsageError, InputError, ModelError, OutputError: nothing was begun, or the run cannot go on.
    """
    control = Control()
    smooth, skip = stream_options.smooth, stream_options.skip_similar
    smoother = Smoother(smooth, stream_options.smooth_strength) if smooth else None
    similar = SimilarFrames(skip).skips if skip is not None else None
    endpoints = connect(address, targets, control, output_options, deinterlace=stream_options.deinterlace)
    if endpoints.skipped:
        LOGGER.info("finished before and left alone: %d; overwriting makes them anew", endpoints.skipped)
    interrupted = False
    with load_options.load(model, live=endpoints.source.live) as translator:
        try:
            with progress(endpoints.source.total) as watch, stop_on_signals(control):
                run(
                    endpoints.source,
                    translator,
                    *endpoints.outputs,
                    policy=stream_options.policy,
                    batch_size=stream_options.batch_size,
                    control=control,
                    watch=watch,
                    smooth=smoother,
                    skip=similar,
                    patience=PATIENCE,
                )
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if endpoints.is_video:
                report(control.stats)
        stats = control.stats
        summary = stats.summary() | {
            "translated": 1 if endpoints.is_video else stats.frames,
            "skipped": endpoints.skipped,
            "engine": translator.backend.name,
            "device": translator.backend.device,
            "precision": translator.backend.precision,
            "output": ", ".join(endpoints.targets),
        }
    return summary, interrupted or stats.interrupted
