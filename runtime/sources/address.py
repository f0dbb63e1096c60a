"""How a source that is no file is written: `kind:place?key=value&key=value`."""

import re
from difflib import get_close_matches
from fractions import Fraction
from urllib.parse import parse_qsl

from ..contract import Size
from ..errors import UsageError


class Settings:
    """The settings behind an address's question mark, each read once by its type."""

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        """Split an address.

        Raises:
            UsageError: a setting is not one of those that are known.
        """
        self.text = text
        self.place, _, query = text.partition("?")
        self._values = dict(parse_qsl(query, keep_blank_values=True))
        for name in self._values:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
                raise UsageError(f"{text} has no setting {name!r}; {hint}")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def size(self, name: str, default: Size) -> Size:
        """Return what is written WIDTHxHEIGHT, in pixels."""
        match = self._match(name, r"([1-9]\d{0,4})x([1-9]\d{0,4})", "a width and height such as 1280x720")
        return (int(match[2]), int(match[1])) if match else default

    def rate(self, name: str, default: Fraction) -> Fraction:
        """Return frames a second, written 30, 29.97 or 30000/1001."""
        match = self._match(name, r"\d+(\.\d+|/[1-9]\d*)?", "a rate such as 30, 29.97 or 30000/1001")
        rate = Fraction(match[0]) if match else default
        if not 0 < rate <= 1000:
            raise UsageError(f"{self.text}: {name} must be between 0 and 1000 frames a second")
        return rate

    def count(self, name: str) -> int | None:
        """Return a whole number; None where it is not given."""
        match = self._match(name, r"\d{1,12}", "a number")
        return int(match[0]) if match else None

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of some words, the first where none is given."""
        match = self._match(name, "|".join(choices), f"one of {', '.join(choices)}")
        return match[0] if match else choices[0]

    def box(self, name: str) -> tuple[int, int, int, int] | None:
        """Return LEFT,TOP,WIDTH,HEIGHT in pixels; None where it is not given."""
        match = self._match(name, r"(-?\d+),(-?\d+),([1-9]\d*),([1-9]\d*)", "left,top,width,height")
        return (int(match[1]), int(match[2]), int(match[3]), int(match[4])) if match else None

    def _match(self, name: str, pattern: str, meaning: str) -> re.Match[str] | None:
        if name not in self._values:
            return None
        match = re.fullmatch(pattern, self._values[name])
        if match is None:
            raise UsageError(f"{self.text}: {name} is {meaning}, not {self._values[name]!r}")
        return match


def without_credentials(address: str) -> str:
    """Return an address as it may be shown: no user, no password, no query that may hold a token."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    authority = re.split("[/?#]", rest)[0]
    path = re.split("[?#]", rest[len(authority) :])[0]
    if "@" in rest[len(authority) :]:  # a password with a slash in it, or a path with an @: nobody knows
        return f"{scheme}://…"
    return f"{scheme}://{authority.rpartition('@')[2]}{path}"
