"""A folder job on a true Ray cluster of two nodes on this machine, one of which is killed in mid-job.

Everything listens on loopback only. Ray belongs to no extra that the tests install: without it these are skipped.
"""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from cyclegan_edge.runtime.jobs.manifest import NAME, Manifest
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture

MANY = 160
NODE = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1", "include_dashboard": False}
BRIEF = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}

LOOPBACK = "import ray._private.ray_constants as ray; ray.ENABLE_RAY_CLUSTER = False"  # Ray's own name for it

ray = pytest.mark.skipif(find_spec("ray") is None, reason='needs pip install "cyclegan-edge[ray]"')


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Many pictures that take a while to encode, and two that are damaged."""
    folder = tmp_path / "in"
    write_picture(folder / "0.png", np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    for i in range(1, MANY):
        os.link(folder / "0.png", folder / f"{i}.png")
    for name in ("bad1.png", "bad2.png"):
        (folder / name).write_bytes(b"damaged")
    return folder


def results(output: Path) -> int:
    return len(list(output.glob("[0-9]*.png")))


def wait_for(count: int, output: Path) -> None:
    deadline = time.monotonic() + 120
    while results(output) < count and time.monotonic() < deadline:
        time.sleep(0.05)


def assert_every_file_once(pictures: Path, output: Path) -> None:
    expected = 255 - read_picture(pictures / "0.png")
    assert results(output) == MANY
    assert all(np.array_equal(read_picture(output / f"{i}.png"), expected) for i in range(MANY))
    lines = [json.loads(line) for line in (output / NAME).read_text().splitlines()]
    done = [line["path"] for line in lines if line["status"] == "done"]
    assert sorted(done) == sorted(f"{i}.png" for i in range(MANY))
    assert {record.work.path for record in Manifest(output / NAME).records() if record.status == "failed"} == {
        "bad1.png",
        "bad2.png",
    }


@ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestCluster:
    @pytest.fixture(scope="class")
    def cluster(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            from ray._private import ray_constants
            from ray.cluster_utils import Cluster

            patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
            cluster = Cluster(initialize_head=True, head_node_args=NODE | {"_system_config": BRIEF})
            cluster.add_node(**NODE)
            yield cluster
            cluster.shutdown()

    def test_a_node_that_is_killed_in_mid_job_costs_no_file(
        self, cyclegan, cluster, pictures, model, tmp_path, capfd, caplog
    ):
        def kill() -> None:
            wait_for(20, tmp_path / "out")
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

        killer = Thread(target=kill)
        killer.start()
        arguments = ["-m", model("invert"), "-i", pictures, "-o", tmp_path / "out", "--ray", cluster.address, "--json"]
        assert cyclegan("translate", *arguments, "--device", "cpu") == 1  # the damaged ones
        killer.join()
        cluster.add_node(**NODE)  # for the next test
        summary = json.loads(capfd.readouterr().out)
        assert (summary["translated"], summary["failed"], summary["read"]) == (MANY, 2, MANY + 2)
        assert summary["engine"] == "ray"
        assert "bad1.png is damaged" in caplog.text
        assert_every_file_once(pictures, tmp_path / "out")

    def test_a_job_whose_command_was_killed_goes_on_where_it_was(
        self, cyclegan, cluster, pictures, model, tmp_path, capfd
    ):
        arguments = ["translate", "-m", str(model("invert")), "-i", str(pictures), "-o", str(tmp_path / "out")]
        arguments += ["--ray", cluster.address, "--json"]
        program = f"{LOOPBACK}; from cyclegan_edge.cli import main; main()"
        command = [sys.executable, "-c", program, *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_for(30, tmp_path / "out")
            process.send_signal(signal.SIGKILL)
        done = sum(record.status == "done" for record in Manifest(tmp_path / "out" / NAME).records())
        assert 0 < done < MANY
        assert cyclegan(*arguments) == 1
        summary = json.loads(capfd.readouterr().out)
        assert (summary["skipped"], summary["translated"]) == (done, MANY - done)
        assert_every_file_once(pictures, tmp_path / "out")

    def test_an_engine_that_cannot_be_loaded_ends_the_job_as_it_does_here(
        self, cyclegan, cluster, pictures, tmp_path, capfd
    ):
        (tmp_path / "damaged.onnx").write_bytes(b"damaged")
        arguments = ["-m", tmp_path / "damaged.onnx", "-i", pictures, "-o", tmp_path / "out", "--ray", cluster.address]
        assert cyclegan("translate", *arguments) == 4
        captured = capfd.readouterr()
        assert "damaged.onnx" in captured.err
        assert captured.out == ""


@ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_cluster_is_told(cyclegan, pictures, model, tmp_path, capsys):
    arguments = ["-m", model("invert"), "-i", pictures, "-o", tmp_path / "out", "--ray", "127.0.0.1:1"]
    assert cyclegan("translate", *arguments) == 4
    assert "no Ray cluster answers at 127.0.0.1:1; start one with: ray start --head" in capsys.readouterr().err


def test_without_ray_the_extra_is_named(cyclegan, pictures, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["-m", model("invert"), "-i", pictures, "-o", tmp_path / "out", "--ray", "auto"]
    assert cyclegan("translate", *arguments) == 4
    assert 'pip install "cyclegan-edge[ray]"' in capsys.readouterr().err
