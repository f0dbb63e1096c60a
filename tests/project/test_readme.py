"""What the documents tell people to type exists: commands, options and their choices, make targets, links, names."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cyclegan_edge
from cyclegan_edge.cli import cyclegan

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
DOCUMENTS += sorted(path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.md"))
SHELL = {"", "bash", "console", "sh", "shell"}

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def blocks(document: Path, languages: set[str]) -> Iterator[str]:
    """Give the text of every fenced block in one of the languages."""
    fenced = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return (text for language, text in fenced if language in languages)


def command_lines(document: Path, program: str) -> list[list[str]]:
    """Return the arguments of every call of a program in the shell blocks."""
    calls = []
    for block in blocks(document, SHELL):
        for line in block.replace("\\\n", " ").splitlines():
            for call in re.split(r"&&|\|\||[|;]", line.removeprefix("$ ")):
                words = shlex.split(call, comments=True)
                if words and Path(words[0]).name == program:
                    calls.append(words[1:])
    return calls


def parse(command: click.Command, arguments: list[str]) -> list[str]:
    """Parse arguments as the command would, their files unopened; return what a group leaves to its command.

    Raises:
        click.UsageError: an option that the command does not know, without its value or with a value not offered.
    """
    context = click.Context(command, info_name=command.name)
    values, rest, _ = command.make_parser(context).parse_args(list(arguments))
    for option in command.params:
        if isinstance(option.type, click.Choice) and isinstance(value := values.get(option.name or ""), str):
            option.type.convert(value, option, context)
    return rest


def understand(document: Path) -> None:
    for arguments in command_lines(document, "cyclegan"):
        rest = parse(cyclegan, arguments)
        if rest:
            command = cyclegan.get_command(click.Context(cyclegan), rest[0])
            assert command, f"no command {rest[0]!r}"
            parse(command, rest[1:])


@documents
def test_every_command_line_is_understood(document: Path) -> None:
    understand(document)


@documents
def test_every_make_target_exists(document: Path) -> None:
    calls = [[target] for target in re.findall(r"`make ([\w-]+)`", document.read_text())]
    for words in calls + command_lines(document, "make"):
        folder = words[1] if words[:1] == ["-C"] else "."
        targets = re.findall(r"^([\w-]+):", (ROOT / folder / "Makefile").read_text(), flags=re.MULTILINE)
        named = words[2:] if words[:1] == ["-C"] else words
        assert {word for word in named if "=" not in word} <= set(targets)


@documents
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
    links += re.findall(r"(?:src|href)=\"([^\"#:]+)\"", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@documents
def test_every_public_name_exists(document: Path) -> None:
    code = "\n".join(blocks(document, {"python"}))
    assert set(re.findall(r"\bcyclegan_edge\.(\w+)", code)) <= set(cyclegan_edge.__all__)


def test_the_readme_tells_the_two_commands_and_the_three_steps() -> None:
    make = [words[0] for words in command_lines(ROOT / "README.md", "make")]
    steps = [words[0] for words in command_lines(ROOT / "README.md", "cyclegan")]
    assert {"demo", "test"} <= set(make)
    assert {"train", "export", "translate"} <= set(steps)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("export runs/t --directoin both", "No such option"),
        ("export runs/t --direction", "requires an argument"),
        ("export runs/t --direction AtoC", "is not one of"),
        ("--quite train data", "No such option"),
    ],
)
def test_a_wrong_command_line_is_found(line: str, complaint: str, tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"```bash\n$ cyclegan {line}  # a comment\n```\n")
    with pytest.raises(click.UsageError, match=complaint):
        understand(document)
