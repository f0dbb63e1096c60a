"""The kernel times that TensorRT measures while it builds, kept for the next build."""

import logging
import re
from pathlib import Path

from ..runtime.backends.engine_file import Library
from ..runtime.backends.trt_api import BuilderConfig
from ..runtime.errors import OutputError
from ..runtime.files import replacing

LOGGER = logging.getLogger(__name__)


def timing_cache_path(library: Library, version: str, gpu: str) -> Path | None:
    """Return where measured kernel times are kept, which hold for one version on one kind of GPU."""
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home, as in a container
        return None
    name = "-".join((library, version, re.sub(r"[^\w.]+", "-", gpu)))
    return home / ".cache" / "cyclegan-edge" / f"{name}.timing"


def load_timing_cache(config: BuilderConfig, path: Path) -> None:
    """Give a build the kernel times that earlier ones measured, if the library takes them."""
    try:
        stored = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        stored = b""
    except OSError as error:
        LOGGER.warning("%s cannot be read (%s); kernels are timed anew", path, error.strerror)
        stored = b""
    empty = config.create_timing_cache(b"")
    if stored:
        cache = config.create_timing_cache(stored)
        # Of a damaged one the library makes none, or an empty one; it refuses to attach that of another driver.
        dropped = cache is None or bytes(cache.serialize()) == bytes(empty.serialize()) != stored
        if not dropped and config.set_timing_cache(cache, False):
            return
        LOGGER.warning("%s is damaged or of another driver; kernels are timed anew", path)
    config.set_timing_cache(empty, False)


def save_timing_cache(config: BuilderConfig, path: Path) -> None:
    """Keep the kernel times for the next build; the plan is worth having without them."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        with replacing(path) as partial:
            partial.write_bytes(bytes(cache.serialize()))
    except OutputError as error:
        LOGGER.warning("the engine is built, but the next build will time its kernels again: %s", error)
