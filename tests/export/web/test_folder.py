"""The folder of a page: its files, its description, its second export, and what it refuses."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from cyclegan_edge.export.web import libraries as libraries_module
from cyclegan_edge.export.web.folder import write_web
from cyclegan_edge.export.web.libraries import libraries
from cyclegan_edge.export.web.manifest import read_manifest
from cyclegan_edge.runtime.errors import ArtefactError, OutputError
from cyclegan_edge.runtime.web.static_folder import HEADERS


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "models.json").read_text())


def test_it_describes_its_files(web_folder: Path) -> None:
    manifest = manifest_of(web_folder)
    files = [file for model in manifest["models"] for file in model["files"].values()]
    files += [runtime["binary"] for runtime in manifest["runtimes"].values()]
    assert len(files) == 10
    for file in files:
        data = (web_folder / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    for runtime in manifest["runtimes"].values():
        assert (web_folder / runtime["module"]).is_file()
        assert (web_folder / runtime["factory"]).is_file()
        unpacked = gzip.decompress((web_folder / runtime["binary"]["path"]).read_bytes())
        assert unpacked.startswith(b"\0asm")
        assert len(unpacked) == runtime["binary"]["unpacked_bytes"]


def test_licences_travel_along(web_folder: Path) -> None:
    assert "MIT License" in (web_folder / "libraries/onnxruntime-web/LICENSE").read_text()
    assert (web_folder / "libraries/onnxruntime-web/ThirdPartyNotices.txt").stat().st_size > 100_000
    assert "Mozilla Public License" in (web_folder / "libraries/mediabunny/LICENSE").read_text()
    assert "Apache-2.0" in (web_folder / "README.txt").read_text()


def test_nothing_names_another_place_to_load_from(web_folder: Path) -> None:
    for path in (*web_folder.glob("*.html"), *web_folder.glob("*.js"), *web_folder.glob("static/*")):
        assert b"://" not in path.read_bytes().replace(b"http://www.w3.org/2000/svg", b"")


def test_the_policy_is_in_the_page_and_in_the_headers(web_folder: Path) -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert f'content="{policy}"' in (web_folder / "index.html").read_text()
    lines = (web_folder / "_headers").read_text().splitlines()
    assert lines[0] == "/*"
    assert dict(line.strip().split(": ", 1) for line in lines[1:]) == HEADERS


def test_every_file_of_the_page_is_in_the_service_workers_list(web_folder: Path) -> None:
    shell = json.loads((web_folder / "sw.js").read_text().split("const SHELL = ")[1].split(";\n")[0])
    own = {f"static/{path.name}" for path in (web_folder / "static").iterdir()}
    assert set(shell) == {"./", "models.json", *own}


def test_a_second_export_keeps_the_other_models(web_model, tmp_path: Path) -> None:
    folder = write_web([web_model()], tmp_path / "page")
    first = (folder / "sw.js").read_text()
    write_web([web_model("identity-BtoA", identity=True, direction="BtoA")], folder)
    assert [model["name"] for model in manifest_of(folder)["models"]] == ["identity-BtoA", "invert-AtoB"]
    assert (folder / "sw.js").read_text() != first
    write_web([web_model()], folder)
    assert [model["name"] for model in manifest_of(folder)["models"]] == ["invert-AtoB", "identity-BtoA"]


def test_a_model_whose_file_is_gone_is_forgotten(web_model, tmp_path: Path) -> None:
    folder = write_web([web_model(), web_model("identity-BtoA", identity=True)], tmp_path / "page")
    (folder / "models" / "identity-BtoA-fp32.onnx").unlink()
    write_web([web_model()], folder)
    assert [model["name"] for model in manifest_of(folder)["models"]] == ["invert-AtoB"]


DAMAGED = ["{", "[]", '{"schema_version": 1}', "\xff", '{"models": 7}']


@pytest.mark.parametrize("text", [None, *DAMAGED])
def test_a_folder_that_holds_something_else_is_refused(web_model, tmp_path: Path, text: str | None) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    if text is not None:
        (tmp_path / "models.json").write_text(text, encoding="latin-1")
    with pytest.raises(OutputError, match="holds no page"):
        write_web([web_model()], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"diary.txt", "models.json"}


@pytest.mark.parametrize("text", DAMAGED)
def test_a_description_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "models.json").write_text(text, encoding="latin-1")
    with pytest.raises(ArtefactError, match=r"is damaged .* export the page again"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "models/../../x", ""])
def test_a_description_names_files_of_its_folder_only(web_folder: Path, tmp_path: Path, path: str) -> None:
    manifest = manifest_of(web_folder)
    manifest["models"][0]["files"]["fp16"]["path"] = path
    (tmp_path / "models.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="lies outside the folder"):
        read_manifest(tmp_path)


def test_a_page_of_a_newer_version_is_refused(web_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(json.dumps(manifest_of(web_folder) | {"schema_version": 99}))
    with pytest.raises(ArtefactError, match="newer cyclegan-edge"):
        read_manifest(tmp_path)


def test_info_describes_a_page(cyclegan, capsys, web_folder: Path) -> None:
    assert cyclegan("info", web_folder, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "page for browsers"
    assert facts["engines"] == ["wasm", "webgpu"]
    assert facts["bytes"] > 8_000_000
    assert list(facts["models"]) == ["invert-AtoB", "identity-BtoA", "gray-AtoB", "pinned-AtoB"]
    assert facts["models"]["pinned-AtoB"]["size"] == [32, 48]
    assert facts["models"]["invert-AtoB"]["files"]["fp16"]["path"] == "models/invert-AtoB-fp16.onnx"
    assert cyclegan("info", web_folder) == 0
    assert re.search(r"^models\.invert-AtoB\.direction +AtoB$", capsys.readouterr().out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "name", ["models/gray-AtoB-fp32.onnx", "libraries/onnxruntime-web/ort-wasm-simd-threaded.wasm.gz"]
)
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (Path.unlink, "No such file or directory; export the page again"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "was cut or changed after it was exported"),
    ],
)
def test_info_refuses_a_page_that_is_not_whole(
    cyclegan, capsys, copied: Path, name: str, damage, sentence: str
) -> None:
    damage(copied / name)
    assert cyclegan("info", copied) == 4
    shown = capsys.readouterr().err
    assert name in shown
    assert sentence in shown


def test_a_place_that_is_a_file_is_refused(web_model, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("mine")
    with pytest.raises(OutputError):
        write_web([web_model()], tmp_path / "page")


def test_the_libraries_are_those_of_their_packages() -> None:
    for each in libraries():
        each.check()


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: data[:-1] + b"!"])
def test_a_library_that_was_changed_is_refused(monkeypatch, tmp_path: Path, damage) -> None:
    library = libraries()[1]
    source = libraries_module.FOLDER / library.package / "mediabunny.min.mjs"
    monkeypatch.setattr(libraries_module, "FOLDER", tmp_path)
    (tmp_path / library.package).mkdir()
    (tmp_path / library.package / source.name).write_bytes(damage(source.read_bytes()))
    with pytest.raises(ArtefactError, match="install cyclegan-edge again"):
        library.check()
