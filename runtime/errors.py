"""Every error that a user can cause, in one tree; each class carries the exit code of the command that it ends.

    CycleganError               1   finished, but with failures
    ├── UsageError              2   a wrong option or combination of options
    │   └── ConfigError             a wrong key or value in the configuration
    ├── InputError              3   a picture, video or stream that cannot be opened
    │   ├── DatasetError            a dataset that is missing, empty or unusable
    │   └── StreamError             a camera or stream that failed
    ├── ModelError              4   a model that cannot be loaded or run
    │   ├── CheckpointError         a checkpoint or state dict
    │   ├── ArtefactError           an exported model
    │   └── BackendError            an engine that is missing or failed
    └── OutputError             5   a place that cannot be written
        └── FileOutputError         one file that cannot be written, where others can

A message is one sentence that says what is wrong with the user's input, and what to do. `replacing` is the border where
a failing disk becomes an `OutputError`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

StreamFailure = Literal["unreachable", "unauthorised", "not found", "unsupported", "timeout", "ended", "failed"]


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Replace control characters: names and metadata of other people's files must not steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class CycleganError(Exception):
    """The root of the tree; raised itself when a job finished with failures.

    `about` names the settings that the message is about as parameters of Python. A command adds the options of its own
    that set them; the message itself names no option, because the code below does not know which command runs it.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, about: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.about = about


class UsageError(CycleganError):
    """A wrong option or combination of options."""

    exit_code = 2


class ConfigError(UsageError):
    """A key or value of the configuration that cannot be used."""


class InputError(CycleganError):
    """A picture, video, folder or stream that cannot be opened or read."""

    exit_code = 3


class DatasetError(InputError):
    """A dataset that is missing, empty or unusable."""


class StreamError(InputError):
    """A camera or stream that cannot be opened, or stopped giving frames; `kind` says why."""

    def __init__(self, message: str, kind: StreamFailure) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def passing(self) -> bool:
        """Whether trying again may help."""
        return self.kind not in ("unauthorised", "not found", "unsupported")


class ModelError(CycleganError):
    """A model that cannot be loaded or run."""

    exit_code = 4


class CheckpointError(ModelError):
    """A checkpoint or state dict that cannot be used."""


class ArtefactError(ModelError):
    """An exported model that cannot be used."""


class BackendError(ModelError):
    """An engine that is not installed, cannot take the model or device, or failed while running."""


def without_opencv(error: ImportError) -> BackendError:
    """Return the error of a user whose OpenCV is missing or cannot be loaded.

    Raises:
        ImportError: it is another library that is missing, which is raised as it is.
    """
    if error.name != "cv2":
        raise error
    if isinstance(error, ModuleNotFoundError):
        return BackendError(
            'OpenCV is not installed; install it with: pip install "cyclegan-edge[window]", or '
            '"cyclegan-edge[headless]" on a device without a screen'
        )
    return BackendError(
        f"OpenCV cannot be loaded ({error}); on Debian or Ubuntu: apt install libgl1 libglib2.0-0, or take "
        "opencv-python-headless in the place of opencv-python"
    )


class OutputError(CycleganError):
    """A file or folder that cannot be written."""

    exit_code = 5


class FileOutputError(OutputError):
    """A file that its format, its name or its folder does not allow; the next file may well be written."""


@contextmanager
def training_side() -> Iterator[None]:
    """Turn a library that the edge install leaves out into a sentence that says how to get it.

    Raises:
        BackendError: a library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in (__package__.partition(".")[0], "cv2"):
            raise  # a fault of ours, which no installation mends; or OpenCV, which is not of the training side
        raise BackendError(
            f'this needs {error.name}, which is not installed; install it with: pip install "cyclegan-edge[train]"'
        ) from error
