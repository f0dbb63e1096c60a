"""Strangers' weights are read, or refused by what they are; nothing in them is ever run."""

import io
import os
import pickle
import tarfile
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cyclegan_edge.runtime.errors import CheckpointError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.checkpoints.warm_start import read_start
from cyclegan_edge.trainer.checkpoints.weights_file import read_tensors
from cyclegan_edge.trainer.networks.layers import BlurPool, BlurUpsample

from .test_official import batch_norm, convolution, official_discriminator, official_resnet, tensors


def saved(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    return buffer.getvalue()


class Boom:
    def __reduce__(self):
        return os._exit, (99,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty; download or copy it again"),
        (b"\n <!DOCTYPE html><html>404</html>", "it is a web page"),
        (b"<HTML>", "it is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
            "it is a Git LFS pointer.*git lfs pull",
        ),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file, as Keras writes it"),
        (tarred(), "it is a compressed archive; unpack it"),
        (zipped(a="1"), "it is a ZIP archive of other files"),
        (b"\x89PNG\r\n", "it is a picture"),
        (b"Not found: the model was moved", "it is a text"),
        (
            saved(nn.Conv2d(3, 3, 1)),
            r"a whole pickled object \(torch\.nn\.modules\.conv\.Conv2d\).*save its weights alone",
        ),
        (
            saved({"epoch": 3, "model": nn.Conv2d(3, 3, 1)}),
            r"a whole pickled object \(torch\.nn\.modules\.conv\.Conv2d\)",
        ),
        (pickle.dumps(Boom(), protocol=2), "a whole pickled object"),
        (bytes(range(256)), "it is cut short, or no file of torch"),
    ],
    ids=[
        "empty",
        "page",
        "PAGE",
        "lfs",
        "keras",
        "tar",
        "zip",
        "picture",
        "text",
        "module",
        "in dict",
        "code",
        "noise",
    ],
)
def test_each_kind_of_file_that_is_no_weights_has_its_own_sentence(tmp_path, content, message):
    path = tmp_path / "latest_net_G_A.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"latest_net_G_A\.pth cannot be read as a checkpoint: .*{message}"):
        load_generator(path, "AtoB")


def test_a_program_of_torchscript_is_no_weights(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(zipped(**{"model/data.pkl": "", "model/constants.pkl": ""}))
    with pytest.raises(CheckpointError, match="it is a TorchScript program, not weights"):
        read_tensors(path)


def test_an_onnx_model_is_no_weights(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph, producer_name="torch", ir_version=8), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="it is an ONNX model, which is exported already"):
        read_tensors(tmp_path / "model.pth")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.001, 0.999), legacy=st.booleans())
def test_weights_cut_anywhere_say_so(tmp_path, share, legacy):
    buffer = io.BytesIO()
    torch.save(official_resnet(), buffer, _use_new_zipfile_serialization=not legacy)
    whole = buffer.getvalue()
    (tmp_path / "cut.pth").write_bytes(whole[: max(8, int(len(whole) * share))])
    with pytest.raises(CheckpointError, match="cut short"):
        read_tensors(tmp_path / "cut.pth")


@pytest.mark.parametrize("name", ["latest_net_G_A.pth", "horse2zebra.pth", "weights.bin", "my generator"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state},
        lambda state: {"epoch": 3, "optimizer": {"state": {}}, "model": state},
        lambda state: {"epoch": 3, "params_ema": state, "params": {"other": torch.zeros(1)}},
        lambda state: {"model": {"state_dict": {f"module.{key}": value for key, value in state.items()}}},
    ],
    ids=["plain", "state_dict", "model", "ema", "nested"],
)
def test_weights_of_any_name_and_wrapping_are_a_generator(tmp_path, name, wrap):
    state = official_resnet()
    torch.save(wrap(state), tmp_path / name)
    loaded = load_generator(tmp_path / name, "AtoB")
    assert loaded.config.networks.generator == "resnet_2blocks"
    assert torch.equal(loaded.network.state_dict()["model.1.weight"], state["model.1.weight"])
    assert read_start(tmp_path / name).states.keys() == {"G_A"}


