"""The command in this process, what it leaves behind, and sources that go wrong on time."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sources.bars import read_barcode
from cyclegan_edge.runtime.video import open_video

PATIENCE = 5.0  # seconds that threads may take to end


@dataclass(frozen=True)
class Outcome:
    """What the command ended with."""

    code: int
    summary: dict[str, Any]  # empty where none was printed
    said: str  # on stderr


@pytest.fixture
def translate(cyclegan, model, capfd) -> Callable[..., Outcome]:
    """Run `cyclegan translate` with a model that inverts."""

    def run(given: object, *outputs: object, options: tuple[str, ...] = (), artefact: Path | None = None) -> Outcome:
        arguments = ["translate", "-m", artefact or model("invert"), "-i", given, "--json", "--backend", "onnxruntime"]
        for output in outputs:
            arguments += ["-o", output]
        capfd.readouterr()
        code = cyclegan(*arguments, *options)
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err
        return Outcome(code, json.loads(printed.out) if printed.out else {}, printed.err)

    return run


@pytest.fixture
def numbers() -> Callable[[Path], list[int]]:
    """Read the numbers of a barcoded video's frames."""
    return lambda path: [read_barcode(frame.pixels).number for frame in open_video(path) if isinstance(frame, Frame)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever went wrong, every thread that the test began has ended."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
