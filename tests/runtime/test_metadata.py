"""What an artefact says of itself, read back, and refused where it cannot be trusted."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from cyclegan_edge.runtime.errors import ArtefactError
from cyclegan_edge.runtime.metadata import METADATA_KEY, SCHEMA_VERSION, Verification, parse_metadata

PATH = Path("a.onnx")


def test_round_trip(metadata):
    verification = Verification(passed=True, engines=("onnxruntime",), max_lsb=1, min_psnr_db=None)
    written = metadata(size=(64, 96), verification=verification)
    assert parse_metadata({METADATA_KEY: written.to_text()}, PATH) == written


def test_a_file_that_is_not_ours_has_none():
    assert parse_metadata({"author": "someone"}, PATH) is None


def test_unknown_keys_are_kept(metadata):
    values = json.loads(metadata().to_text()) | {"colour": "blue"}
    read = parse_metadata({METADATA_KEY: json.dumps(values)}, PATH)
    assert json.loads(read.to_text())["colour"] == "blue"


def test_a_newer_schema_is_refused_even_where_nothing_else_is_understood():
    text = json.dumps({"schema_version": SCHEMA_VERSION + 1, "all": "different"})
    with pytest.raises(ArtefactError, match=r"a\.onnx was written by a newer cyclegan-edge.*upgrade"):
        parse_metadata({METADATA_KEY: text}, PATH)


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"schema_version": "x"}', '{"schema_version": 1}'])
def test_damaged_metadata_is_refused(text):
    with pytest.raises(ArtefactError, match=r"^a\.onnx carries damaged metadata[^\n]*export the checkpoint again$"):
        parse_metadata({METADATA_KEY: text}, PATH)


@pytest.mark.parametrize(
    ("field", "value"),
    [("direction", "AtoC"), ("io", "int8"), ("precision", "fp8"), ("size_multiple", 0), ("size", [64]), ("source", {})],
)
def test_a_wrong_value_is_named(field, value, metadata):
    values = json.loads(metadata().to_text()) | {field: value}
    with pytest.raises(ArtefactError, match=rf"damaged metadata \({field}"):
        parse_metadata({METADATA_KEY: json.dumps(values)}, PATH)


def test_metadata_cannot_be_changed(metadata):
    with pytest.raises(ValidationError):
        metadata().direction = "BtoA"
