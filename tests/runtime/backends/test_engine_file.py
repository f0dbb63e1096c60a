import hashlib
import json

import pytest
from pydantic import ValidationError

from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.backends.engine_file import (
    DIGEST_KEY,
    EngineFile,
    OptimizationProfile,
    check_built_for,
    read_description,
    read_plan,
    sidecar_path,
    this_system,
    write_engine,
)
from cyclegan_edge.runtime.errors import ArtefactError, BackendError, OutputError

PLAN = b"ftrt" + bytes(range(256))


@pytest.fixture
def describe(metadata):
    """Return a function that describes PLAN, with changes."""

    def make(**changes):
        values = {
            "library": "tensorrt",
            "library_version": "11.4.0",
            "gpu": "NVIDIA Double",
            "compute_capabilities": ("8.9",),
            "system": this_system(),
            "plan_bytes": len(PLAN),
            "plan_sha256": hashlib.sha256(PLAN).hexdigest(),
            "onnx_sha256": "0" * 64,
            "tf32": False,
            "profile": OptimizationProfile(min=(1, 8, 8), opt=(1, 16, 16), max=(2, 32, 32)),
            "artefact": metadata(),
        }
        return EngineFile(**(values | changes))

    return make


def test_what_was_written_is_read_back_and_the_plan_stays_as_it_was(describe, tmp_path):
    path = tmp_path / "a.engine"
    write_engine(PLAN, describe(), path)
    assert {file.name for file in tmp_path.iterdir()} == {"a.engine", "a.engine.json"}
    assert path.read_bytes() == PLAN
    assert read_description(path) == describe()
    assert read_plan(path, read_description(path)) == PLAN


def test_a_place_that_cannot_be_written_leaves_nothing(describe, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        write_engine(PLAN, describe(), tmp_path / "file" / "a.engine")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (PLAN[:100], r"was cut short: 100 of 260 bytes"),
        (PLAN[::-1], r"is not the engine that a\.engine\.json describes"),
    ],
)
def test_a_plan_that_was_cut_short_or_exchanged_is_refused(describe, tmp_path, plan, message):
    path = tmp_path / "a.engine"
    write_engine(PLAN, describe(), path)
    path.write_bytes(plan)
    with pytest.raises(ArtefactError, match=message):
        read_plan(path, read_description(path))


def edited(**changes):
    return lambda text: json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[:50], "is damaged"),
        (edited(profile={"smallest": [2, 8, 8], "commonest": [1, 8, 8], "largest": [1, 8, 8]}), "not in order"),
        (edited(library="tensorflow"), r"is damaged \(library"),
        (edited(schema_version=99), "newer cyclegan-edge"),
        (edited(artefact={}), r"is damaged \(artefact\.architecture"),
    ],
)
def test_a_description_edited_by_hand_is_refused(describe, tmp_path, edit, message):
    path = tmp_path / "a.engine"
    write_engine(PLAN, describe(), path)
    sidecar_path(path).write_text(edit(sidecar_path(path).read_text()))
    with pytest.raises(ArtefactError, match=message):
        open_backend(path)


@pytest.mark.parametrize(
    "edit",
    [
        edited(tf32=True),
        edited(plan_sha256="0" * 64),
        edited(note="mine"),
        lambda text: text.replace('"precision": "fp32"', '"precision": "int8"'),
        lambda text: text.replace('"note": "passed"', '"note": "failed"'),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != DIGEST_KEY}),
        edited(**{DIGEST_KEY: None}),
    ],
)
def test_a_valid_description_edited_by_hand_is_refused_too(describe, tmp_path, edit):
    path = tmp_path / "a.engine"
    write_engine(PLAN, describe(note="passed"), path)
    text = sidecar_path(path).read_text()
    sidecar_path(path).write_text(edit(text))
    assert json.loads(sidecar_path(path).read_text()) != json.loads(text)
    with pytest.raises(ArtefactError, match=r"json was changed after it was exported; export the engine again"):
        open_backend(path)


def test_a_description_laid_out_otherwise_is_the_same(describe, tmp_path):
    path = tmp_path / "a.engine"
    write_engine(PLAN, describe(), path)
    content = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps(dict(reversed(content.items()))))
    assert read_description(path) == describe()


def test_what_a_newer_version_says_is_kept_and_covered(describe, tmp_path):
    path = tmp_path / "a.engine"
    write_engine(PLAN, describe(psnr_db=float("inf"), lanes=[1, 2.5]), path)
    write_engine(PLAN, read_description(path), path)
    assert read_description(path).model_extra == {"psnr_db": None, "lanes": [1, 2.5]}


def test_an_engine_alone_is_refused(tmp_path):
    (tmp_path / "a.engine").write_bytes(PLAN)
    with pytest.raises(ArtefactError, match=r"there is no .*a\.engine\.json; an engine needs it beside itself"):
        open_backend(tmp_path / "a.engine")


def test_another_version_or_system_is_refused_with_the_way_out(describe, tmp_path):
    check_built_for(describe(), tmp_path / "a.engine", "11.4.0")
    with pytest.raises(BackendError, match=r"tensorrt 11\.4\.0 and this machine has 11\.5\.0.*--to tensorrt$"):
        check_built_for(describe(), tmp_path / "a.engine", "11.5.0")
    with pytest.raises(BackendError, match=r"built on Plan9-mips and this machine is"):
        check_built_for(describe(system="Plan9-mips"), tmp_path / "a.engine", "11.4.0")
    rtx = describe(library="tensorrt_rtx", library_version="1.7.1.116", system="Windows-AMD64")
    check_built_for(rtx, tmp_path / "a.engine", "1.7.1.116")


def test_a_profile_tells_what_it_takes():
    profile = OptimizationProfile(min=(1, 8, 8), opt=(1, 16, 16), max=(2, 32, 64))
    assert str(profile) == "1x8x8 to 2x32x64"
    assert profile.admits((2, 32, 8))
    assert not profile.admits((1, 40, 8))
    assert not profile.is_fixed
    assert str(OptimizationProfile(min=(1, 8, 8), opt=(1, 8, 8), max=(1, 8, 8))) == "1x8x8"
    with pytest.raises(ValidationError, match="not in order"):
        OptimizationProfile(min=(1, 8, 8), opt=(1, 4, 8), max=(1, 8, 8))
