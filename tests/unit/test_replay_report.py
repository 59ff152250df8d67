"""What is told of packets: tables, JSON lines, sums, JUnit."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tcnat.errors import TcnatError
from tcnat.replay import junit
from tcnat.replay.capture import Packet
from tcnat.replay.compare import Difference, Kind, Result
from tcnat.replay.fate import NOT_A_CLIENTS, Fate, Party
from tcnat.replay.report import REPORTS, Outcome
from tcnat.replay.side import Side
from tcnat.replay.summary import Summary
from tests.unit.replay_fates import REASONS, WEB, WEB_ADDRESS, dropped, forwarded, packet, passed

FATES = [
    forwarded(packet(1, b"x" * 60), b"y" * 60),
    forwarded(packet(2, b"x" * 40), b"y" * 40),
    dropped(packet(3, b"x" * 50)),
    Fate(packet(4, b"arp"), None, NOT_A_CLIENTS, b"arp", 3),
    passed(packet(5, b"other")),
]

WEB_TEXT = "10.96.0.10:80/TCP"


def report(output: str, outcome: Outcome | None = None) -> list[str]:
    lines: list[str] = []
    told = REPORTS[output](lines.append)
    summary = Summary()
    for fate in FATES:
        told.add(fate)
        summary.add(fate)
    told.finish(outcome or Outcome(summary))
    return "\n".join(lines).splitlines()


def cells(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_a_table_has_a_line_for_each_packet_and_then_the_sums() -> None:
    lines = report("table")
    assert cells(lines[:6]) == [
        ["PACKET", "TIME", "DIRECTION", "VERDICT", "REASON", "LENGTH", "FRONT-END", "BACKEND", "SERVICE"],
        ["1", "0.000000", "egress", "rewrite", "forwarded", "60", WEB_TEXT, "10.0.1.2:8080", "default/web:http"],
        ["2", "0.001000", "egress", "rewrite", "forwarded", "40", WEB_TEXT, "10.0.1.2:8080", "default/web:http"],
        ["3", "0.002000", "egress", "drop", "no_local_endpoint", "50", WEB_TEXT, "-", "default/web:http"],
        ["4", "0.003000", "-", "pass", "not_a_clients", "3", "-", "-", "-"],
        ["5", "0.004000", "egress", "pass", "untouched", "5", "-", "-", "-"],
    ]  # fmt: skip
    assert lines[6] == ""
    assert lines[7:] == report("summary")


def test_columns_of_the_table_line_up() -> None:
    lines = report("table")[:6]
    assert {line.index(word) for line, word in zip(lines[1:3], ["10.0.1.2:8080"] * 2, strict=True)} == {
        lines[0].index("BACKEND")
    }


def test_a_summary_says_what_became_of_packets_and_what_that_means() -> None:
    lines = report("summary")
    assert lines[0] == "5 packets over 0.004000 s: 2 rewrite, 0 answer, 1 drop, 2 pass; 4 leave"
    assert cells(lines[1:]) == [
        ["VERDICT", "REASON", "FRONT-END", "BACKEND", "SERVICE", "PACKETS", "BYTES", "MEANING"],
        ["rewrite", "forwarded", "10.96.0.10:80/TCP", "10.0.1.2:8080", "default/web:http", "2", "100",
         "sent on to a backend"],
        ["drop", "no_local_endpoint", "10.96.0.10:80/TCP", "-", "default/web:http", "1", "50",
         "the Service has no endpoint on this node and its policy is Local"],
        ["pass", "not_a_clients", "-", "-", "-", "1", "3", "neither from a client nor to one"],
        ["pass", "untouched", "-", "-", "-", "1", "5", "no Service's business"],
    ]  # fmt: skip


def test_json_lines_tell_each_packet_and_then_the_sums() -> None:
    objects = [json.loads(line) for line in report("json")]
    assert objects[0] == {
        "packet": 1, "time_ns": 1_000_000, "direction": "egress", "verdict": "rewrite", "reason": "forwarded",
        "frontend": "10.96.0.10:80/TCP", "backend": "10.0.1.2:8080", "service": "default/web:http",
        "sent_back": False, "length": 60, "length_after": 60,
    }  # fmt: skip
    assert (objects[2]["verdict"], objects[2]["length_after"], objects[2]["backend"]) == ("drop", None, None)
    assert objects[3]["direction"] is None
    summary = objects[5]["summary"]
    assert (summary["packets"], summary["left"], summary["seconds"]) == (5, 4, 0.004)
    assert summary["verdicts"] == {"rewrite": 2, "answer": 0, "drop": 1, "pass": 2}
    assert [(g["reason"], g["frontend"], g["packets"], g["bytes"]) for g in summary["groups"]] == [
        ("forwarded", "10.96.0.10:80/TCP", 2, 100),
        ("no_local_endpoint", "10.96.0.10:80/TCP", 1, 50),
        ("not_a_clients", None, 1, 3),
        ("untouched", None, 1, 5),
    ]
    assert len(objects) == 6


def test_an_empty_capture_is_told_without_tables() -> None:
    for output in ("table", "summary"):
        lines: list[str] = []
        REPORTS[output](lines.append).finish(Outcome(Summary()))
        assert lines == ["0 packets over 0.000000 s: 0 rewrite, 0 answer, 0 drop, 0 pass; 0 leave"]


def test_a_comparison_is_told_after_the_sums() -> None:
    same = Outcome(Summary(), "golden.pcap", Result(equal=4))
    assert report("summary", same)[-1] == "4 packets as in golden.pcap"
    result = Result(equal=2, first=[Difference(Kind.EXTRA, FATES[0], None)])
    result.counts.update({Kind.EXTRA: 1, Kind.CHANGED: 2})
    different = Outcome(Summary(), "golden.pcap", result, ("packet 1 is not expected",))
    assert report("summary", different)[-3:] == [
        "packet 1 is not expected",
        "",
        "3 differences from golden.pcap: 2 changed, 1 extra; 2 packets equal",
    ]
    assert json.loads(report("json", different)[-1]) == {
        "comparison": {
            "golden": "golden.pcap", "equal": 2, "changed": 2, "missing": 0, "extra": 1,
            "first": [
                {"kind": "extra", "packet": 1, "golden_packet": None, "words": "packet 1 is not expected"}
            ],
        }
    }  # fmt: skip


def test_a_port_scan_is_one_group() -> None:
    summary = Summary()
    for port in range(1, 200):
        front_end = Party(WEB_ADDRESS.address, port)
        fate = Fate(packet(port), Side.EGRESS, REASONS["unknown_port"], None, 0, False, 6, front_end)
        summary.add(fate)
    assert [(group.front_end_text, count) for group, count, _ in summary.rows()] == [("10.96.0.10", 199)]


def test_a_service_with_many_front_ends_has_a_group_for_each() -> None:
    summary = Summary()
    for port in (80, 443):
        front_end = Party(WEB_ADDRESS.address, port)
        summary.add(Fate(packet(1), Side.EGRESS, REASONS["no_endpoint"], None, 0, False, 6, front_end, None, WEB))
    assert sorted(group.front_end_text for group, _, _ in summary.rows()) == ["10.96.0.10:443/TCP", "10.96.0.10:80/TCP"]


def test_times_are_told_from_the_first_packet_on() -> None:
    lines: list[str] = []
    told = REPORTS["table"](lines.append)
    for stamp in (1_700_000_000_000_000_000, 1_700_000_001_500_000_000):
        told.add(passed(Packet(1, stamp, 1, b"", 0, b"", "<")))
    assert [line.split()[1] for line in lines] == ["TIME", "0.000000", "1.500000"]


def test_junit_names_failures_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    cases = [
        junit.Case("reads", error="cut off\nat the end"),
        junit.Case("equals", failure="1 difference\n\n  IP \x00 <destination>"),
        junit.Case("good"),
    ]
    junit.write(path, "tcnat replay web.pcap", cases, 1.25, "5 packets & more")
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib == {
        "name": "tcnat replay web.pcap", "tests": "3", "failures": "1", "errors": "1", "time": "1.250"
    }  # fmt: skip
    error, failure = suite.find("testcase[@name='reads']/error"), suite.find("testcase[@name='equals']/failure")
    assert error is not None
    assert error.get("message") == "cut off"
    assert failure is not None
    assert failure.text == "1 difference\n\n  IP  <destination>"
    assert list(suite.iterfind("testcase[@name='good']/*")) == []
    assert suite.findtext("system-out") == "5 packets & more"


def test_a_junit_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match=r"--junit .*gone/junit\.xml: cannot be written: No such file"):
        junit.write(tmp_path / "gone" / "junit.xml", "suite", [], 0, "")
