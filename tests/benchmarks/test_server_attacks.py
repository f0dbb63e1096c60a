"""The benchmark of attacks on the server: which aims a row misses, its table, and one attack on a true server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROW = {
    "attack": "pings",
    "engine": "openvino on CPU",
    "before": "274 MB",
    "rss_mib": 210.4,
    "growth_mib": 12.6,
    "longest_wait": 0.125,
    "median_wait": 0.01,
    "pictures": 300,
    "refused": 2,
    "descriptors": [20, 24, 21],
    "stop_seconds": 0.42,
    "exit_code": 0,
    "traceback": False,
    "outcome": "9 connections took 1.5 MiB each",
}


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import server_attacks

    yield server_attacks
    for name in ("server_attacks", "server_attackers"):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"longest_wait": 0.999, "growth_mib": 190.7}, []),
        ({"longest_wait": 1.0}, ["wait"]),
        ({"growth_mib": 190.8}, ["memory"]),  # 200 MB of 10^6 bytes
        ({"exit_code": None, "traceback": True}, ["exit code", "log without a traceback"]),
    ],
)
def test_a_row_names_the_aims_that_it_misses(benchmark, changed, missed):
    assert benchmark.missed(ROW | changed) == missed


def test_the_table_has_a_line_for_each_attack(benchmark):
    killed = {"attack": "nobody", "before": "", "exit_code": None, "missed": ["wait", "exit code"]}
    report = {"machine": {"system": "Linux"}, "artefact": "m.onnx", "rows": [ROW | {"missed": []}, ROW | killed]}
    lines = benchmark.table(report).splitlines()
    assert lines[-2] == (
        "| WebSocket pings without end | 274 MB | 210 | 13 | 0.12 | 0.010 | 300 (2) | 20, 24, 21 | 0.4 | 0 "
        "| 9 connections took 1.5 MiB each | none |"
    )
    assert lines[-1].startswith("| nobody attacks |  |")
    assert lines[-1].endswith("| killed | 9 connections took 1.5 MiB each | wait, exit code |")
    assert {line.count("|") for line in lines if line.startswith("|")} == {13}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_hostile_pictures_are_what_they_claim(benchmark, suffix):
    from server_attackers import picture, text_bomb

    from cyclegan_edge.runtime.web.picture_header import read_header

    header = read_header(picture(40, 60, suffix))
    assert (header.height, header.width) == (40, 60)
    assert 1.8e6 < len(text_bomb()) < 2.2e6
    assert read_header(text_bomb()).width == 64


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_attack_is_measured_on_a_true_server(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "server_attacks.py"), "--engine", "onnxruntime", "--only", "idle-530"]
    done = subprocess.run([*command, "--seconds", "1", "--output", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "server_attacks-onnxruntime-part.json").read_text())["rows"]
    assert row["exit_code"] == 0
    assert row["pictures"] > 0
    assert row["descriptors"][0] < 100 < row["descriptors"][1]
    assert row["outcome"].endswith("of 530 connections closed")
    assert 0 < row["median_wait"] <= row["longest_wait"]
    assert row["rss_mib"] > row["growth_mib"] >= 0
    assert done.stdout == (tmp_path / "server_attacks-onnxruntime-part.md").read_text()
