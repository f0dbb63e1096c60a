"""Renders streets by day and by night: unpaired pictures to train on, true pairs and clips with true flow to measure.

    pip install bpy OpenEXR opencv-python-headless      # in an environment of its own; bpy is Blender, under the GPL
    python -m benchmarks.daynight OUTPUT [--train 600] [--test 100] [--clips 5] [--seconds 3]

Every picture is a street of its own, which its name decides: the same command gives the same set, a larger set holds
the smaller, and what is there already is left alone, so that a stopped run goes on.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import cv2
import numpy as np

from .camera import LENS, SENSOR, animate, draw_view, put_camera
from .develop import Picture, develop, meter
from .flow import Flow, Mask, back, forth, seen_again, sky_flow, with_sky, write_flow
from .light import Light, Time, draw_weather
from .render import Floats, new_scene, render
from .scene import Street, build_street

RATE = 12  # frames a second
QUALITY = 90  # of WebP


class Job(NamedTuple):
    """One street: what it is for, and its number there."""

    part: str  # trainA, trainB, test or clips
    number: int


def seed_of(job: Job) -> int:
    """Return the number that decides everything about a street."""
    return int.from_bytes(hashlib.sha256(f"{job.part} {job.number}".encode()).digest()[:4], "big") >> 1


def plan(train: int, test: int, clips: int) -> Iterator[Job]:
    """Return all streets, mixed so that a run that is stopped leaves a smaller set of all parts."""
    shares = {"trainA": train, "trainB": train, "test": test, "clips": clips}
    most = max(shares.values())
    for step in range(most):
        for part, count in shares.items():
            for number in range(-(-step * count // most), -(-(step + 1) * count // most)):
                yield Job(part, number)


def still(job: Job, output: Path, options: argparse.Namespace) -> None:
    """Render a street once, or by day and by night for a pair."""
    wanted: dict[str, tuple[tuple[str, Time], ...]] = {
        "trainA": (("trainA", "day"),),
        "trainB": (("trainB", "night"),),
        "test": (("testA", "day"), ("testB", "night")),
    }
    name = f"{job.number:04}.webp"
    missing = [(folder, moment) for folder, moment in wanted[job.part] if not (output / folder / name).exists()]
    if not missing:
        return
    rng, light = _set_up(job, options)
    street = build_street(rng)
    put_camera(draw_view(rng, street))
    for folder, moment in missing:
        sky = light.set_time(moment)
        rendering = render()
        grain = np.random.default_rng(seed_of(job) + len(folder + moment))
        exposure = meter(rendering, sky, light.weather.density, moment)
        save(output / folder / name, develop(rendering, sky, light.weather.density, exposure, grain))


def clip(job: Job, output: Path, options: argparse.Namespace) -> None:
    """Render a clip by day and, of the same frames, by night; with the flow from each frame to the next."""
    folder = output / "clips" / f"{job.number:02}"
    count = round(options.seconds * RATE)
    if (folder / "night" / f"{count:04}.webp").exists():
        return
    rng, light = _set_up(job, options)
    street: Street = build_street(rng)
    view = draw_view(rng, street)
    camera = put_camera(view)
    animate(rng, camera, view, street, options.seconds, RATE)
    moments: tuple[Time, ...] = ("day", "night")
    for moment in moments:
        sky = light.set_time(moment)
        exposure, before = None, None
        for frame in range(1, count + 1):
            rendering = render(frame)
            exposure = exposure or meter(rendering, sky, light.weather.density, moment)
            save(folder / moment / f"{frame:04}.webp", develop(rendering, sky, light.weather.density, exposure, None))
            now = rendering.motion, np.array(camera.matrix_world.to_3x3())
            if before is not None and moment == "day":
                (folder / "flow").mkdir(exist_ok=True)
                write_flow(folder / "flow" / f"{frame - 1:04}.png", *_flow(before, now))
            before = now


def _flow(before: tuple[Floats, Floats], now: tuple[Floats, Floats]) -> tuple[Flow, Mask]:
    """Return the flow between two frames, each the vector pass and the camera's axes, and where it can be followed."""
    side = len(before[0])
    focal = side * LENS / SENSOR
    there = with_sky(forth(before[0]), sky_flow(before[1], now[1], side, focal))
    returning = with_sky(back(now[0]), sky_flow(now[1], before[1], side, focal))
    return there, seen_again(there, returning)


def _set_up(job: Job, options: argparse.Namespace) -> tuple[Random, Light]:
    seed = seed_of(job)
    rng = Random(seed)
    new_scene(options.side, options.samples, seed % 2**31, options.threads)
    return rng, Light(options.weather or draw_weather(rng), rng)


def save(path: Path, picture: Picture) -> None:
    """Write a picture whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written, coded = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not written:
        raise OSError(f"cannot encode {path}")
    half = path.with_suffix(".part")
    half.write_bytes(coded.tobytes())
    half.replace(path)


def main() -> None:
    """Render what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.daynight", description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--train", type=int, default=600, help="pictures of each domain")
    parser.add_argument("--test", type=int, default=100, help="true pairs")
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a clip")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weather", help="one for all, to look at it")
    options = parser.parse_args()
    started = time.monotonic()
    for done, job in enumerate(plan(options.train, options.test, options.clips), start=1):
        (clip if job.part == "clips" else still)(job, options.output, options)
        print(f"{done} streets, {job.part} {job.number}: {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