def test_a_folder_of_safetensors_is_read(tmp_path):
    save_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file
    state = official_resnet()
    save_file(state, tmp_path / "latest_net_G_B.safetensors")
    save_file(state, tmp_path / "weights")  # of any name
    for source in (tmp_path, tmp_path / "weights"):
        assert torch.equal(
            load_generator(source, "BtoA").network.state_dict()["model.1.weight"], state["model.1.weight"]
        )
    whole = (tmp_path / "weights").read_bytes()
    (tmp_path / "weights").write_bytes(whole[:1000])
    with pytest.raises(CheckpointError, match="it is a safetensors file that is cut short or damaged"):
        read_tensors(tmp_path / "weights")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["block_a.0.1.weight", "out_layer.0.weight"], "an AnimeGAN generator"),
        (["conv1.conv2d.weight", "in1.weight"], "a network of fast neural style"),
        (["conv_first.weight"], "an ESRGAN network"),
        (["layer1.0.conv1.weight"], "a classifier"),
        (["something.weight", "else"], r"2 entries \(something\.weight, else, …\)"),
    ],
)
def test_networks_of_other_projects_are_refused_by_what_they_are(tmp_path, keys, name):
    torch.save({key: torch.zeros(2, 2, 3, 3) for key in keys}, tmp_path / "other.pth")
    for read in (lambda path: load_generator(path, "AtoB"), read_start):
        with pytest.raises(CheckpointError, match=f"holds no ResNet or U-Net generator .* or CUT, but {name}"):
            read(tmp_path / "other.pth")


def test_a_discriminator_is_no_generator(tmp_path):
    torch.save(official_discriminator(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"holds no ResNet .*, but a discriminator"):
        load_generator(tmp_path / "other.pth", "AtoB")


def cut_resnet(blocks=2, ngf=4, norm="instance"):
    """The keys and shapes of ResnetGenerator in CUT's models/networks.py, with its blur pools."""
    layers = [("model.1", (ngf, 3, 7, 7), ngf)]
    layers += [("model.4", (2 * ngf, ngf, 3, 3), 2 * ngf), ("model.8", (4 * ngf, 2 * ngf, 3, 3), 4 * ngf)]
    for block in range(12, 12 + blocks):
        layers += [(f"model.{block}.conv_block.{place}", (4 * ngf, 4 * ngf, 3, 3), 4 * ngf) for place in (1, 5)]
    layers += [(f"model.{13 + blocks}", (2 * ngf, 4 * ngf, 3, 3), 2 * ngf)]
    layers += [(f"model.{17 + blocks}", (ngf, 2 * ngf, 3, 3), ngf)]
    shapes = {}
    for name, shape, width in layers:
        shapes |= convolution(name, *shape, bias=width if norm == "instance" else 0)
        if norm == "batch":
            stem, _, place = name.rpartition(".")
            shapes |= batch_norm(f"{stem}.{int(place) + 1}", width)
    shapes |= convolution(f"model.{21 + blocks}", 3, ngf, 7, 7, bias=3)
    shapes |= {f"model.{place}.filt": (width, 1, 3, 3) for place, width in ((7, 2 * ngf), (11, 4 * ngf))}
    shapes |= {
        f"model.{place}.filt": (width, 1, 4, 4) for place, width in ((12 + blocks, 4 * ngf), (16 + blocks, 2 * ngf))
    }
    return tensors(shapes)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_generator_of_cut_with_its_blur_pools_is_read(tmp_path, norm):
    torch.save(cut_resnet(norm=norm), tmp_path / "latest_net_G.pth")
    loaded = load_generator(tmp_path / "latest_net_G.pth", "AtoB")
    networks = loaded.config.networks
    assert (networks.antialias, networks.generator, networks.ngf, networks.norm) == (True, "resnet_2blocks", 4, norm)
    assert loaded.network(torch.zeros(1, 3, 32, 48)).shape == (1, 3, 32, 48)
    assert read_start(tmp_path / "latest_net_G.pth").layer["networks"]["antialias"] is True


def test_blur_pools_blur_by_the_binomial_coefficients():
    x = torch.randn(2, 3, 8, 12)
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    blurred = sum(row[i] * row[j] * padded[:, :, i : i + 8, j : j + 12] for i in range(3) for j in range(3))
    assert torch.allclose(BlurPool(3)(x), blurred[:, :, ::2, ::2], atol=1e-6)


def test_a_blurred_enlargement_keeps_constants_and_interpolates_between_pixels():
    assert torch.allclose(BlurUpsample(2)(torch.full((1, 2, 4, 6), 0.7)), torch.full((1, 2, 8, 12), 0.7))
    ramp = torch.arange(6.0).repeat(1, 1, 4, 1)
    enlarged = BlurUpsample(1)(ramp)[0, 0, 3]
    assert torch.allclose(enlarged[1:-1], torch.arange(10) / 2 + 0.25)  # linear, with pixels centred
