"""The configuration as a user writes it: a recipe, a TOML file, and assignments on the command line."""

import re
import reprlib
import tomllib
from pathlib import Path
from typing import Any

from ..runtime.errors import ConfigError

# The recipes by name: a TOML file each, which is all that a new one takes.
RECIPES = {path.stem: path for path in sorted(Path(__file__).with_name("recipes").glob("*.toml"))}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of numbers and nestings without end
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def read_recipe(name: str) -> dict[str, Any]:
    """Read what a recipe sets.

    Raises:
        ConfigError: there is no recipe of this name.
    """
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {reprlib.repr(name)}; the recipes are {', '.join(RECIPES)}")
    return read_toml(RECIPES[name])


def parse_assignment(text: str) -> dict[str, Any]:
    """Turn `networks.ngf=16` into {"networks": {"ngf": 16}}; a value that is not TOML is taken as a string.

    Raises:
        ConfigError: the text is not PART.KEY=VALUE.
    """
    match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", text, re.DOTALL)
    if match is None:
        raise ConfigError(f"a setting is written PART.KEY=VALUE, such as networks.ngf=32; got {reprlib.repr(text)}")
    part, key, value = match.groups()
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value
    return {part: {key: parsed}}
