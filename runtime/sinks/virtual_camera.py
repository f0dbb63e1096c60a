"""A virtual camera that other programs can open, through the extra `virtual-camera`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..contract import plain
from ..errors import InputError, OutputError, UsageError
from ..frame import Frame, Write


@contextmanager
def virtual_camera_sink(device: str | None, rate: Fraction) -> Iterator[Write]:
    """Give frames to a virtual camera, the first that is free unless `device` names one.

    Raises:
        UsageError: the extra is not installed.
        OutputError: there is no virtual camera.
        InputError: a frame has another size than the first.
    """
    if find_spec("pyvirtualcam") is None:
        raise UsageError(
            'a virtual camera needs pyvirtualcam, which is GPL: pip install "cyclegan-edge[virtual-camera]"'
        )
    import pyvirtualcam

    with ExitStack() as opened:
        camera: Any = None

        def write(frame: Frame) -> None:
            nonlocal camera
            height, width = frame.pixels.shape[:2]
            if camera is None:
                try:
                    camera = opened.enter_context(pyvirtualcam.Camera(width, height, float(rate), device=device))
                except RuntimeError as error:
                    raise OutputError(
                        f"there is no virtual camera ({error}); on Linux load v4l2loopback, elsewhere install OBS"
                    ) from error
            if (camera.height, camera.width) != (height, width):
                raise InputError(f"{frame.name} changes its size; a virtual camera keeps one")
            camera.send(np.ascontiguousarray(plain(frame.pixels)))

        yield write
