"""No value of any option reaches the allocator or the file system unchecked: wrong ones end in one sentence."""

import math
import os
from pathlib import Path

import annotated_types
import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cyclegan_edge.runtime.errors import ConfigError
from cyclegan_edge.trainer import launch
from cyclegan_edge.trainer.commands.dataset import dataset
from cyclegan_edge.trainer.commands.export_weights import export_weights
from cyclegan_edge.trainer.commands.train import train
from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.config_text import read_toml
from cyclegan_edge.trainer.result import TrainingResult

FIELDS = [
    (part, name, field)
    for part, model in TrainConfig.model_fields.items()
    for name, field in type(model.default).model_fields.items()
]
IDS = [f"{part}.{name}" for part, name, _ in FIELDS]


@pytest.mark.parametrize(("part", "name", "field"), FIELDS, ids=IDS)
def test_every_number_of_the_configuration_has_two_bounds(part, name, field):
    if field.annotation not in (int, float):
        return
    kinds = {type(constraint) for constraint in field.metadata}
    assert kinds & {annotated_types.Ge, annotated_types.Gt}
    assert kinds & {annotated_types.Le, annotated_types.Lt}


@pytest.mark.parametrize(("part", "name", "field"), FIELDS, ids=IDS)
@pytest.mark.parametrize("value", [10**30, -(10**30), math.inf, math.nan, "x" * 5000, "a\0b", [[]], {}], ids=repr)
def test_no_absurd_value_is_taken(part, name, field, value):
    with pytest.raises(ConfigError) as refused:
        resolve_config({part: {name: value}})
    assert len(str(refused.value)) < 600


WORDS = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "8", "64", "1e400", "nan", "100000", "9" * 5000, "n" * 300, "../x", "/", ".", "a/b"]
    ),
    st.text(max_size=20),
    st.integers().map(str),
)


def run(arguments: list[str]) -> int:
    """Run the command line in this process as a shell would: no argument holds a NUL or half a surrogate pair."""
    from cyclegan_edge.cli import main

    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def typable(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def long_options(command: click.Command) -> list[str]:
    return [option.opts[-1] for option in command.params if isinstance(option, click.Option)]


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """Let commands check everything and train nothing."""
    monkeypatch.setattr(launch, "complete", lambda config, folder, prepare: TrainingResult(folder, 0, 1, 1, False, 0))
    monkeypatch.chdir(tmp_path)


SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
SWITCHES = {"--compile", "--json", "--clear", "--resume"}


@settings(max_examples=150, **SETTINGS)
@given(option=st.sampled_from(sorted(set(long_options(train)) - SWITCHES)), value=WORDS.filter(typable))
@example("--size", "100000")
@example("--size", "9" * 400)
@example("--name", "n" * 300)
@example("--name", "")
@example("--name", "../x")
@example("--runs", "r" * 300)
@example("--runs", "r/" * 3000)
@example("--init-from", "i" * 300)
@example("--config", "c" * 5000)
@example("--device", "cuda:999999999999")
@example("--set", "networks.generator=resnet_99999blocks")
@example("--set", f"networks.ngf={'9' * 5000}")
@example("--set", f"networks.ngf={'[' * 5000}")
@example("--cache", "c" * 5000)
def test_train_refuses_or_takes_any_value_of_any_option(untrained, capsys, option, value):
    code = run(["train", "data", f"{option}={value}"])
    assert code in (0, 2, 4, 5)
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert code == 0 or len(errors) < 6000


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        (["--size", "100000"], "8<=x<=16384"),
        (["--name", "n" * 300], "at most 200 bytes, not 300"),
        (["--name", ""], "must not be empty"),
        (["--name", "../x"], "no name of a folder"),
        (["--runs", "r" * 300], "255 of them between two slashes"),
        (["--batch-size", "100000000"], "less than or equal to 65536"),
        (["--set", "networks.ngf=100000"], "less than or equal to 1024"),
        (["--set", "data.load_size=nan"], "should be a finite number"),
        (["--set", "optim.lr=inf"], "should be a finite number"),
    ],
)
def test_a_bound_is_named_and_the_code_is_that_of_usage(untrained, capsys, options, bound):
    assert run(["train", "data", *options]) == 2
    assert bound in capsys.readouterr().err


@settings(max_examples=60, **SETTINGS)
@given(dataroot=WORDS.filter(typable), sheet=WORDS.filter(typable))
def test_dataset_check_refuses_or_takes_any_path(untrained, capsys, dataroot, sheet):
    assert run(["dataset", "check", f"--sheet={sheet}", "--", dataroot]) in (2, 3, 5)
    assert "Traceback" not in capsys.readouterr().err


@settings(max_examples=60, **SETTINGS)
@given(source=WORDS.filter(typable), output=WORDS.filter(typable))
def test_export_weights_refuses_or_takes_any_path(untrained, capsys, source, output):
    assert run(["export-weights", f"--output={output}", "--", source]) in (2, 4)
    assert "Traceback" not in capsys.readouterr().err


def test_every_path_option_is_bounded():
    from cyclegan_edge.trainer.commands.options import DATASET, PATH

    for command in (train, export_weights, *dataset.commands.values()):
        for parameter in command.params:
            assert not isinstance(parameter.type, click.Path) or parameter.type in (PATH, DATASET), parameter.name


@pytest.mark.parametrize("text", ["x = " + "9" * 5000, "x = " + "[" * 5000, "\0", "x = 1\nx = 2"])
def test_a_configuration_file_without_sense_is_refused(tmp_path, text):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_toml(tmp_path / "c.toml")


def test_paths_of_every_part_are_checked():
    assert isinstance(TrainConfig.model_fields["data"].default, BaseModel)
    for part, key in (("data", "dataroot"), ("data", "cache"), ("distill", "teacher"), ("validation", "features")):
        for path in ("a\0b", "n" * 256, str(Path("n" * 200) / ("m/" * 2000))):
            with pytest.raises(ConfigError, match=r"a path has at most 4000 bytes|holds a NUL"):
                resolve_config({part: {key: path}})
