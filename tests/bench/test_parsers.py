"""What the load generators say, as they said it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.loads import LoadFailed, bulk, dns, http

RECORDED = Path(__file__).parent / "recorded"


def said(name: str) -> str:
    return (RECORDED / name).read_text()


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        pytest.param("wrk.txt", (3705, 3613.25, 19.39, 66.80, 0), id="all went well"),
        pytest.param("wrk-slow.txt", (1863, 901.91, 750.72, 1260, 0), id="latencies of seconds, with a blank behind"),
        pytest.param("wrk-errors.txt", (1982, 1843.65, 13.20, 259.88, 1981), id="connections that were reset"),
        pytest.param("wrk-refused.txt", (27798, 17965.17, 2.45, 284.14, 27798), id="other statuses than 200"),
    ],
)
def test_wrk(name: str, figures: tuple[int, float, float, float, int]) -> None:
    assert http.parse(said(name)) == pytest.approx(figures)


@pytest.mark.parametrize(("latency", "ms"), [("812.00us", 0.812), ("1.50s", 1500), ("1.01m", 60600)])
def test_wrk_has_a_unit_for_each_latency(latency: str, ms: float) -> None:
    assert http.parse(said("wrk.txt").replace("66.80ms", latency))[3] == pytest.approx(ms)


def test_iperf3_counts_what_was_received() -> None:
    gigabits, gigabytes = bulk.parse(said("iperf3.json"))
    assert gigabytes * 8 == pytest.approx(gigabits * 1.0, rel=0.1)  # it went on for a second
    assert said("iperf3.json").count(str(round(gigabytes * 1e9))) >= 1


@pytest.mark.parametrize(
    ("name", "figures"), [("dnsperf.txt", (26542, 53064.684455, 0)), ("dnsperf-lost.txt", (0, 0.0, 100))]
)
def test_dnsperf(name: str, figures: tuple[int, float, int]) -> None:
    assert dns.parse(said(name)) == pytest.approx(figures)


@pytest.mark.parametrize("parse", [http.parse, bulk.parse, dns.parse], ids=["wrk", "iperf3", "dnsperf"])
@pytest.mark.parametrize("words", ["", "unable to connect to 10.0.0.1: Connection refused\n", '{"error": "busy"}'])
def test_something_else_is_no_figure(parse: object, words: str) -> None:
    assert callable(parse)
    with pytest.raises(LoadFailed, match="said no figures"):
        parse(words)
