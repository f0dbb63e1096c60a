"""What all tests share: the `gpu` marker, the embedded pictures, the command, and a log as every test found it."""

import logging
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    # A shell has Ctrl-C ignored by what it starts in the background; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def cuda_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not cuda_is_there():
        pytest.skip("needs a CUDA device, and torch sees none")


@pytest.fixture(scope="session")
def emoji() -> Path:
    """The embedded dataset: trainA, trainB, testA and testB."""
    return ROOT / "examples" / "emoji"


@pytest.fixture(scope="session")
def cyclegan() -> Callable[..., int]:
    """Return the command as a function that runs it in this process and gives its exit code."""
    from cyclegan_edge.cli import main

    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code

    return run


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Undo what commands that ran in this process, in fixtures too, did to the level of the log."""
    loggers = [logging.getLogger(name) for name in ("cyclegan_edge", "cyclegan_edge.trainer")]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    yield
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
