import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from cyclegan_edge.runtime.errors import DatasetError
from cyclegan_edge.trainer.data import contact_sheet, dataset
from cyclegan_edge.trainer.data import inspection as inspecting
from cyclegan_edge.trainer.data.contact_sheet import save_contact_sheet
from cyclegan_edge.trainer.data.inspection import inspect_dataset
from cyclegan_edge.trainer.data.pictures import TRAINING_SUFFIXES, decode_picture


def inspect(root):
    return inspect_dataset(root)[0]


def texts(inspection, level):
    return [finding.text for finding in inspection.findings if finding.level == level]


def test_a_sound_dataset_has_no_problem(dataroot):
    found = inspect(dataroot)
    assert {name: facts.count for name, facts in found.folders.items()} == {
        "trainA": 6, "trainB": 5, "testA": 3, "testB": 3,
    }  # fmt: skip
    assert found.folders["trainA"].kinds == {"RGB 8 bit": 6}
    assert found.folders["trainA"].widths == (40, 40, 40)
    assert (found.num_problems, found.within, found.across, found.leaks) == (0, [], [], [])
    assert found.paired
    assert "testA and testB share their names" in texts(found, "note")[0]


@pytest.mark.parametrize(
    ("source", "target", "kind"),
    [
        ("trainA/01.png", "trainA/copy.png", "within"),
        ("trainA/01.png", "testA/copy.png", "leaks"),
        ("trainA/01.png", "trainB/copy.png", "across"),
        ("testA/01.png", "trainB/copy.png", "across"),
    ],
)
def test_a_copy_is_found_though_it_was_resized_and_compressed(dataroot, source, target, kind):
    with Image.open(dataroot / source) as image:
        image.resize((52, 52), Image.Resampling.BICUBIC).save(
            (dataroot / target).with_suffix(".jpg"), quality=90, subsampling=0
        )
    found = inspect(dataroot)
    assert {name: len(getattr(found, name)) for name in ("within", "across", "leaks")} == {
        name: int(name == kind) for name in ("within", "across", "leaks")
    }
    assert found.num_problems == (kind == "leaks")


