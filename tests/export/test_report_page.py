import re

import pytest

from cyclegan_edge.export.report_page import save_page
from cyclegan_edge.export.verify import verify_artefact
from cyclegan_edge.runtime.errors import OutputError, UsageError


@pytest.fixture(scope="module")
def report(generator, exported, emoji):
    return verify_artefact(exported(generator), generator, [next((emoji / "testA").iterdir())], backend="onnxruntime")


def test_the_page_needs_nothing_beside_itself_and_tells_every_comparison(report, tmp_path):
    save_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("<td>≤ 1 LSB</td>") == sum(row.gate.max_lsb == 1 for row in report.comparisons)
    assert report.artefact_sha256 in page
    assert report.reference.sha256 in page
    assert "PASS" in page
    assert "FAIL" not in page


def test_what_went_wrong_stands_on_the_page_and_names_cannot_break_it(report, tmp_path):
    rows = tuple(row.model_copy(update={"passed": False}) for row in report.comparisons)
    save_page(
        report.model_copy(update={"passed": False, "comparisons": rows, "notes": ("<b>careful</b>",), "worst": None}),
        tmp_path / "report.html",
    )
    page = (tmp_path / "report.html").read_text()
    assert page.count(">FAIL<") == len(rows) + 1
    assert "&lt;b&gt;careful&lt;/b&gt;" in page


def test_other_names_and_places_are_refused(report, tmp_path):
    with pytest.raises(UsageError, match=r"name that ends in \.html"):
        save_page(report, tmp_path / "report.pdf")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        save_page(report, tmp_path / "file" / "report.html")


def test_the_worst_picture_is_of_the_worst_comparison(report):
    judged = [row for row in report.comparisons if row.gate.max_lsb is not None]
    worst = min(judged, key=lambda row: row.psnr_db or float("inf"))
    assert report.worst.input == worst.input
    assert report.worst.engine == "onnxruntime fp32"
    assert report.worst.difference.startswith("data:image/png;base64,")
