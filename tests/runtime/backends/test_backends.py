"""What holds for every engine alike, and how one is chosen."""

import logging
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from onnxruntime import SessionOptions

from cyclegan_edge.runtime import backends, translator
from cyclegan_edge.runtime.backends import ENGINES, available_backends, open_backend, ort
from cyclegan_edge.runtime.backends.base import TensorSpec
from cyclegan_edge.runtime.errors import ArtefactError, BackendError, UsageError
from cyclegan_edge.runtime.metadata import parse_metadata
from cyclegan_edge.runtime.translator import load
from cyclegan_edge.runtime.web.metrics import Metrics
from cyclegan_edge.runtime.web.models import Models

NAMES = [engine.name for engine in ENGINES if ".onnx" in engine.suffixes]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


class TestEveryBackend:
    def test_says_what_it_is_and_runs_on(self, name, model):
        backend = open_backend(model("invert"), backend=name, device="cpu")
        assert (backend.name, backend.device) == (name, "cpu")
        assert backend.input == TensorSpec("image", (None, None, None, 3), "uint8")
        assert backend.output == TensorSpec("translated", (None, None, None, 3), "uint8")
        assert str(backend.input) == "image uint8 [?, ?, ?, 3]"

    def test_tells_float_planes_and_pinned_sides(self, name, model):
        backend = open_backend(model("foreign_pinned"), backend=name)
        assert backend.input == TensorSpec("image", (1, 3, 32, 48), "float32")
        assert open_backend(model("foreign_half"), backend=name).output.dtype == "float16"

    def test_hands_on_the_metadata_of_the_file(self, name, model, metadata):
        properties = open_backend(model("pinned"), backend=name).properties
        assert properties["author"] == "test"
        assert parse_metadata(properties, Path("pinned.onnx")) == metadata(size=(32, 48))

    def test_a_file_without_metadata_has_none(self, name, model):
        assert dict(open_backend(model("foreign"), backend=name).properties) == {"author": "test"}

    def test_takes_batches_and_sizes_as_they_come(self, name, model, noise):
        backend = open_backend(model("invert"), backend=name)
        for shape in ((1, 8, 8, 3), (3, 20, 12, 3), (2, 64, 64, 3), (1, 8, 8, 3)):
            batch = noise(*shape)
            result = backend.infer(batch)
            assert result.dtype == np.uint8
            assert np.array_equal(result, 255 - batch)

    def test_a_batch_equals_its_pictures_one_by_one(self, name, model, noise):
        backend = open_backend(model("half"), backend=name)
        batch = noise(5, 16, 24, 3)
        together = backend.infer(batch)
        alone = np.concatenate([backend.infer(batch[i : i + 1]) for i in range(5)])
        assert np.array_equal(together, alone)

    def test_an_artefact_that_is_half_inside_is_exact_within_one_step(self, name, model, noise):
        batch = noise(2, 16, 24, 3)
        result = open_backend(model("half"), backend=name, precision="fp32").infer(batch)
        assert np.abs(result.astype(int) - batch[..., ::-1]).max() <= 1

    def test_float_planes(self, name, model):
        batch = np.linspace(-1, 1, 2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)
        result = open_backend(model("float"), backend=name, precision="fp32").infer(batch)
        assert result.dtype == np.float32
        assert np.array_equal(result, -batch)

    def test_the_result_belongs_to_the_caller(self, name, model, noise):
        backend = open_backend(model("invert"), backend=name)
        first = noise(1, 8, 8, 3)
        result = backend.infer(first)
        backend.infer(np.zeros_like(first))
        assert np.array_equal(result, 255 - first)
        result[:] = 0
        assert np.array_equal(backend.infer(first), 255 - first)

    def test_arrays_that_are_views_or_read_only(self, name, model, noise):
        backend = open_backend(model("invert"), backend=name)
        batch = noise(2, 16, 24, 6)
        view = batch[:, ::-1, ::2, ::2]
        assert np.array_equal(backend.infer(view), 255 - view)
        batch.flags.writeable = False
        assert np.array_equal(backend.infer(batch[..., :3]), 255 - batch[..., :3])

    def test_a_shape_that_does_not_fit_is_told_in_a_sentence(self, name, model, noise):
        backend = open_backend(model("pinned"), backend=name)
        with pytest.raises(BackendError, match=r"^" + name + r" failed on a batch of shape \(1, 32, 40, 3\): [^\n]+$"):
            backend.infer(noise(1, 32, 40, 3))
        good = noise(1, 32, 48, 3)
        assert np.array_equal(backend.infer(good), 255 - good)

    def test_closing_twice_is_allowed_and_using_it_after_is_not(self, name, model, noise):
        backend = open_backend(model("invert"), backend=name)
        backend.close()
        backend.close()
        with pytest.raises(BackendError, match="closed"):
            backend.infer(noise(1, 8, 8, 3))

    @pytest.mark.parametrize("damage", ["empty", "garbage", "text", "a tenth", "a half", "a byte short"])
    def test_a_damaged_file(self, name, damage, model, tmp_path, capfd):
        whole = model("half").read_bytes()
        graph = onnx.load(model("half")).graph.ByteSize()  # a cut between fields behind it is no damage to a parser
        path = tmp_path / "damaged.onnx"
        path.write_bytes(
            {
                "empty": b"",
                "garbage": np.random.default_rng(0).bytes(3000),
                "text": b"version https://git-lfs.github.com/spec/v1\n",
                "a tenth": whole[: graph // 10],
                "a half": whole[: graph // 2],
                "a byte short": whole[:-1],
            }[damage]
        )
        with pytest.raises(ArtefactError, match=r"^[^\n]*damaged\.onnx[^\n]*$"):
            open_backend(path, backend=name)
        assert capfd.readouterr().err == ""

    def test_a_model_of_two_inputs(self, name, model):
        with pytest.raises(ArtefactError, match="must have one input, and has image uint8"):
            open_backend(model("two_inputs"), backend=name)

    def test_a_path_in_any_script(self, name, model, tmp_path):
        path = tmp_path / "мой 写真.ONNX"
        path.write_bytes(model("invert").read_bytes())
        assert open_backend(path, backend=name).name == name

    def test_its_library_is_missing(self, name, model, monkeypatch):
        monkeypatch.setitem(sys.modules, name, None)
        extra = {"openvino": "openvino", "onnxruntime": "ort"}[name]
        with pytest.raises(BackendError, match=rf'{name} is not installed.*pip install "cyclegan-edge\[{extra}\]"'):
            open_backend(model("invert"), backend=name)
        assert name not in available_backends()


class TestLive:
    @pytest.mark.parametrize(("live", "spinning"), [(True, {"0"}), (False, {None})])
    def test_onnxruntime_waits_without_spinning(self, live, spinning, model):
        options = open_backend(model("invert"), backend="onnxruntime", live=live)._session.get_session_options()
        assert {setting(options, f"session.{kind}_op.allow_spinning") for kind in ("intra", "inter")} == spinning

    @pytest.mark.parametrize("live", [True, False])
    def test_the_result_is_the_same(self, name, live, model, noise):
        batch = noise(1, 8, 8, 3)
        assert np.array_equal(open_backend(model("invert"), backend=name, live=live).infer(batch), 255 - batch)

    @pytest.mark.parametrize(("given", "live"), [("test:bars?frames=2&live=yes", True), ("test:bars?frames=2", False)])
    def test_a_stream_is_live_where_its_source_is(self, given, live, cyclegan, model, monkeypatch):
        opened = Mock(wraps=open_backend)
        monkeypatch.setattr(translator, "open_backend", opened)
        assert cyclegan("translate", "-m", model("invert"), "-i", given, "-o", "null", "--device", "cpu") == 0
        assert opened.call_args.kwargs["live"] is live

    def test_a_servers_models_are(self, model):
        models = Models([model("invert")], Metrics(), backend="onnxruntime", device="cpu")
        options = models.find(None).backend._session.get_session_options()
        models.close()
        assert setting(options, "session.intra_op.allow_spinning") == "0"


def setting(options: SessionOptions, name: str) -> str | None:
    try:
        return options.get_session_config_entry(name)
    except RuntimeError:  # it was not set
        return None


class TestPrecision:
    def test_openvino_tells_what_it_computes_in(self, model):
        assert open_backend(model("half"), backend="openvino", precision="fp32").precision == "fp32"
        assert open_backend(model("half"), backend="openvino").precision in ("fp32", "fp16", "bf16")

    def test_openvino_is_held_to_bf16_or_refuses(self, model, monkeypatch):
        import openvino

        if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            assert open_backend(model("half"), backend="openvino", precision="bf16").precision == "bf16"
        monkeypatch.setattr(openvino.Core, "get_property", lambda *names: ["FP32"])
        with pytest.raises(BackendError, match="this CPU does not compute in bf16"):
            open_backend(model("half"), backend="openvino", precision="bf16")

    def test_onnxruntime_computes_as_the_file_says(self, model):
        assert open_backend(model("half"), backend="onnxruntime").precision == "fp16"
        assert open_backend(model("foreign"), backend="onnxruntime").precision == "as stored"
        with pytest.raises(BackendError, match="use the backend openvino"):
            open_backend(model("half"), backend="onnxruntime", precision="bf16")


class TestChoice:
    def test_openvino_is_first_on_a_cpu(self, model):
        assert available_backends() == ("openvino", "onnxruntime")
        assert open_backend(model("invert")).name == "openvino"

    def test_the_choice_is_told_by_who_opens_a_translator(self, model, caplog):
        caplog.set_level(logging.INFO, "cyclegan_edge")
        open_backend(model("invert"))
        assert caplog.text == ""
        load(model("invert"))
        assert "invert.onnx runs in openvino on cpu, precision " in caplog.text

    @pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
    def test_auto_takes_an_nvidia_gpu_where_one_answers(self, model, monkeypatch, backend):
        opened = []
        monkeypatch.setattr(backends, "has_gpu", lambda: True)
        monkeypatch.setattr(ort.OnnxRuntimeBackend, "__init__", lambda *given, live: opened.append((given[2], live)))
        monkeypatch.setattr(ort.OnnxRuntimeBackend, "device", "cuda:0", raising=False)
        monkeypatch.setattr(ort.OnnxRuntimeBackend, "precision", "fp32", raising=False)
        assert open_backend(model("invert"), backend=backend, live=True).name == "onnxruntime"
        assert opened == [("cuda", True)]

    @pytest.mark.parametrize(("backend", "taken"), [("auto", "openvino"), ("onnxruntime", "onnxruntime")])
    def test_auto_says_why_a_gpu_that_answers_is_not_taken(self, model, monkeypatch, caplog, backend, taken):
        import onnxruntime

        monkeypatch.setattr(backends, "has_gpu", lambda: True)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
        opened = open_backend(model("invert"), backend=backend)
        assert (opened.name, opened.device) == (taken, "cpu")
        assert "there is an NVIDIA GPU, but onnxruntime cannot use cuda here" in caplog.text
        assert 'pip install "cyclegan-edge[cuda]"; running on the CPU' in caplog.text

    @pytest.mark.parametrize(
        "asked", [{"device": "cpu"}, {"backend": "openvino"}, {"precision": "bf16", "backend": "openvino"}]
    )
    def test_a_gpu_is_not_tried_where_something_else_was_asked_for(self, model, monkeypatch, caplog, asked):
        monkeypatch.setattr(backends, "has_gpu", lambda: True)
        assert open_backend(model("invert"), **asked).device == "cpu"
        assert caplog.text == ""

    def test_onnxruntime_is_taken_where_openvino_is_missing(self, model, monkeypatch):
        monkeypatch.setitem(sys.modules, "openvino", None)
        assert open_backend(model("invert")).name == "onnxruntime"

    def test_nothing_is_installed(self, model, monkeypatch):
        for name in NAMES:
            monkeypatch.setitem(sys.modules, name, None)
        assert available_backends() == ()
        with pytest.raises(BackendError, match=r'openvino or onnxruntime is not.*"cyclegan-edge\[openvino\]"'):
            open_backend(model("invert"))
        with pytest.raises(BackendError, match=r'onnxruntime is not installed.*"cyclegan-edge\[cuda\]"'):
            open_backend(model("invert"), device="cuda")

    def test_an_installed_library_that_cannot_be_imported(self, model, monkeypatch):
        monkeypatch.delitem(sys.modules, "cyclegan_edge.runtime.backends.ov", raising=False)
        monkeypatch.delitem(sys.modules, "openvino.frontend", raising=False)
        monkeypatch.setattr("builtins.__import__", _refusing("openvino"))
        with pytest.raises(BackendError, match="openvino is installed but broken"):
            open_backend(model("invert"), backend="openvino")

    @pytest.mark.parametrize(("name", "hint"), [("onnxrt", "onnxruntime"), ("open_vino", "openvino")])
    def test_an_unknown_backend_and_the_nearest_name(self, name, hint, model):
        with pytest.raises(UsageError, match=rf"no backend is called '{name}'; did you mean {hint}\?"):
            open_backend(model("invert"), backend=name)
        with pytest.raises(UsageError, match="use auto, openvino or onnxruntime"):
            open_backend(model("invert"), backend="zzz")

    @pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
    def test_an_unknown_device(self, device, model):
        with pytest.raises(UsageError, match="no device is called"):
            open_backend(model("invert"), device=device)

    def test_an_unknown_precision(self, model):
        with pytest.raises(UsageError, match="no precision is called 'int8'; use auto, fp32, bf16"):
            open_backend(model("invert"), precision="int8")

    def test_a_device_that_the_named_backend_lacks(self, model):
        with pytest.raises(BackendError, match="openvino does not run on cuda:1 but on cpu"):
            open_backend(model("invert"), backend="openvino", device="cuda:1")

    def test_a_missing_device_is_never_replaced(self, model, monkeypatch, capfd):
        import onnxruntime

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
        with pytest.raises(BackendError, match=r'cannot use cuda here.*pip install "cyclegan-edge\[cuda\]"'):
            open_backend(model("invert"), device="cuda")
        assert capfd.readouterr() == ("", "")

    def test_a_cuda_provider_that_silently_gave_way_to_the_cpu(self, model, monkeypatch):
        import onnxruntime

        session = onnxruntime.InferenceSession
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **options: session(args[0]))
        with pytest.raises(BackendError, match="cannot use cuda:0 here"):
            open_backend(model("invert"), device="cuda:0")

    @pytest.mark.gpu
    def test_cuda_gives_what_the_cpu_gives(self, model, noise):
        backend = open_backend(model("half"), device="cuda", precision="fp32")
        assert (backend.name, backend.device) == ("onnxruntime", "cuda:0")
        batch = noise(2, 32, 32, 3)
        assert np.array_equal(backend.infer(batch), open_backend(model("half"), backend="onnxruntime").infer(batch))

    def test_files_of_another_kind_or_missing(self, tmp_path):
        with pytest.raises(ArtefactError, match="there is no model file"):
            open_backend(tmp_path / "nothing.onnx")
        with pytest.raises(ArtefactError, match="there is no model file"):
            open_backend(tmp_path)
        checkpoint = tmp_path / "latest.pt"
        checkpoint.write_bytes(b"")
        with pytest.raises(ArtefactError, match=r"no exported model \(\.engine, \.onnx\).*cyclegan export"):
            open_backend(checkpoint)


def _refusing(library: str):
    real = __import__

    def refuse(name, *args, **options):
        if name.partition(".")[0] == library:
            raise ImportError(f"lib{library}.so: cannot open shared object file")
        return real(name, *args, **options)

    return refuse
