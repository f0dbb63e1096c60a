"""What attacks on `cyclegan serve` cost: the server's memory and descriptors, and how long a visitor waits beside them.

    python benchmarks/server_attacks.py [--engine onnxruntime] [--only NAME]… [--seconds S]

Each attack meets a fresh server, in a process of its own as the attacker is, with the shipped small example on the CPU.
Meanwhile a visitor has one 256x256 picture translated after another, on a new connection each time; a wait ends with
the translated picture, so that refusals and new attempts are in it. The largest RSS is the kernel's (VmHWM, reset after
the warm-up). SIGTERM comes while the attacker's connections are still open. Linux only, because it reads /proc.

Results go to benchmarks/results/server_attacks.json and .md, with the engine's name where one was chosen, and "-part"
where --only or --seconds made them partial.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import click
from server_attackers import ATTACKS, Target, picture, request

from cyclegan_edge.runtime.machine.doctor import in_words, machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MODEL = ROOT / "examples" / "flat2three" / "flat2three-small-AtoB-fp16.onnx"
SOFT_DESCRIPTORS = 1024  # what most systems let a process open; the server itself raises it
WARM_UP = 20  # pictures
PAUSE = 0.02  # seconds between two pictures of the visitor, and between two looks at the server
PATIENCE = 60.0  # seconds after which the visitor gives a picture up, and the server is killed
LONGEST_WAIT, MOST_GROWTH = 1.0, 200.0  # the aims: seconds, and MB of 10^6 bytes
Row = dict[str, Any]


class Visitor(Thread):
    """Somebody who has one picture translated after another."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.waits: list[float] = []  # seconds
        self.refused = 0
        self.stopped = Event()
        self._port = port
        self._picture = picture(256, 256, ".png")

    def run(self) -> None:
        """Go on until it is stopped, and the last picture has come."""
        while not self.stopped.is_set():
            self.translate()
            self.stopped.wait(PAUSE)

    def translate(self) -> None:
        """Have a picture translated; try again where it is refused."""
        began = time.monotonic()
        while not self.is_served() and time.monotonic() - began < PATIENCE:
            self.refused += 1
            time.sleep(0.1)
        self.waits.append(time.monotonic() - began)

    def is_served(self) -> bool:
        """Send the picture once; tell whether its translation came."""
        try:
            return request(self._port, "POST", "/v1/translate", self._picture)[0] == 200
        except (OSError, HTTPException):
            return False


@dataclass
class Server:
    """The server's process, and its largest figures since `watch` began."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    most_mib: float = 0.0
    most_descriptors: int = 0
    stopped: Event = field(default_factory=Event)

    def mib(self, name: str) -> float:
        """Return VmRSS or VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024

    def descriptors(self) -> int:
        """Count what the process has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def watch(self) -> None:
        """Keep the largest figures until `stopped`, or until the process is gone."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="utf-8")  # VmHWM begins anew
        while not self.stopped.is_set():
            try:
                self.most_mib = max(self.most_mib, self.mib("VmHWM"))
                self.most_descriptors = max(self.most_descriptors, self.descriptors())
            except (OSError, IndexError):
                return
            self.stopped.wait(PAUSE)

    def stop(self) -> tuple[float, int | None]:
        """Send SIGTERM; return the seconds until the end and the exit code, None where it had to be killed."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return time.monotonic() - began, None
        return time.monotonic() - began, code


@contextmanager
def serving(options: list[str]) -> Iterator[Server]:
    """Serve the shipped small example on a free port.

    Raises:
        ClickException: it does not start.
    """
    command = [sys.executable, "-m", "cyclegan_edge", "serve", "-m", str(MODEL), "--port", "0", "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "CYCLEGAN_TOKEN"}
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log.txt"
        with log.open("w", encoding="utf-8") as file:
            command += options
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True, env=environment)
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip().rstrip("/")
            if not address:
                raise click.ClickException(f"the server did not start: {log.read_text(encoding='utf-8').strip()}")
            yield Server(process, int(address.rpartition(":")[2]), log)
        finally:
            process.kill()
            process.communicate()


def allow_descriptors(soft: int | None) -> None:
    """Set how many descriptors this process and those that it starts may have, None for as many as are possible."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft is None else soft, hard))


