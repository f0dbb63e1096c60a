"""No option of the commands that export and run reaches an allocator or the file system unchecked.

Those of training are bounded by the configuration: `tests/trainer/commands/test_bounds.py`.
"""

import click
import pytest

from cyclegan_edge.cli import COMMANDS, cyclegan
from cyclegan_edge.runtime.commands.options import NumberRange, PathType
from cyclegan_edge.trainer.commands.options import RUN_OPTIONS, DatasetType

OF_TRAINING = {option(click.Command("x")).params[-1].name for option in RUN_OPTIONS}  # of distill, as of train
PARAMETERS = {
    f"{name} {parameter.name}": parameter
    for name, (folder, _) in COMMANDS.items()
    if folder != "trainer"
    for parameter in cyclegan.get_command(click.Context(cyclegan), name).params
    if parameter.name not in OF_TRAINING or folder == "runtime"
}


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)
def test_every_number_has_a_bound_and_every_path_is_checked(parameter):
    kind = parameter.type
    if isinstance(kind, click.types.IntRange | click.types.FloatRange):
        assert kind.min is not None
        assert kind.max is not None
    else:
        assert not isinstance(kind, click.types.IntParamType | click.types.FloatParamType)
    assert not isinstance(kind, click.FloatRange) or isinstance(kind, NumberRange)
    assert not isinstance(kind, click.Path) or isinstance(kind, PathType | DatasetType)
