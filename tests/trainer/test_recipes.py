"""The recipes: which there are, what each sets, and what lies over what."""

import tomllib
from pathlib import Path

import pytest

import cyclegan_edge
from cyclegan_edge.runtime.errors import ConfigError, UsageError
from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.config_text import RECIPES, read_recipe

from .conftest import TINY

QUALITY = Path(__file__).parents[2] / "docs" / "quality.md"
DEFAULTS = TrainConfig().model_dump()
SETTINGS = {
    "official": {},
    "edge": {"networks": {"generator": "edge_resnet_6blocks", "ngf": 16, "tail": "smooth", "norm_floor": 1}},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_valid_configuration_and_sets_what_its_table_says(name):
    assert read_recipe(name) == SETTINGS[name]
    config = resolve_config(read_recipe(name)).model_dump()
    for part, keys in DEFAULTS.items():
        assert config[part] == keys | SETTINGS[name].get(part, {})
    page = QUALITY.read_text(encoding="utf-8")
    section = page.partition("\n## Recipes\n")[2].partition("\n## ")[0]
    assert f"`{name}`" in section
    for part, keys in SETTINGS[name].items():
        assert [key for key, value in keys.items() if f"`{part}.{key}={value}`" not in section] == []


def test_every_recipe_is_in_the_table():
    assert RECIPES.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", ["egde", "", "../recipes/edge", "edge.toml", "EDGE"])
def test_an_unknown_recipe_names_those_that_exist(name, tmp_path):
    with pytest.raises(ConfigError, match=r"there is no recipe '.*'; the recipes are edge, official"):
        cyclegan_edge.train({}, tmp_path / "run", recipe=name)
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_lies_over_the_recipe(dataroot, tmp_path):
    layer = TINY | {"data": TINY["data"] | {"dataroot": str(dataroot)}, "networks": {"ngf": 4, "ndf": 4}}
    layer["run"] = TINY["run"] | {"max_steps": 1}
    cyclegan_edge.train(layer, tmp_path / "run", recipe="edge")
    networks = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["networks"]
    wanted = SETTINGS["edge"]["networks"] | {"ngf": 4, "ndf": 4}
    assert networks == DEFAULTS["networks"] | wanted


def test_a_resumed_run_takes_no_recipe(tmp_path):
    with pytest.raises(UsageError, match="goes on with its own settings; leave the recipe out"):
        cyclegan_edge.train({}, tmp_path / "run", recipe="official", resume="latest")
