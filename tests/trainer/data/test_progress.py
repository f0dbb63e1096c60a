import logging

from cyclegan_edge.trainer.data import progress
from cyclegan_edge.trainer.data.progress import counted


def test_a_log_is_told_early_how_long_it_takes_and_then_now_and_then(monkeypatch, caplog):
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with caplog.at_level(logging.INFO), counted("checking horses", 200) as advance:
        for _ in range(200):
            advance()
    lines = [record.message for record in caplog.records]
    assert lines[0] == "checking horses: 4 of 200 pictures, 1/s, 3.3 min left"
    assert len(lines) == 4


def test_what_is_quick_is_not_told(caplog):
    with caplog.at_level(logging.INFO), counted("checking horses", 3) as advance:
        for _ in range(3):
            advance()
    assert caplog.text == ""
