"""A message belongs to the command that shows it: the code below names no option, it cannot know which command runs.

It says which settings an error is about, `UsageError(…, about=("size",))`, and the command adds its options for them.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cyclegan_edge.cli import COMMANDS, LazyGroup, cyclegan
from cyclegan_edge.runtime import errors
from cyclegan_edge.runtime.errors import UsageError

ROOT = Path(__file__).parents[2]
BELOW = [
    path
    for folder in ("export", "runtime", "trainer")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.parent.name != "commands"
]

OPTION = re.compile(r"(?<![\w-])--[a-z]")
WHOLE_COMMAND = re.compile(
    r"cyclegan \w+ [^;]*--[a-z]|pip install [^;]*--[a-z]|(ray start|torchrun) --[a-z]"
)  # which may be copied as it is


def messages(tree: ast.AST) -> Iterator[str]:
    """Give every text that a module raises, logs or notes."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        logged = isinstance(called, ast.Attribute) and getattr(called.value, "id", "") in ("LOGGER", "notes")
        if isinstance(node, ast.Raise) or logged:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


@pytest.mark.parametrize("path", BELOW, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_option_is_named_below_the_commands(path: Path) -> None:
    told = [text for text in messages(ast.parse(path.read_text())) if OPTION.search(WHOLE_COMMAND.sub("", text))]
    assert told == []


def settings(path: Path) -> Iterator[str]:
    """Give every name in an `about=(…)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "about" and isinstance(node.value, ast.Tuple):
            yield from (name.value for name in node.value.elts if isinstance(name, ast.Constant))


def test_every_setting_that_an_error_is_about_is_an_option_of_some_command() -> None:
    context = click.Context(cyclegan)
    loaded = [cyclegan.get_command(context, name) for name in COMMANDS]
    known = {option.name for command in loaded if command for option in command.params}
    named = {name for path in sorted((ROOT / "export").rglob("*.py")) for name in settings(path)}
    named |= {name for path in sorted((ROOT / "runtime").rglob("*.py")) for name in settings(path)}
    assert named
    assert named <= known


class Group(LazyGroup):
    """One command that fails about its size and about what it has no option for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        def fail(**options: object) -> None:
            raise UsageError("this is too large", about=("size", "fit"))

        return click.Command(cmd_name, params=[click.Option(["-s", "--size"])], callback=fail)


def test_a_command_adds_the_options_that_it_has() -> None:
    with pytest.raises(UsageError) as caught:
        Group().main(["any"], standalone_mode=False)
    assert str(caught.value) == "this is too large; see --size"


def test_every_error_can_be_about_settings() -> None:
    tree = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    for kind in tree:
        error = kind("x", "timeout") if kind is errors.StreamError else kind("x", about=("size",))
        assert error.about == (() if kind is errors.StreamError else ("size",))
        assert str(error) == "x"
