"""`cyclegan translate` on anything but a folder: connect the endpoints, run the pipeline, count."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..backends.base import Backend
from ..control import Control, stop_on_signals
from ..pipeline.endpoints import Endpoints, connect
from ..pipeline.outputs import OutputOptions
from ..pipeline.run import PATIENCE, Policy, Skip, run
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

    def make_smoother(self) -> Smoother | None:
        """Return what smooths one video; None where nothing does.

        Raises:
            UsageError: there is no such smoothing or strength.
        """
        return Smoother(self.smooth, self.smooth_strength) if self.smooth else None

    def make_skip(self) -> Skip | None:
        """Return what recognises the frames of one video that are given the translation before; None: none are."""
        return None if self.skip_similar is None else SimilarFrames(self.skip_similar).skips

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
    smoother, skip = stream_options.make_smoother(), stream_options.make_skip()
    endpoints = connect(address, targets, control, output_options, deinterlace=stream_options.deinterlace)
    if endpoints.skipped:
        LOGGER.info("finished before and left alone: %d; overwriting makes them anew", endpoints.skipped)
    interrupted = False
    with load_options.load(model, live=endpoints.source.live) as translator:
        translate = partial(run, endpoints.source, translator, *endpoints.outputs, patience=PATIENCE)
        policy, size = stream_options.policy, stream_options.batch_size
        try:
            with progress(endpoints.source.total) as watch, stop_on_signals(control):
                translate(policy=policy, batch_size=size, control=control, watch=watch, smooth=smoother, skip=skip)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if endpoints.is_video:
                report(control.stats)
        return _summary(endpoints, translator.backend, control.stats), interrupted or control.stats.interrupted


def _summary(endpoints: Endpoints, engine: Backend, stats: Stats) -> dict[str, Any]:
    """Return the counts as `cyclegan translate` prints them."""
    return stats.summary() | {
        "translated": 1 if endpoints.is_video else stats.frames,
        "skipped": endpoints.skipped,
        "engine": engine.name,
        "device": engine.device,
        "precision": engine.precision,
        "output": ", ".join(endpoints.targets),
    }
