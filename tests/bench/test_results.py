"""The file of results: written, read, added to, and refused where it is something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.figures import Figure
from bench.machine import machine
from bench.marks import Mark, verdicts
from bench.results import Results, ResultsError, add, read, write
from bench.series import NO_PROXY, Measure, Series

MACHINE = {"kernel": "6.1", "cpu": "one", "cores": "2", "tcnat": "0.1"}
RATE = Measure("rate", "requests a second", "requests/s", work="request")
SERIES = [Series("rate", peer, 10, (1.0, 2.0, 3.0), (0.1, 0.2, 0.3)) for peer in ("tcnat", NO_PROXY)]


def results() -> Results:
    return Results(
        machine=dict(MACHINE),
        measures=[RATE],
        series=list(SERIES),
        figures=[Figure("memory", "MB", (40.0, 41.0), at_most=48), Figure("time", "s", (1.0,))],
        verdicts=verdicts([Mark("rate", "tcnat", NO_PROXY, 10, 1.0), Mark("rate", "x", "y", 5)], SERIES),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write(results(), path)
    assert read(path) == results()


def test_other_readers_find_medians_in_it(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write(results(), path)
    held = json.loads(path.read_text())
    assert held["figures"][0]["median"] == 40.5
    assert held["figures"][0]["reached"] is True


def test_a_later_part_adds_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    add(results(), path)
    newer = Results(
        machine={**MACHINE, "wrk": "4.1"},
        measures=[RATE],
        series=[Series("rate", NO_PROXY, 10, (9.0,)), Series("rate", NO_PROXY, 5000, (8.0,))],
        figures=[Figure("time", "s", (2.0,))],
    )
    held = add(newer, path)
    assert held == read(path)
    assert held.machine["wrk"] == "4.1"
    assert held.one("rate", NO_PROXY, 10) == newer.series[0]
    assert held.one("rate", "tcnat", 10) == SERIES[0]
    assert [each.median for each in held.figures] == [40.5, 2.0]
    assert len(held.series) == 3


def test_figures_of_another_kernel_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    add(results(), path)
    held = add(Results(machine={**MACHINE, "kernel": "5.10"}, figures=[Figure("time", "s", (2.0,))]), path)
    assert held.series == []
    assert [each.name for each in held.figures] == ["time"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "does not hold results", id="cut off"),
        pytest.param(
            '{"series": [{"peer": "x"}]}', r"missing required field `measure` - at `\$.series\[0\]`", id="lacking"
        ),
        pytest.param('{"figures": [{"name": "x", "unit": "s", "runs": ["y"]}]}', r"runs\[0\]", id="words for numbers"),
        pytest.param(
            '{"series": [{"measure": "x", "peer": "y", "services": 1}]}',
            "does not describe: x",
            id="an unknown measure",
        ),
    ],
)
def test_what_does_not_hold_results_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=said):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"bench\.json: No such file .*make bench"):
        read(tmp_path / "bench.json")


def test_the_machine_is_described() -> None:
    found = machine()
    assert {"kernel", "cpu", "cores", "memory", "tcnat", "python", "wrk", "iperf3"} <= found.keys()
    assert all(found.values())
