"""`cyclegan doctor`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..errors import CycleganError, printable
from .options import json_option

if TYPE_CHECKING:
    from ..machine.doctor import Finding


_MARKS = {"ok": "+", "missing": "-", "broken": "!"}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check what this machine can run, show, read and write, and say how to mend what does not work.

    Each line begins with + (works), - (missing) or ! (broken); the text after an arrow says what to do. Exit code 0:
    OpenCV and at least one engine work; 1: nothing can be translated.
    """
    from ..machine.doctor import can_run, examine, in_words, machine

    findings = examine()
    runs = can_run(findings)
    if as_json:
        report = {"can_run": runs, "machine": machine(), "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(report))
    else:
        click.echo(printable("\n".join((in_words(machine()), *_lines(findings)))))
    if not runs:
        raise CycleganError("nothing can be translated here; mend an engine and OpenCV as said above")


def _lines(findings: "list[Finding]") -> list[str]:
    lines = []
    part = ""
    for finding in findings:
        if finding.part != part:
            part = finding.part
            lines += ["", part]
        remedy = f"  → {finding.remedy}" if finding.remedy else ""
        lines.append(f"  {_MARKS[finding.status]} {finding.name}: {finding.detail}{remedy}")
    return lines
