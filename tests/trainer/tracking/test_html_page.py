import re

import jinja2
import pytest

from cyclegan_edge.runtime.errors import OutputError
from cyclegan_edge.trainer.tracking.html_page import write_page
from cyclegan_edge.trainer.tracking.line_charts import make_chart


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        '{% from "line_charts.html" import draw, style -%}\n<style>{{ style() }}</style>{{ draw(chart) }}{{ note }}'
    )
    return path


def test_a_page_draws_charts_and_escapes_text(template, tmp_path):
    chart = make_chart("<loss>", {"G_A": [(0, 1.0), (1, 2.0)], "G_B": [(0, 2.0), (1, 1.0)]})
    write_page(template, {"chart": chart, "note": "<b>"}, tmp_path / "out" / "page.html")
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.startswith("<style>")
    assert page.endswith("&lt;b&gt;")
    assert "&lt;loss&gt;" in page
    assert re.findall(r'<polyline class="(line-\d)" points="([^"]+)"', page) == [
        ("line-1", "0.0,130.0 300.0,0.0"),
        ("line-2", "0.0,0.0 300.0,130.0"),
    ]


def test_a_page_that_cannot_be_filled_or_written_leaves_the_old_one(template, tmp_path):
    place = tmp_path / "report.html"
    place.write_text("old")
    with pytest.raises(jinja2.UndefinedError):
        write_page(template, {"note": ""}, place)
    assert place.read_text() == "old"
    chart = make_chart("loss", {"G_A": [(0, 1.0)]})
    with pytest.raises(OutputError, match="cannot write"):
        write_page(template, {"chart": chart, "note": ""}, place / "below.html")


def test_jinja2_is_known_to_one_module(request):
    root = request.config.rootpath
    files = [path for folder in ("trainer", "export", "runtime") for path in (root / folder).rglob("*.py")]
    assert [path.name for path in files if re.search(r"^\s*(import|from) jinja2", path.read_text(), re.M)] == [
        "html_page.py"
    ]
