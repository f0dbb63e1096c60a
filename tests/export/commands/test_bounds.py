"""Every value that a user can give has a bound: none reaches the allocator or the file system unchecked."""

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.cli import COMMANDS, cyclegan
from cyclegan_edge.runtime.commands.options import MAX_SIDE, parse_size
from cyclegan_edge.trainer.commands.options import RUN_OPTIONS

OURS = [name for name, (folder, _) in COMMANDS.items() if folder == "export"]
TRAINERS = {option(click.Command("x")).params[-1].name for option in RUN_OPTIONS}  # of distill, as of train


PARAMETERS = {
    f"{name} {parameter.name}": parameter
    for name in OURS
    for parameter in cyclegan.get_command(click.Context(cyclegan), name).params
    if parameter.name not in TRAINERS
}


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)
@settings(max_examples=20, deadline=None)
@given(
    text=st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.integers(300, 5000).map("n".__mul__),
        st.integers().map(str),
        st.floats().map(str),
        st.integers(10**6, 10**40).map(lambda side: f"{side}x{side}"),
    )
)
def test_any_text_is_taken_or_refused_in_a_sentence(parameter, text):
    """What is taken keeps its bounds; what is not is a usage error."""
    context = click.Context(click.Command("any"))
    try:
        value = parameter.process_value(context, text)
    except click.UsageError:
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert parameter.type.min <= value <= parameter.type.max


@pytest.mark.parametrize("text", ["8193", "8192x8193", "100000", "1" * 5000])
def test_a_size_has_a_bound(text):
    with pytest.raises(click.BadParameter, match=f"a side has at most {MAX_SIDE} pixels"):
        parse_size(click.Context(click.Command("any")), click.Option(["--size"]), text)
    assert parse_size(click.Context(click.Command("any")), click.Option(["--size"]), "8192") == (MAX_SIDE, MAX_SIDE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "{run}", "--size", "100000", "--no-verify"], "100000 is too large; a side has at most 8192 pixels"),
        (["export", "n" * 300], "nnn… is too long; a path has at most 4000 bytes, 255 of them between two slashes"),
        (["export", "{run}", "--output", ""], "'' is no path; name a file or a folder"),
        (["export", "{run}", "--batch-size", "1000000"], "1000000 is not in the range 1<=x<=256"),
        (["evaluate", "{run}", "n" * 300], "is too long"),
        (["evaluate", "{run}", "{run}", "--size", "100000"], "not in the range 8<=x<=4096"),
        (["profile", "{run}", "--seconds", "nan"], "nan is no number"),
        (["profile", "{run}", "--seconds", "inf"], "not in the range 0<=x<=3600"),
        (["demo", "--minutes", "nan"], "nan is no number"),
        (["distill", "{run}", "{run}", "--ngf", "100000000"], "not in the range 1<=x<=1024"),
        (["distill", "{run}", "{run}", "--generator", "resnet_100000000blocks"], "networks.generator"),
        (["verify", "n" * 300, "--reference", "{run}"], "is too long"),
        (["info", "a/" * 3000], "is too long"),
    ],
)
def test_what_is_out_of_bounds_is_a_usage_error_that_names_the_bound(
    cyclegan, run_folder, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert cyclegan(*[argument.format(run=run_folder) for argument in arguments]) == 2
    shown = capsys.readouterr().err
    assert message in " ".join(shown.split())
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_leaves_no_room_for_the_suffix_is_an_error_of_the_output(cyclegan, make_run, tmp_path, capsys):
    assert cyclegan("export", make_run("n" * 250), "--no-verify", "--output", tmp_path) == 5
    assert "File name too long" in capsys.readouterr().err
