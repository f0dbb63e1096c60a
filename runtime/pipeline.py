"""Frames flow from a source through the translator to a sink."""

import logging
from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np

from .contract import Picture
from .errors import InputError
from .sinks import Sink, Write
from .sources import Frame, Source
from .stats import Stats
from .translator import Translator

LOGGER = logging.getLogger(__name__)


def run(
    source: Source,
    translator: Translator,
    sink: Sink,
    *,
    batch_size: int = 1,
    advance: Callable[[int], None] = lambda frames: None,
) -> Stats:
    """Translate everything that the source gives, in its order; count and log what it could not read.

    Frames that follow one another and are of equal size once prepared are translated together, up to `batch_size`.
    `advance` hears how many frames are behind us since it was last called.

    Raises:
        InputError: the source cannot go on.
        ModelError: the model or the engine failed.
        OutputError: a frame cannot be written.
    """
    stats = Stats()
    start = perf_counter()
    with sink as write:
        for batch in _batches(source, translator, batch_size):
            if isinstance(batch, InputError):
                LOGGER.error("failed: %s", batch)
                stats.failed += 1
                advance(1)
            else:
                _translate(batch, translator, write)
                stats.frames += len(batch)
                advance(len(batch))
    stats.seconds = perf_counter() - start
    return stats


def _batches(
    source: Source, translator: Translator, batch_size: int
) -> Iterator[list[tuple[Frame, Picture]] | InputError]:
    """Gather frames with their prepared pictures while these are of one shape; pass errors on as they come."""
    batch: list[tuple[Frame, Picture]] = []
    for item in source:
        if isinstance(item, InputError):
            yield item
            continue
        prepared = translator.prepare(item.pixels)
        if batch and batch[0][1].shape != prepared.shape:
            yield batch
            batch = []
        batch.append((item, prepared))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _translate(batch: list[tuple[Frame, Picture]], translator: Translator, write: Write) -> None:
    translated = translator.infer(np.stack([prepared for _, prepared in batch]))
    for (frame, _), result in zip(batch, translated, strict=True):
        height, width = frame.pixels.shape[:2]
        write(Frame(translator.finish(result, (height, width)), frame.name))
