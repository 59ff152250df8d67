"""The report of a run: what it says, that it says it of everybody, and that the same results give the same files."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("matplotlib", reason="needs python3-matplotlib: scripts/install-packages drawing")
pytest.importorskip("jinja2", reason="needs python3-jinja2: scripts/install-packages drawing")

from bench.drawing.__main__ import main
from bench.drawing.looks import KNOWN, look
from bench.drawing.outcome import Outcome
from bench.drawing.page import Report, report
from bench.drawing.panels import spread_out
from bench.drawing.wording import number, ratio
from bench.results import Results, write
from bench.series import NO_PROXY, Measure, Series

from . import sample

ABSENT = "tcnat to the device, tcnat without redirect"
README = "before\n<!-- bench:begin (made by make bench-report) -->\nold\n<!-- bench:end -->\nafter\n"


@pytest.fixture(scope="module")
def results() -> Results:
    return sample.results(runs=3, sizes=(10, 50000))


@pytest.fixture(scope="module")
def made(results: Results) -> Report:
    return report(Outcome(results), "bench/report")


@pytest.fixture(scope="module")
def page(made: Report) -> str:
    return made.files["index.html"]


@pytest.fixture(scope="module")
def markdown(made: Report) -> str:
    return made.files["README.md"]


class Elements(HTMLParser):
    """Ids, names of elements, and what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.names: Counter[str] = Counter()
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            elif name in ("src", "href", "xlink:href", "data", "srcset"):
                self.references.append(value or "")


