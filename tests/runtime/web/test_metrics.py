"""What Prometheus reads."""

import re

from cyclegan_edge.runtime.web.metrics import Metrics

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"\n\\]*"(,[a-z_]+="[^"\n\\]*")*\})? -?[0-9.e+]+$')


def samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not SAMPLE.match(line)] == []
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_the_text_is_well_formed_and_every_metric_is_explained() -> None:
    metrics = Metrics()
    metrics.count("cyclegan_translated_total", source="picture")
    metrics.count("cyclegan_translated_total", 4, source="video")
    metrics.count("cyclegan_passed_over_total")
    text = metrics.text({"cyclegan_sockets": 3, "cyclegan_disk_bytes": 5_000_000_000})
    found = samples(text)
    assert found['cyclegan_translated_total{source="video"}'] == 4
    assert found["cyclegan_passed_over_total"] == 1
    assert found["cyclegan_disk_bytes"] == 5_000_000_000
    told = set(re.findall(r"^# TYPE (\S+) ", text, flags=re.MULTILINE))
    assert {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", name) for name in found} <= told


def test_the_histogram_counts_upwards() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.002, 0.03, 100):
        metrics.observe(seconds)
    found = samples(metrics.text({}))
    assert found['cyclegan_engine_seconds_bucket{le="0.002"}'] == 2
    assert found['cyclegan_engine_seconds_bucket{le="0.05"}'] == 3
    assert found['cyclegan_engine_seconds_bucket{le="10.0"}'] == 3
    assert found['cyclegan_engine_seconds_bucket{le="+Inf"}'] == found["cyclegan_engine_seconds_count"] == 4
    assert found["cyclegan_engine_seconds_sum"] == 100.033


def test_the_server_counts_what_it_does_and_what_it_refuses(start, picture) -> None:
    one = start()
    for _ in range(3):
        one.client.post("/v1/translate", content=picture())
    one.client.post("/v1/translate", content=b"no picture")
    one.client.post("/v1/translate", content=picture(), headers={"Origin": "http://evil.example"})
    answer = one.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert found['cyclegan_translated_total{source="picture"}'] == 3
    assert found["cyclegan_engine_seconds_count"] == 3
    assert found['cyclegan_refused_total{reason="no_picture"}'] == 1
    assert found['cyclegan_refused_total{reason="bad_origin"}'] == 1
    assert found["cyclegan_sockets"] == 0
