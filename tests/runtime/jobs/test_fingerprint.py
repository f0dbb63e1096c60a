"""What a job's results depend on: the artefact with what lies beside it, and the options that change pixels."""

import onnx

from cyclegan_edge.runtime.jobs.fingerprint import Fingerprint


def test_the_order_of_options_does_not_matter_and_their_values_do(tmp_path):
    artefact = tmp_path / "model.onnx"
    artefact.write_bytes(b"one")
    one = Fingerprint.of(artefact, {"fit": "stretch", "size": (32, 48)})
    assert one == Fingerprint.of(artefact, {"size": (32, 48), "fit": "stretch"})
    assert one != Fingerprint.of(artefact, {"fit": "stretch", "size": (48, 32)})
    artefact.write_bytes(b"two")
    assert one.model != Fingerprint.of(artefact, {}).model


def test_weights_beside_the_model_count(model, tmp_path):
    graph = onnx.load(model("half"))
    onnx.save(graph, tmp_path / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=0)
    before = Fingerprint.of(tmp_path / "a.onnx", {})
    weights = bytearray((tmp_path / "a.bin").read_bytes())
    weights[0] ^= 1
    (tmp_path / "a.bin").write_bytes(weights)
    assert Fingerprint.of(tmp_path / "a.onnx", {}).model != before.model


def test_the_description_beside_an_engine_counts(tmp_path):
    (tmp_path / "a.engine").write_bytes(b"plan")
    (tmp_path / "a.engine.json").write_text("{}")
    before = Fingerprint.of(tmp_path / "a.engine", {})
    (tmp_path / "a.engine.json").write_text("{ }")
    assert Fingerprint.of(tmp_path / "a.engine", {}).model != before.model
