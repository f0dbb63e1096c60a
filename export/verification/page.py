"""A verification as a page: one HTML file that needs nothing beside itself."""

from pathlib import Path

from ...runtime.errors import OutputError, UsageError
from ...trainer.tracking.html_page import write_page
from .gates import FLAT, GATES, UNDETERMINED
from .report import VerificationReport, report_path, save_report
from .table import COLUMNS, summarise


def save_page(report: VerificationReport, path: Path) -> None:
    """Write the report to `path`, an .html file.

    Raises:
        UsageError: the name ends otherwise.
        OutputError: the file cannot be written.
    """
    check_page_name(path)
    content = {
        "report": report,
        "gates": GATES,
        "undetermined": UNDETERMINED,
        "flat": FLAT,
        "columns": COLUMNS,
        "summary": list(summarise(report)),
    }
    write_page(Path(__file__).with_name("page.html"), content, path)


def check_page_name(path: Path) -> None:
    """Raise a `UsageError` where a page cannot have this name."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path} is no name for a page; give one that ends in .html", about=("page",))


def page_path(artefact: Path) -> Path:
    """Return where the page of an artefact lies: `NAME.verify.html` beside it."""
    return artefact.with_suffix(".verify.html")


def save_beside(report: VerificationReport, artefact: Path) -> None:
    """Write the report beside the artefact, for programs and as a page.

    Raises:
        OutputError: a file cannot be written.
    """
    save_report(report, report_path(artefact))
    save_page(report, page_path(artefact))


def forget(artefact: Path) -> None:
    """Remove the reports on an older file in the artefact's place.

    Raises:
        OutputError: they cannot be removed.
    """
    remove(report_path(artefact), page_path(artefact))


def remove(*reports: Path) -> None:
    """Remove reports, as far as they are there.

    Raises:
        OutputError: one cannot be removed.
    """
    for path in reports:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose a place that can be written") from error
