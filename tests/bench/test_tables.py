"""Results as they are printed."""

from __future__ import annotations

from bench.marks import Mark, verdicts
from bench.results import Results
from bench.series import NO_PROXY, Measure, Series
from bench.tables import comparison, marks

RATE = Measure("rate", "requests a second", "requests/s", work="request")
P99 = Measure("p99", "latency", "ms", more_is_better=False)
SERIES = [
    Series("p99", "tcnat", 10, (3.0, 1.0, 2.0)),
    Series("rate", NO_PROXY, 10, (2000.0, 1000.0, 4000.0), (0.001, 0.002, 0.004)),
    Series("rate", "tcnat", 10, (1000.0, 1000.0, 4000.0), (0.001, 0.003, 0.008)),
    Series("rate", "slow", 10, note="not loaded within 600 s"),
]


def test_a_comparison_has_medians_and_ratios() -> None:
    lines = comparison(Results(measures=[RATE, P99], series=SERIES)).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["MEASURE", "rate", "rate", "rate", "p99"]
    assert lines[2].split() == [
        *("rate", "10", "tcnat", "1000", "requests/s", "1000-4000", "1.00", "(0.50-1.00)"),
        *("3000", "µs/request", "1.50", "(1.00-2.00)"),
    ]
    assert lines[3].endswith("not loaded within 600 s")
    assert lines[4].split() == ["p99", "10", "tcnat", "2", "ms", "1-3"]


def test_marks_have_verdicts() -> None:
    wanted = [Mark("rate", "tcnat", NO_PROXY, 10, 0.97, 1.03), Mark("rate", "slow", NO_PROXY, 5000, 1.0, than=10)]
    lines = marks(verdicts(wanted, SERIES)).splitlines()
    assert lines[1].endswith("75%           ≥ 0.97 ≤ 1.03  undecided")
    assert lines[2].endswith("≥ 1            not measured")
    assert "5,000 ÷ 10" in lines[2]