def test_a_mirrored_or_recoloured_picture_is_another(dataroot):
    with Image.open(dataroot / "trainA/00.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(dataroot / "trainA/mirrored.png")
        Image.merge("RGB", image.split()[::-1]).save(dataroot / "trainA/recoloured.png")
    assert inspect(dataroot).within == []


def test_the_difference_of_two_files_is_told_in_levels(dataroot):
    with Image.open(dataroot / "trainA/00.png") as image:
        pixels = np.asarray(image).clip(0, 252)
    Image.fromarray(pixels).save(dataroot / "trainA/00.png")
    Image.fromarray(pixels + np.uint8(3)).save(dataroot / "trainA/brighter.png")
    (pair,) = inspect(dataroot).within
    assert (pair.first, pair.levels) == (str(dataroot / "trainA/00.png"), pytest.approx(3, abs=0.2))


def test_damage_is_a_problem_and_named(dataroot):
    whole = (dataroot / "trainB/02.png").read_bytes()
    (dataroot / "trainB/02.png").write_bytes(whole[: len(whole) // 2])
    found = inspect(dataroot)
    assert list(found.folders["trainB"].corrupt) == [str(dataroot / "trainB/02.png")]
    assert texts(found, "problem") == [f"1 of trainB cannot be decoded, such as {dataroot / 'trainB/02.png'}"]


def test_an_array_that_is_no_picture_is_damage(dataroot):
    np.save(dataroot / "trainA/a.npy", np.zeros(5, np.uint8))
    np.save(dataroot / "trainA/b.npy", np.zeros((5, 5, 3), np.float64))
    assert list(inspect(dataroot).folders["trainA"].corrupt.values()) == [
        "its shape is (5,), not [H, W, C]",
        "its values are float64, neither uint8 nor uint16",
    ]


def test_what_deserves_a_look_is_said(dataroot):
    Image.new("RGB", (40, 40), (9, 90, 200)).save(dataroot / "trainA/flat.png")
    Image.new("L", (90, 40), 5).save(dataroot / "trainA/gray.png")
    np.save(dataroot / "trainA/many.npy", np.random.default_rng(0).integers(0, 256, (8, 8, 5), np.uint8))
    for number in range(20):
        shutil.copy(dataroot / "trainA/00.png", dataroot / f"trainA/again{number}.png")
    shutil.rmtree(dataroot / "testB")
    found = inspect(dataroot)
    warnings = " / ".join(texts(found, "warning"))
    assert "2 of trainA are flat" in warnings
    assert "trainB has 5 pictures; below 50, set optim.diffaugment=true" in warnings
    assert "trainA has 29 pictures and trainB 5" in warnings
    assert "the same within a folder: 20 pairs, such as " in warnings
    assert "nothing can be measured while training" in warnings
    assert any("L 8 bit" in note and "5 channels uint8" in note for note in texts(found, "note"))
    assert found.num_problems == 0


def test_a_dataset_far_from_square_is_told_what_to_do(dataroot):
    for path in (dataroot / "trainA").iterdir():
        with Image.open(path) as image:
            wide = image.resize((90, 40))
        wide.save(path)
    assert any("scale_width_and_crop does not stretch" in note for note in texts(inspect(dataroot), "note"))


def test_the_embedded_emoji_are_sound(emoji):
    found = inspect(emoji)
    assert found.num_problems == 0
    assert len(found.within) + len(found.across) + len(found.leaks) <= 3
    assert found.paired


def test_without_training_pictures_there_is_nothing_to_check(dataroot):
    shutil.rmtree(dataroot / "trainB")
    with pytest.raises(DatasetError, match=r"(?s)trainB holds no picture that can be decoded; expected:.*trainA/"):
        inspect(dataroot)


def test_a_contact_sheet_shows_every_folder(dataroot, tmp_path):
    _, pictures = inspect_dataset(dataroot)
    folders = ("trainA", "trainB", "testA", "testB")
    save_contact_sheet({name: pictures.spread(name, 64) for name in folders}, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (4 * (24 + 68) + 4, 16 * 68 + 4, 3)
    first = decode_picture(dataroot / "trainA/00.png", 64)
    places = np.lib.stride_tricks.sliding_window_view(pixels[:100], (64, 64), axis=(0, 1))[:, 4]
    assert (places == first.transpose(2, 0, 1)).all(axis=(1, 2, 3)).any()


def test_the_command_speaks_draws_and_fails_for_problems(cyclegan, dataroot, tmp_path, capsys):
    assert cyclegan("dataset", "check", dataroot, "--sheet", tmp_path / "out" / "sheet.png") == 0
    shown = capsys.readouterr().out
    assert "trainA       6 pictures · from 40x40 over 40x40 to 40x40 · 6 RGB 8 bit" in shown
    assert (tmp_path / "out" / "sheet.png").is_file()
    shutil.copy(dataroot / "trainA/00.png", dataroot / "testA/00.png")
    assert cyclegan("dataset", "check", dataroot, "--json") == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["leaks"] == [
        {"first": str(dataroot / "trainA/00.png"), "second": str(dataroot / "testA/00.png"), "levels": 0.0}
    ]
    assert "has problems" in captured.err
    assert cyclegan("dataset", "check", tmp_path / "absent") == 3
    assert cyclegan("dataset", "check", dataroot, "--sheet", tmp_path / "sheet.jpg") == 5
    (tmp_path / "file").write_text("")
    assert cyclegan("dataset", "check", dataroot, "--sheet", tmp_path / "file" / "sheet.png") == 5


@pytest.fixture
def without_heif(monkeypatch):
    """The training side as it is where the extra heif is not installed."""
    for module in (dataset, inspecting):
        monkeypatch.setattr(module, "TRAINING_SUFFIXES", TRAINING_SUFFIXES - {".heic", ".heif"})


@pytest.mark.usefixtures("without_heif")
def test_what_is_left_out_is_named_and_what_macos_adds_is_not(dataroot, tmp_path):
    for name in ("._00.png", "IMG_1.heic", "notes.txt"):
        (dataroot / "trainA" / name).write_bytes(b"\0\5\x16\7")
    (dataroot / "trainB" / "labels.txt").touch()
    (tmp_path / "more").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "more" / "new.jfif", format="JPEG")
    (dataroot / "trainB" / "more").symlink_to(tmp_path / "more")
    found = inspect(dataroot)
    assert found.num_problems == 0
    assert found.folders["trainA"].pictures_left_out == 1
    assert "2 files of other kinds (.heic 1, .txt 1: IMG_1.heic, notes.txt)" in texts(found, "warning")[0]
    assert "cyclegan-edge[heif]" in texts(found, "warning")[0]
    assert any("1 file of other kinds (.txt 1: labels.txt)" in note for note in texts(found, "note"))
    assert found.folders["trainB"].count == 6


@pytest.mark.usefixtures("without_heif")
def test_a_folder_without_pictures_says_what_it_holds(dataroot):
    for path in (dataroot / "trainA").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DatasetError, match=r"no picture that can be decoded; left out of .*\.heic 6"):
        inspect(dataroot)


def deep_pictures(folder, bits, count=4):
    """Fill a folder with different 16-bit pictures whose values have so many bits."""
    for path in folder.iterdir():
        path.unlink()
    random = np.random.default_rng(bits)
    for number in range(count):
        values = np.kron(random.integers(0, 1 << bits, (5, 5, 3)), np.ones((8, 8, 1))).astype(np.uint16)
        cv2.imwrite(str(folder / f"{number}.png"), values)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_values_of_fewer_bits_than_their_file_are_found_with_the_setting_that_maps_them(dataroot, bits):
    deep_pictures(dataroot / "trainB", bits)
    found = inspect(dataroot)
    (warning,) = [text for text in texts(found, "warning") if "16-bit" in text]
    assert f"hold {bits} bits" in warning
    assert f"set data.white_B={(1 << bits) - 1}" in warning
    assert found.folders["trainB"].flat == []  # dark, not flat
    assert found.within == []  # and not all the same


def test_values_of_16_bits_are_no_finding(dataroot):
    deep_pictures(dataroot / "trainB", 16)
    assert not [text for text in texts(inspect(dataroot), "warning") if "16-bit" in text]


def test_dark_pictures_are_not_taken_for_each_other_and_their_copies_are(dataroot):
    for path in (dataroot / "trainA").iterdir():
        with Image.open(path) as image:
            dark = image.point(lambda value: value // 16)
        dark.save(path)
    assert inspect(dataroot).within == []
    shutil.copy(dataroot / "trainA/00.png", dataroot / "trainA/copy.png")
    assert len(inspect(dataroot).within) == 1


def test_files_of_several_frames_are_noted(dataroot):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(dataroot / "trainA" / "film.gif", save_all=True, append_images=frames[1:])
    assert any("trainA has files of several frames" in note for note in texts(inspect(dataroot), "note"))


def test_every_copy_is_paired_once_with_each_folder_that_has_it_before(dataroot):
    for copy in ("trainA/x.png", "trainB/y.png", "testA/z.png", "testB/z.png"):
        shutil.copy(dataroot / "trainA/02.png", dataroot / copy)
    found = inspect(dataroot)
    named = {
        kind: {(pair.first[-13:], pair.second[-13:]) for pair in getattr(found, kind)}
        for kind in ("within", "across", "leaks")
    }
    assert named == {
        "within": {("trainA/02.png", "/trainA/x.png")},
        "across": {
            ("trainA/02.png", "/trainB/y.png"), ("trainA/02.png", "a/testB/z.png"), ("a/testA/z.png", "a/testB/z.png"),
            ("/trainB/y.png", "a/testA/z.png"),
        },
        "leaks": {("trainA/02.png", "a/testA/z.png"), ("/trainB/y.png", "a/testB/z.png")},
    }  # fmt: skip


def test_the_sheet_reads_few_pictures(dataroot, tmp_path, monkeypatch, cyclegan):
    for number in range(6, 200):
        shutil.copy(dataroot / f"trainA/0{number % 6}.png", dataroot / f"trainA/{number:03}.png")
    read = []
    monkeypatch.setattr(
        contact_sheet, "decode_picture", lambda path, size: read.append(path) or decode_picture(path, size)
    )
    cyclegan("dataset", "check", dataroot, "--sheet", tmp_path / "sheet.png")
    assert len(read) == 64 + 5 + 3 + 3


CHILD = """
import resource, sys
from pathlib import Path
from cyclegan_edge.trainer.data.inspection import inspect_dataset
found, pictures = inspect_dataset(Path(sys.argv[1]))
print(found.folders["trainA"].count, len(found.within), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no getrusage")
def test_memory_is_flat(dataroot):
    peaks = []
    for number in (200, 4000):
        for place in range(6, number):
            link = dataroot / f"trainA/{place:04}.png"
            if not link.exists():
                os.link(dataroot / f"trainA/0{place % 6}.png", link)
        done = subprocess.run([sys.executable, "-c", CHILD, dataroot], capture_output=True, text=True, check=True)
        count, pairs, peak = map(int, done.stdout.split())
        assert (count, pairs) == (number, number - 6)
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 20  # MiB; their thumbnails alone would be 46
