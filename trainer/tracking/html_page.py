"""Pages and drawings made of templates; nothing else knows jinja2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from ...runtime.files import replacing

SHARED = Path(__file__).parent  # `line_charts.html` lies here


def write_page(template: Path, content: Mapping[str, Any], path: Path) -> None:
    """Fill a template of ours and write it to `path`; text is escaped, and a name without a value is a fault of ours.

    Raises:
        OutputError: the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, SHARED]), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template(template.name).render(content)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")  # paths need be no UTF-8