def called(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def one_line(result: Result) -> str:
    """What a command that failed said."""
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    return result.output


@pytest.mark.parametrize("peer", sample.COST)
def test_every_peer_stands_in_the_page_the_markdown_the_readme_and_the_pictures_of_all(made: Report, peer: str) -> None:
    for name in ("index.html", "README.md", "rates.svg", "cpu.svg", "latency-connect.svg", "requests.svg"):
        assert peer in made.files[name]
    assert peer in (made.readme or "")


def test_a_peer_that_the_results_do_not_have_is_told_of(page: str, markdown: str) -> None:
    for text in (page, markdown):
        assert f"Not in these results: {ABSENT}." in text


def test_a_peer_that_did_not_load_is_told_of_where_it_is_missing(made: Report, page: str, markdown: str) -> None:
    assert f"✕ {sample.LOST}: kube-proxy iptables-legacy (50,000), kube-proxy" in made.files["rates.svg"]
    assert sample.LOST in made.files["latency-connect.svg"]
    assert f"| 50,000 | kube-proxy iptables-nft | *{sample.LOST}* |" in markdown
    assert page.count(sample.LOST) > 10
    assert made.readme
    row = next(line for line in made.readme.splitlines() if line.startswith("| kube-proxy iptables-nft"))
    assert row.endswith(f"{sample.LOST} |")


def test_a_peer_that_a_measure_does_not_have_with_some_number_of_services_is_told_of(results: Results) -> None:
    rates = [each for each in results.series if each.measure == "dns_rate"]
    gone = [each for each in rates if (each.peer, each.services) != ("nftables maps", 10)]
    text = report(Outcome(replace(results, series=gone)), "").files["README.md"]
    assert "| 10 | nftables maps | *not measured* |" in text


def test_a_peer_that_is_measured_with_one_number_of_services_is_not_missed_with_more_of_them(results: Results) -> None:
    latencies = [each for each in results.series if each.measure.startswith("connect") and each.peer == NO_PROXY]
    once = [replace(each, peer="empty tc program") for each in latencies if each.services == 10]
    made = report(Outcome(replace(results, series=[*latencies, *once])), "")
    assert "not measured" not in made.files["README.md"].partition("## Latency")[2]
    assert ">with 10 alone<" in made.files["latency-connect.svg"]


def test_figures_are_medians_with_their_spread_and_ratios_of_runs_made_side_by_side(
    results: Results, markdown: str
) -> None:
    ours, limit, other = (
        results.one("http_short_rate", peer, 10) for peer in ("tcnat", NO_PROXY, "kube-proxy iptables-nft")
    )
    assert ours
    assert limit
    assert other
    to_limit = [a / b for a, b in zip(other.runs, limit.runs, strict=True)]
    lead = [a / b for a, b in zip(ours.runs, other.runs, strict=True)]
    cpu = [each * 1e6 for each in other.cpu]
    wanted = (
        f"| 10 | kube-proxy iptables-nft | {statistics.median(other.runs):,.0f} "
        f"({min(other.runs):,.0f}–{max(other.runs):,.0f}) "
        f"| {statistics.median(to_limit):.2f} ({min(to_limit):.2f}–{max(to_limit):.2f}) "
        f"| {statistics.median(lead):.2f} ({min(lead):.2f}–{max(lead):.2f}) "
        f"| {statistics.median(cpu):.0f} ({min(cpu):.0f}–{max(cpu):.0f}) |"
    )
    assert wanted in markdown


def test_tcnat_leads_where_its_times_are_shorter() -> None:
    times = Measure("connect_p50", "TCP connect: median latency", "µs", more_is_better=False)
    runs = [Series(times.key, "tcnat", 10, (50.0,)), Series(times.key, NO_PROXY, 10, (100.0,))]
    cell = Outcome(Results(measures=[times], series=runs)).cell(times, NO_PROXY, 10)
    assert cell
    assert cell.ahead
    assert cell.ahead.median == 2


def test_all_marks_stand_in_the_table_with_what_is_said_of_them(results: Results, page: str, markdown: str) -> None:
    said = Counter(each.said for each in results.verdicts)
    for text in (page, markdown):
        for verdict, count in said.items():
            assert text.count(f" {verdict}<" if text is page else f" {verdict} |") >= count
    assert "HTTP, 2,000 connections of one request each, rate: tcnat ÷ no proxy, 10 Services | ≥ 1.00 |" in markdown
    assert "| endpoint change to the maps | ≤ 20 ms | 12.5 ms | 11–14 (3 runs) | ✓ reached |" in markdown


def test_machine_and_versions_stand_on_the_page(results: Results, page: str, markdown: str) -> None:
    for name, value in results.machine.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page
        assert f"| {name} | {value} |" in markdown


def test_packets_have_a_panel_for_each_family_and_the_calibration_in_it(made: Report, page: str) -> None:
    picture = made.files["packets.svg"]
    for words in (">IPv4<", ">IPv6<", ">calibration<", ">empty tc program<", ">ns for a packet<"):
        assert words in picture
    assert picture.count(">to a Service, open TCP flow<") == 2
    assert "to a Service, open TCP flow, IPv6 (5 runs)" in page


def test_what_has_to_be_known_of_a_figure_stands_below_its_table(results: Results) -> None:
    rates = [replace(each, note="2 requests failed") for each in results.series if each.measure == "dns_rate"]
    made = report(Outcome(replace(results, series=rates)), "")
    for name in ("index.html", "README.md"):
        assert "tcnat, 10 Services: 2 requests failed." in made.files[name]


def test_what_a_virtual_machine_measured_stands_by_itself(made: Report, markdown: str) -> None:
    assert "kube-proxy IPVS" in markdown.partition("## In a virtual machine")[2].partition("## Single figures")[0]
    assert ">kube-proxy IPVS<" in made.files["vm-rates-bars.svg"]
    for name in ("rates.svg", "requests.svg"):
        assert "IPVS" not in made.files[name]


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    found = Elements(page)
    assert all(each.startswith("#") for each in found.references)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(found.names)
    assert found.names["svg"] == page.count("<figure ") > 5
    assert "@import" not in page
    assert "url(#" in page
    assert page.count("url(") == page.count("url(#")


def test_ids_of_the_page_are_unique_and_its_references_lead_somewhere(page: str) -> None:
    found = Elements(page)
    assert [each for each, count in found.ids.items() if count > 1] == []
    assert {each.removeprefix("#") for each in found.references} <= set(found.ids)


def test_pictures_are_well_formed_and_the_markdown_shows_each_that_there_is(made: Report, markdown: str) -> None:
    pictures = [name for name in made.files if name.endswith(".svg")]
    for name in pictures:
        ElementTree.fromstring(made.files[name])
        assert f"]({name})" in markdown or f"/{name})" in (made.readme or "")


def test_a_peer_has_one_look_and_no_two_have_the_same() -> None:
    looks = [look(peer) for peer in KNOWN] + [look(peer, ("x", "y")) for peer in ("x", "y")]
    assert len({each.colour for each in looks}) == len(looks)
    assert len({(each.marker, each.line) for each in looks}) == len(looks)


def test_the_same_results_give_the_same_bytes_elsewhere(tmp_path: Path, results: Results, made: Report) -> None:
    write(results, tmp_path / "bench.json")
    command = [sys.executable, "-m", "bench.drawing", tmp_path / "bench.json", "-o", tmp_path / "report"]
    elsewhere = {**os.environ, "PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo"}
    subprocess.run(command, check=True, capture_output=True, env=elsewhere)
    assert {path.name: path.read_text() for path in (tmp_path / "report").iterdir()} == made.files


def test_the_block_of_the_readme_is_renewed_and_nothing_else_of_it(tmp_path: Path, results: Results) -> None:
    small = replace(results, series=[each for each in results.series if each.measure == "http_short_rate"])
    write(small, tmp_path / "bench.json")
    (tmp_path / "README.md").write_text(README)
    arguments = (tmp_path / "bench.json", "-o", tmp_path / "bench/report", "--readme", tmp_path / "README.md")
    assert called(*arguments).exit_code == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n<!-- bench:begin (made by make bench-report) -->\n![")
    assert text.endswith("\n<!-- bench:end -->\nafter\n")
    assert "](bench/report/requests.svg)" in text
    assert "\nold\n" not in text
    assert called(*arguments).exit_code == 0
    assert (tmp_path / "README.md").read_text() == text


def test_a_readme_without_a_place_for_it_is_told_of_and_left_alone(tmp_path: Path, results: Results) -> None:
    small = replace(results, series=[each for each in results.series if each.measure == "http_short_rate"])
    write(small, tmp_path / "bench.json")
    (tmp_path / "README.md").write_text("nothing")
    said = one_line(called(tmp_path / "bench.json", "-o", tmp_path / "report", "--readme", tmp_path / "README.md"))
    assert "<!-- bench:begin -->" in said
    assert (tmp_path / "README.md").read_text() == "nothing"
    assert not (tmp_path / "report").exists()


def test_an_earlier_reports_pictures_go_and_others_stay(tmp_path: Path) -> None:
    measure = Measure("sync", "Full sync", "s", more_is_better=False)
    write(Results(measures=[measure], series=[Series("sync", "tcnat", 10, (0.1,))]), tmp_path / "bench.json")
    (tmp_path / "rates.svg").write_text('<svg id="rates-figure_1"/>')
    (tmp_path / "logo.svg").write_text("<svg/>")
    assert called(tmp_path / "bench.json", "-o", tmp_path).exit_code == 0
    assert {path.name for path in tmp_path.glob("*.svg")} == {"control-bars.svg", "logo.svg"}


def test_without_results_it_says_how_to_get_some(tmp_path: Path) -> None:
    assert "make bench" in one_line(called(tmp_path / "none.json", "-o", tmp_path / "report"))


def test_results_without_measurements_are_no_report(tmp_path: Path) -> None:
    write(Results(), tmp_path / "bench.json")
    assert "make bench" in one_line(called(tmp_path / "bench.json", "-o", tmp_path / "report"))
    assert not (tmp_path / "report").exists()


def test_what_is_no_results_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text("[1]")
    assert "does not hold results" in one_line(called(tmp_path / "bench.json", "-o", tmp_path))


@pytest.mark.parametrize(
    ("services", "runs"),
    [
        pytest.param(1000, {"tcnat": (0.0, 0.0)}, id="zeros, and no peer to compare with"),
        pytest.param(1000, {"tcnat": (), NO_PROXY: ()}, id="no runs at all"),
        pytest.param(1000, {"tcnat": (1.0,), NO_PROXY: (0.0,)}, id="a limit of zero"),
        pytest.param(0, {"somebody else": (5.0,), "a <b> & c": (6.0,)}, id="peers that are not known by name"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_results_are_drawn_all_the_same(services: int, runs: dict[str, tuple[float, ...]]) -> None:
    measures = [
        Measure("a_rate", "A: rate", "requests/s", "request"),
        Measure("a_p50", "A: median latency", "ms", more_is_better=False),
        Measure("sync", "Full sync", "s", more_is_better=False),
        Measure("failed", "Requests failed", "requests", more_is_better=False),
    ]
    series = [Series(each.key, peer, services, values) for each in measures for peer, values in runs.items()]
    text = report(Outcome(Results(measures=measures, series=series)), "").files["index.html"]
    assert "<b>" not in text
    for peer in runs:
        assert peer.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in text


def test_names_at_the_ends_of_lines_keep_their_order_and_their_distance() -> None:
    places = {"a": 1.0, "b": 1.01, "c": 0.99, "d": 3.0}
    moved = spread_out(places, 0.5)
    assert sorted(moved, key=moved.__getitem__) == sorted(places, key=places.__getitem__)
    ordered = sorted(moved.values())
    assert all(above - below >= 0.5 - 1e-9 for below, above in pairwise(ordered))
    assert moved["d"] == 3.0
    assert statistics.mean(moved[each] for each in "abc") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3.0, "3"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234"), (-2.5, "−2.50")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0123, "0.0123"), (0.984, "0.98"), (1.0, "1.00"), (17.24, "17.2")])
def test_ratios_have_two_decimals_where_that_tells_something(value: float, text: str) -> None:
    assert ratio(value) == text
