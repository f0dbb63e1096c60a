"""Frames that are ready for the engine, gathered into batches of one size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..channel import Channel
from ..contract import Picture
from ..frame import Frame


@dataclass(frozen=True)
class PreparedFrame:
    """A frame, and what was made of its picture so far: prepared for the engine, or translated by it."""

    frame: Frame
    picture: Picture


def batches(jobs: Channel[PreparedFrame], batch_size: int) -> Iterator[list[PreparedFrame]]:
    """Gather jobs while their prepared pictures are of one shape; an error comes after the jobs before it."""
    batch: list[PreparedFrame] = []
    ending: BaseException | None = None
    arriving = iter(jobs)
    while True:
        try:
            job = next(arriving, None)
        except BaseException as error:
            job, ending = None, error
        if batch and (job is None or _kind(job) != _kind(batch[0])):
            yield batch
            batch = []
        if job is None:
            break
        batch.append(job)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if ending is not None:
        raise ending


def stack(pictures: list[Picture]) -> Picture:
    """Make a batch; a single picture is not copied."""
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)


def _kind(job: PreparedFrame) -> tuple[object, ...]:
    return job.picture.shape, job.picture.dtype
