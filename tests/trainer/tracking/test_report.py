import json
import re

import pytest

from cyclegan_edge.runtime.errors import OutputError
from cyclegan_edge.trainer.tracking.report import write_run_report


@pytest.fixture
def folder(tmp_path):
    """The metrics log and previews of a run called <b>."""
    run = tmp_path / "<b>"
    (run / "previews").mkdir(parents=True)
    for step in range(0, 200, 10):
        (run / "previews" / f"step-{step:07d}.png").touch()
    records = [{"kind": "train", "step": step, "epoch": 1, "G_A": 1 / (step + 1), "lr": 2e-4} for step in range(9)]
    records.append({"kind": "train", "step": 9, "epoch": 1, "G_A": float("nan"), "lr": 2e-4})
    for step, value in ((10, 0.3), (20, 0.7), (30, 0.5)):
        records.append(
            {"kind": "validation", "step": step, "epoch": step // 10, "ssim_AtoB": value, "swd_AtoB": 50 - value}
        )
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def written(folder, config, metric):
    write_run_report(folder, config, metric)
    return (folder / "report.html").read_text()


@pytest.mark.parametrize(("metric", "step", "value"), [("ssim", 20, "0.7"), ("swd_AtoB", 20, "49.3")])
def test_the_report_names_the_best_and_draws_what_was_measured(folder, make_config, metric, step, value):
    html = written(folder, make_config(), metric)
    assert f"is of step {step} (epoch 2), chosen by {metric}" in html
    assert f"<strong>{value}</strong>" in html
    assert "The last validation was at step 30" in html
    titles = re.findall(r"<figcaption>(\w[\w, ]*?) <small>(.*?)</small>", html)
    assert titles[:2] == [("ssim", "higher is better"), ("swd", "lower is better")]
    assert titles[2:] == [("adversarial, generators", ""), ("learning rate", "")]
    assert "nan" not in html.lower()


def test_a_validation_that_did_not_measure_the_metric_is_not_the_best(folder, make_config):
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"kind": "validation", "step": 40, "epoch": 4, "ssim_AtoB": 0.1}) + "\n")
        log.write(json.dumps({"kind": "validation", "step": 50, "epoch": 5, "swd_AtoB": float("nan")}) + "\n")
    assert "is of step 20 (epoch 2), chosen by swd_AtoB" in written(folder, make_config(), "swd_AtoB")
    assert "chosen by" not in written(folder, make_config(), "fid")


def test_the_newest_preview_comes_first_and_not_all_are_shown(folder, make_config):
    shown = re.findall(r'src="previews/step-(\d+)\.png"', written(folder, make_config(), "ssim"))
    assert len(shown) == 8
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == "0000190"


def test_names_are_escaped(folder, make_config):
    html = written(folder, make_config(), "ssim")
    assert "<h1>&lt;b&gt;</h1>" in html
    assert "<b>" not in html


def test_a_run_without_validation_says_what_it_takes(folder, make_config):
    (folder / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "epoch": 1, "G_A": 0.5}\n')
    html = written(folder, make_config(), None)
    assert "needs pictures in testA and testB" in html
    assert "best.pt" not in html


def test_a_report_that_cannot_be_written_is_an_error_of_the_output(folder, make_config):
    (folder / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*report\.html"):
        write_run_report(folder, make_config(), None)
