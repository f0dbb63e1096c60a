import re

import pytest

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.quantization.report import LayerCost, Quantisation
from cyclegan_edge.export.verification.page import save_page
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.errors import OutputError, UsageError


@pytest.fixture(scope="module")
def report(generator, exported, emoji):
    artefact = Artefact.open(exported(generator))
    return verify_artefact(artefact, generator, [next((emoji / "testA").iterdir())], backend="onnxruntime")


def test_the_page_needs_nothing_beside_itself_and_tells_every_comparison(report, tmp_path):
    save_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    judged = [row for row in report.comparisons if row.gate.max_lsb == 1]
    in_summary = {(row.engine, row.precision, row.input) for row in judged}
    assert page.count("<td>≤ 1 LSB</td>") == len(judged) + len(in_summary)
    assert page.count("<td>-</td><td>-</td><td>-</td>") == sum(row.tanh is None for row in report.comparisons)
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
    assert page.count(">FAIL<") == 1 + len({(row.engine, row.precision, row.input) for row in rows}) + len(rows)
    assert "&lt;b&gt;careful&lt;/b&gt;" in page


def test_what_int8_costs_stands_on_the_page(report, tmp_path):
    costs = tuple(LayerCost(layer=f"node_{n}", module=f"model.{n}", psnr_db=40.0 + n) for n in (4, 7))
    found = Quantisation(method="min-max", psnr_db={"min-max": 38.5}, sensitivity=costs, kept_float=("node_4",))
    save_page(report.model_copy(update={"quantisation": found}), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "INT8 by min-max (min-max 38.5 dB)" in page
    lines = [line for line in page.splitlines() if "<td>4" in line and "model." in line]
    assert ["float" in line for line in lines] == [True, False]


def test_other_names_and_places_are_refused(report, tmp_path):
    with pytest.raises(UsageError, match=r"one that ends in \.html"):
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
