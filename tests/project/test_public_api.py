"""`import cyclegan_edge`: complete, lazy, and of the version that the changelog tells."""

import re
from pathlib import Path

import pytest

import cyclegan_edge
from cyclegan_edge.runtime import errors


@pytest.mark.parametrize("name", cyclegan_edge.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(cyclegan_edge, name) is not None
    assert name in dir(cyclegan_edge)


def test_every_error_is_public() -> None:
    tree = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception)}
    assert "CycleganError" in tree
    assert tree <= set(cyclegan_edge.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'translater'"):
        cyclegan_edge.translater  # noqa: B018


def test_the_newest_entry_of_the_changelog_is_this_version(root: Path) -> None:
    entries = re.findall(r"^## \[(.+?)\]", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert entries[0] == cyclegan_edge.__version__
