"""The parameters of a request's query, each by a parser with bounds."""

from dataclasses import dataclass
from typing import Self

from starlette.datastructures import QueryParams

from .limits import RefusedError
from .models import Model, Models
from .pictures import MEDIA_TYPES

SIZES = range(16, 16384 + 1)


@dataclass(frozen=True)
class Parameters:
    """What a request asks for."""

    model: Model
    longest: int | None  # the side at which the model works
    media_type: str | None  # of the result; None: that of the picture

    @classmethod
    def parse(cls, query: QueryParams, models: Models) -> Self:
        """Read a query.

        Raises:
            RefusedError: 400 a value is out of its bounds; 404 there is no such model.
        """
        size, kind = query.get("size"), query.get("format")
        return cls(models.find(query.get("model")), _parse_size(size), _parse_format(kind))


def _parse_size(text: str | None) -> int | None:
    if text is None:
        return None
    # The length first: Python refuses to convert thousands of digits.
    if not (len(text) <= 5 and text.isascii() and text.isdecimal() and int(text) in SIZES):
        raise RefusedError(400, "bad_parameter", f"size is a number of pixels from {SIZES[0]} to {SIZES[-1]}")
    return int(text)


def _parse_format(text: str | None) -> str | None:
    if text is None:
        return None
    if text not in MEDIA_TYPES:
        raise RefusedError(400, "bad_parameter", f"format is one of: {', '.join(MEDIA_TYPES)}")
    return MEDIA_TYPES[text]
