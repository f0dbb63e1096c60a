"""Options that are shared: sizes as they are written, and many options as one argument."""

import json

import click
import pytest
from click.testing import CliRunner

from cyclegan_edge.runtime.commands.options import backend_option, json_option, parse_size, together


@click.command()
@click.argument("name")
@together("engine", backend_option, click.option("--threads", default=1))
@together("size", click.option("--size", "sides", callback=parse_size))
@json_option
def command(name: str, engine: dict, size: dict, as_json: bool) -> None:
    click.echo(json.dumps([name, engine, size, as_json]))


def test_options_come_together_by_their_names():
    shown = CliRunner().invoke(command, ["me", "--threads", "2", "--size", "3x4", "--json"])
    assert json.loads(shown.output) == ["me", {"backend": "auto", "threads": 2}, {"sides": [3, 4]}, True]


def test_options_can_become_a_value_of_another_type():
    @click.command()
    @together("pair", click.option("--left"), click.option("--right"), make=lambda left, right: (right, left))
    def swap(pair: tuple[str, str]) -> None:
        click.echo(" ".join(pair))

    assert CliRunner().invoke(swap, ["--left", "a", "--right", "b"]).output == "b a\n"


def test_the_help_keeps_their_order():
    shown = CliRunner().invoke(command, ["--help"]).output
    places = [shown.index(name) for name in ("--backend", "--threads", "--size", "--json", "--help")]
    assert places == sorted(places)


@pytest.mark.parametrize("text", ["0", "3x", "axb", "-1x2", "1x2x3", ""])
def test_what_is_no_size(text):
    shown = CliRunner().invoke(command, ["me", "--size", text])
    assert shown.exit_code == 2
    assert "is no size" in shown.output