def measure(name: str, engine: str, seconds: float) -> Row:
    """Attack a fresh server for so many seconds at most, and return what was seen."""
    attack = ATTACKS[name]
    payload = attack.payload()
    with (
        serving(["--backend", engine, *attack.options]) as server,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as attacker,
    ):
        visitor = Visitor(server.port)
        if not all(visitor.is_served() for _ in range(WARM_UP)):
            raise click.ClickException(f"the server translates nothing: {server.log.read_text(encoding='utf-8')}")
        running = json.loads(request(server.port, "GET", "/v1/models")[1])["models"][0]
        attacker.submit(allow_descriptors, None).result()  # its process has started now
        row: Row = {"attack": name, "engine": f"{running['engine']} on {running['device']}", "before": attack.before}
        with watched(server, visitor) as figures:
            target = Target(server.port, time.monotonic() + min(seconds, attack.seconds))
            try:
                row["outcome"] = attacker.submit(attack.run, target, payload).result()
            except (OSError, HTTPException) as error:
                row["outcome"] = f"{type(error).__name__}: {error}"
        row |= figures
        row["stop_seconds"], row["exit_code"] = server.stop()
        row["traceback"] = "Traceback" in server.log.read_text(encoding="utf-8")
    return row | {"missed": missed(row)}


@contextmanager
def watched(server: Server, visitor: Visitor) -> Iterator[Row]:
    """Watch the server and have the visitor come for the length of a block; fill in the figures at its end."""
    rss, descriptors = server.mib("VmRSS"), server.descriptors()
    watching = Thread(target=server.watch, daemon=True)
    for thread in (watching, visitor):
        thread.start()
    figures: Row = {}
    try:
        yield figures
    finally:
        visitor.stopped.set()
        visitor.join()
        server.stopped.set()
        watching.join()
    left = server.descriptors() if server.process.poll() is None else 0
    figures |= {
        "rss_mib": server.most_mib,
        "growth_mib": server.most_mib - rss,
        "longest_wait": max(visitor.waits),
        "median_wait": median(visitor.waits),
        "pictures": len(visitor.waits),
        "refused": visitor.refused,
        "descriptors": [descriptors, server.most_descriptors, left],
    }


def missed(row: Row) -> list[str]:
    """Name the aims that a row misses."""
    aims = {
        "wait": row["longest_wait"] < LONGEST_WAIT,
        "memory": row["growth_mib"] * 2**20 / 1e6 < MOST_GROWTH,
        "exit code": row["exit_code"] == 0,
        "log without a traceback": not row["traceback"],
    }
    return [name for name, reached in aims.items() if not reached]


def table(report: Row) -> str:
    """Lay the rows out as Markdown, under what they were measured on and what the aims are."""
    heads = ["attack", "before the limits", "largest RSS, MiB", "growth, MiB", "longest wait, s", "median wait, s"]
    heads += ["pictures (refusals)", "descriptors: before, most, after", "SIGTERM to end, s", "exit code"]
    heads += ["what the attacker saw", "aims missed"]
    lines = [f"{in_words(report['machine'])}  ", f"{report['artefact']}, {report['rows'][0]['engine']}", ""]
    aims = f"Aims: every wait below {LONGEST_WAIT:g} s, growth below {MOST_GROWTH:g} MB, exit code 0, no traceback."
    lines += [aims, "", "| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * 8 + "---|---|"]
    for row in report["rows"]:
        code = "killed" if row["exit_code"] is None else row["exit_code"]
        cells = [ATTACKS[row["attack"]].label, row["before"], f"{row['rss_mib']:.0f}", f"{row['growth_mib']:.0f}"]
        cells += [f"{row['longest_wait']:.2f}", f"{row['median_wait']:.3f}", f"{row['pictures']} ({row['refused']})"]
        cells += [", ".join(map(str, row["descriptors"])), f"{row['stop_seconds']:.1f}", f"{code}", row["outcome"]]
        lines.append("| " + " | ".join([*cells, ", ".join(row["missed"]) or "none"]) + " |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--engine", default="auto", show_default=True, help="As --backend of cyclegan serve.")
@click.option("--only", multiple=True, type=click.Choice(list(ATTACKS)), help="Only this attack; by default all.")
@click.option("--seconds", type=click.FloatRange(0), help="Longest time of an attack; by default each has its own.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(engine: str, only: tuple[str, ...], seconds: float | None, output: Path) -> None:
    """Attack the server in every way, print the table and write it."""
    allow_descriptors(SOFT_DESCRIPTORS)
    rows = []
    for name in only or ATTACKS:
        click.echo(f"{name} …", err=True)
        rows.append(measure(name, engine, float("inf") if seconds is None else seconds))
    report = {"machine": machine(), "artefact": MODEL.name, "rows": rows}
    output.mkdir(parents=True, exist_ok=True)
    stem = "server_attacks" + f"-{engine}" * (engine != "auto") + "-part" * bool(only or seconds is not None)
    (output / f"{stem}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (output / f"{stem}.md").write_text(table(report), encoding="utf-8")
    click.echo(table(report), nl=False)


if __name__ == "__main__":
    main()
