import io
import os
import pickle
import zipfile
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import CheckpointError, OutputError
from cyclegan_edge.trainer.checkpoints.checkpoint import (
    FORMAT,
    find_checkpoint,
    load_checkpoint,
    load_generator,
    save_checkpoint,
)
from cyclegan_edge.trainer.checkpoints.warm_start import read_start
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

CPU = torch.device("cpu")


@pytest.fixture
def saved(make_config, tmp_path):
    """A checkpoint whose averaged generators differ from the raw ones, and the model it was made from."""
    config = make_config()
    model = CycleGAN(config, CPU)
    with torch.no_grad():
        for averaged in (model.ema_A, model.ema_B):
            next(averaged.parameters()).add_(1.0)
    path = tmp_path / "checkpoints" / "latest.pt"
    save_checkpoint(path, config, {"step": 7, "epoch": 2}, model.state_dict())
    return path, model


@pytest.mark.parametrize(
    ("direction", "weights", "network"),
    [("AtoB", "ema", "ema_A"), ("AtoB", "raw", "G_A"), ("BtoA", "ema", "ema_B"), ("BtoA", "raw", "G_B")],
)
def test_a_generator_is_loaded_by_direction_and_weights(saved, direction, weights, network):
    path, model = saved
    loaded = load_generator(path, direction, weights)
    expected = model.networks[network].state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.network.state_dict().items())
    assert not loaded.network.training
    assert (loaded.step, loaded.weights, loaded.direction) == (7, weights, direction)
    assert len(loaded.sha256) == 64


def test_a_run_without_averaging_gives_its_raw_weights(make_config, tmp_path):
    config = make_config(optim={"ema_halflife": 0})
    save_checkpoint(tmp_path / "a.pt", config, {"step": 1, "epoch": 1}, CycleGAN(config, CPU).state_dict())
    assert load_generator(tmp_path / "a.pt", "AtoB").weights == "raw"


def test_a_run_folder_means_its_latest_checkpoint(saved):
    path, _ = saved
    assert find_checkpoint(path.parent.parent) == path
    assert load_generator(path.parent.parent, "AtoB").name == path.parent.parent.name


def test_a_checkpoint_is_data_and_nothing_else(saved):
    content = torch.load(saved[0], weights_only=True)
    assert content["format"] == FORMAT
    assert {"networks", "optimizer_G", "optimizer_D", "scaler", "num_seen"} <= content["state"].keys()


class Boom:
    def __reduce__(self):
        return os._exit, (99,)


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"format": FORMAT, "state": Boom()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"evil\.pt cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_checkpoint_cut_anywhere_is_refused(saved, share):
    whole = saved[0].read_bytes()
    cut = saved[0].with_name("cut.pt")
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=r"cut\.pt cannot be read"):
        load_checkpoint(cut)


def torch_bytes(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch_bytes({"weight": torch.zeros(1)}), "is no checkpoint of cyclegan-edge"),
        (torch_bytes([1, 2]), "holds a list, no checkpoint"),
        (torch_bytes({"format": FORMAT, "schema_version": 99}), r"newer cyclegan-edge \(checkpoint schema 99"),
        (b"not torch at all", "cannot be read as a checkpoint"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path, content, message):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pt")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_failed_write_keeps_the_previous_checkpoint(saved, make_config, monkeypatch):
    path, model = saved
    before = path.read_bytes()

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(path, make_config(), {"step": 8, "epoch": 2}, model.state_dict())
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["latest.pt"]


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused_before(tmp_path):
    whole = torch_bytes({"weight": torch.zeros(2**20)})
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as bomb:
        for entry in archive.infolist():
            bomb.writestr(entry.filename, archive.read(entry), compress_type=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pth").stat().st_size < 2**14
    with pytest.raises(CheckpointError, match="compressed archive"):
        load_checkpoint(tmp_path / "bomb.pth")


KEYS = st.one_of(
    st.integers(0, 3),
    st.sampled_from(
        [
            "format",
            "schema_version",
            "config",
            "progress",
            "step",
            "state",
            "networks",
            "state_dict",
            "model",
            "G_A",
            "model.1.weight",
            "model.model.0.weight",
            "model.model.3.weight",
            "model.0.weight",
            "net.0.weight",
            "a.filt",
        ]
    ),
)

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just(torch.zeros(())) | st.just(torch.zeros(2, 3, 7, 7)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
OURS = st.fixed_dictionaries(
    {"format": st.just(FORMAT)},
    optional={"schema_version": VALUES, "config": VALUES, "progress": VALUES, "state": VALUES},
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(KEYS, VALUES, max_size=5) | OURS, name=st.sampled_from(["a.pt", "latest_net_D_A.pth"]))
def test_no_content_whatever_ends_in_more_than_a_sentence(tmp_path, content, name):
    torch.save(content, tmp_path / name)
    with pytest.raises(CheckpointError):
        load_generator(tmp_path / name, "AtoB")
    with suppress(CheckpointError):  # what looks like a discriminator is looked into as it is loaded
        read_start(tmp_path / name)


def test_a_dict_that_holds_itself_is_refused(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "loop.pt")
    with pytest.raises(CheckpointError):
        load_generator(tmp_path / "loop.pt", "AtoB")


def test_a_checkpoint_of_ours_is_read_once(saved, monkeypatch):
    reads = []
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: reads.append(path) or real(path, **options))
    load_generator(saved[0], "AtoB")
    assert reads == [saved[0]]
