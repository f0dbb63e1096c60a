"""Every architecture runs in every precision on a GPU to its last node: ONNX Runtime then allows CUDA graphs."""

import shutil

import numpy as np
import pytest
import torch

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.quantization.int8 import quantise_roughly
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator, save_checkpoint
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

NETWORKS = {
    "resnet": (32, {"generator": "resnet_1blocks"}),
    "mobile": (32, {"generator": "mobile_resnet_1blocks"}),
    "edge": (32, {"generator": "edge_resnet_1blocks"}),
    "unet": (128, {"generator": "unet_128"}),
    "resize": (32, {"generator": "resnet_1blocks", "upsample": "resize"}),
    "batch": (32, {"generator": "resnet_1blocks", "norm": "batch"}),
}
KINDS = ("fp32", "fp16", "int8", "free")  # "free" is FP32 whose size is not pinned


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory):
    """An artefact of every network and kind."""
    folder = tmp_path_factory.mktemp("artefacts")
    noise = np.random.default_rng(0)
    found = {}
    for name, (side, networks) in NETWORKS.items():
        config = resolve_config(
            {"data": {"load_size": side, "crop_size": side}, "networks": networks | {"ngf": 4, "ndf": 4}}
        )
        state = CycleGAN(config, torch.device("cpu")).state_dict()
        save_checkpoint(folder / name / "checkpoints" / "latest.pt", config, {"step": 1, "epoch": 1}, state)
        generator = load_generator(folder / name, "AtoB")
        for kind in KINDS:
            found[name, kind] = path = folder / f"{name}-{kind}.onnx"
            if kind == "int8":
                shutil.copy(found[name, "fp32"], path)
                pictures = noise.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
                quantise_roughly(path, Artefact.open(path).metadata, pictures)
            else:
                size = None if kind == "free" else (side, side)
                export_onnx(generator, path, precision="fp16" if kind == "fp16" else "fp32", io="uint8", size=size)
    return found


@pytest.fixture(scope="module")
def placed(pretended, artefacts):
    ended = pretended("placement", stdin=[str(path) for path in artefacts.values()], cudnn=True)
    assert ended.code == 0, ended.err
    return dict(zip(artefacts, ended.reports, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_auto_places_every_node_on_the_gpu(placed, name, kind):
    placement = placed[name, kind]
    assert (placement["engine"], placement["device"]) == ("onnxruntime", "cuda:0")
    assert placement["placed"].keys() == {"CUDAExecutionProvider"}
    assert placement["captures"]
    assert ["convolutions in float on CUDA" in warning for warning in placement["warned"]] == [True] * (kind == "int8")


def test_without_a_gpu_auto_stays_on_the_cpu(pretended, artefacts):
    ended = pretended("placement", stdin=[str(artefacts["resnet", "fp32"])], cudnn=True, PRETENDED_GPUS="0")
    assert ended.code == 0, ended.err
    assert [(placement["engine"], placement["device"], placement["warned"]) for placement in ended.reports] == [
        ("openvino", "cpu", [])
    ]


def test_a_gpu_that_is_not_there_is_no_fault_of_the_file(pretended, artefacts):
    ended = pretended("placement", "cuda:7", stdin=[str(artefacts["resnet", "fp32"])], cudnn=True)
    assert ended.code == 0, ended.err
    (placement,) = ended.reports
    assert placement["error"].startswith("BackendError: onnxruntime cannot ")
    assert "cuda:7" in placement["error"]
    assert len(placement["error"]) < 400


def test_auto_goes_on_with_the_cpu_where_the_driver_is_too_old_for_the_library(pretended, artefacts):
    ended = pretended("placement", stdin=[str(artefacts["resnet", "fp32"])], cudnn=True, PRETENDED_OLD_DRIVER="1")
    assert ended.code == 0, ended.err
    (placement,) = ended.reports
    assert (placement["engine"], placement["device"]) == ("openvino", "cpu")
    (warning,) = placement["warned"]
    assert warning.startswith("there is an NVIDIA GPU, but onnxruntime cannot ")
    assert warning.endswith("running on the CPU")
