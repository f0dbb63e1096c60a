"""The bounds of configuration values: no number reaches an allocator, and no text a file system, unchecked."""

from typing import Annotated

from pydantic import AfterValidator, Field

from ..runtime.files import check_path

Side = Annotated[int, Field(ge=8, le=16384)]
Channels = Annotated[int, Field(ge=1, le=256)]
Width = Annotated[int, Field(ge=1, le=1024)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Interval = Annotated[int, Field(ge=1, le=10**9)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
PathText = Annotated[str, AfterValidator(check_path)]
