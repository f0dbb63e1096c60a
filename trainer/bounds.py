"""The bounds of configuration values: no number reaches an allocator, and no text a file system, unchecked."""

import os
from typing import Annotated

from pydantic import AfterValidator, Field

from ..runtime.files import MAX_NAME

MAX_PATH = 4000  # bytes: Linux takes 4095


def check_path(text: str) -> str:
    """Return a path that file systems can take; an empty one means none.

    Raises:
        ValueError: it is too long, or has a NUL.
    """
    encoded = os.fsencode(text)
    longest = max(map(len, encoded.split(b"/")))
    if b"\0" in encoded or len(encoded) > MAX_PATH or longest > MAX_NAME:
        raise ValueError(f"a path has at most {MAX_PATH} bytes, {MAX_NAME} of them between two slashes, and no NUL")
    return text


Side = Annotated[int, Field(ge=8, le=16384)]
Channels = Annotated[int, Field(ge=1, le=256)]
Width = Annotated[int, Field(ge=1, le=1024)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Interval = Annotated[int, Field(ge=1, le=10**9)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
PathText = Annotated[str, AfterValidator(check_path)]
