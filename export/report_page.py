"""A verification as a page: one HTML file that needs nothing beside itself."""

from pathlib import Path

import jinja2

from ..runtime.errors import UsageError, replacing
from .report import GATES, VerificationReport


def save_page(report: VerificationReport, path: Path) -> None:
    """Write the report to `path`, an .html file.

    Raises:
        UsageError: the name ends otherwise.
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path} is no name for a page; give --report a name that ends in .html")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("verify.html").render(report=report, gates=GATES)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
