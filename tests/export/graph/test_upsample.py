"""Generators that resize instead of transposing a convolution, through the exporter and every engine."""

import numpy as np
import pytest

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.translator import load
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("generator", "precision"), [("resnet_1blocks", "fp32"), ("unet_128", "fp16")])
def test_a_resizing_generator_is_exported_and_verified(make_run, exported, generator, precision):
    side = 128 if generator == "unet_128" else 32
    networks = {"generator": generator, "ngf": 4, "ndf": 4, "upsample": "resize", "norm": "batch"}
    data = {"load_size": side, "crop_size": side}
    loaded = load_generator(make_run(f"{generator}-resize", networks=networks, data=data), "AtoB")
    path = exported(loaded, precision=precision)
    report = verify_artefact(Artefact.open(path), loaded)
    assert report.passed, report.comparisons


def test_any_size_goes_through_a_resizing_generator(make_run, exported):
    run = make_run("resize", networks={"generator": "resnet_1blocks", "ngf": 4, "ndf": 4, "upsample": "resize"})
    with load(exported(load_generator(run, "AtoB"))) as translator:
        assert translator(np.zeros((51, 70, 3), np.uint8)).shape == (51, 70, 3)
