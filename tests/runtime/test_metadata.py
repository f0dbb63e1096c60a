"""What an artefact says of itself, read back, and refused where it cannot be trusted."""

import json
from pathlib import Path

import onnx
import pytest
from pydantic import ValidationError

from cyclegan_edge.runtime.errors import ArtefactError
from cyclegan_edge.runtime.metadata import LONGEST_TEXT, METADATA_KEY, SCHEMA_VERSION, Verification, parse_metadata

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


@pytest.mark.parametrize("field", ["input_channels", "output_channels", "size_multiple", "size_minimum"])
@pytest.mark.parametrize("value", [-1, 10**6, 10**30, 1e308, float("inf"), "9" * 5000])
def test_a_number_out_of_its_bounds_is_refused(field, value, metadata):
    values = json.loads(metadata().to_text()) | {field: value}
    with pytest.raises(ArtefactError, match="damaged metadata"):
        parse_metadata({METADATA_KEY: json.dumps(values)}, PATH)


@pytest.mark.parametrize("size", [[0, 64], [64, -4], [10**9, 64]])
def test_a_pinned_size_out_of_its_bounds_is_refused(size, metadata):
    values = json.loads(metadata().to_text()) | {"size": size}
    with pytest.raises(ArtefactError, match=r"damaged metadata \(size"):
        parse_metadata({METADATA_KEY: json.dumps(values)}, PATH)


def test_metadata_of_megabytes_and_of_many_levels_is_refused(metadata):
    values = json.loads(metadata().to_text()) | {"more": "x" * LONGEST_TEXT}
    for text in (json.dumps(values), "[" * 100_000):
        with pytest.raises(ArtefactError):
            parse_metadata({METADATA_KEY: text}, PATH)


def test_control_characters_of_metadata_do_not_reach_a_terminal(inverting_model, metadata, cyclegan, capsys, tmp_path):
    proto, path = inverting_model(), tmp_path / "a.onnx"
    onnx.helper.set_model_props(proto, {METADATA_KEY: metadata(architecture="\x1b]0;evil\x07\x9b31m").to_text()})
    onnx.save(proto, path)
    assert cyclegan("info", path) == 0
    printed = capsys.readouterr().out
    assert "evil" in printed
    assert not any(sign in printed for sign in "\x1b\x07\x9b")
    assert cyclegan("info", path.with_name("\x1b[2Jmissing.onnx")) != 0
    assert "\x1b" not in capsys.readouterr().err
