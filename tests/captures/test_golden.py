"""Every capture in this directory through the real programs, held against its golden answer."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.captures import regenerate
from tests.captures.catalogue import Case, cases, read_packets
from tests.captures.replaying import replay
from tests.captures.tshark import CHECKSUMS, read_fields
from tests.lab.commands import run

pytestmark = pytest.mark.root
CASES = list(cases())
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
Row = dict[str, str]
Told = dict[Path, list[Row]]
"""What tshark tells of every packet of every file."""
STAMP, PROTOCOLS = "frame.time_epoch", "frame.protocols"
STATES = [f"{protocol}.checksum.status" for protocol in CHECKSUMS]

REASONS = {
    "http": {"forwarded", "reversed"},
    "tls": {"forwarded", "reversed"},
    "dns": {"forwarded", "reversed"},
    "dns-cooked": {"forwarded", "reversed"},
    "dns-cooked2": {"forwarded", "reversed"},
    "large-udp": {"forwarded", "reversed", "fragment_forwarded", "fragment_reversed"},
    "icmp-errors": {"forwarded", "reversed", "icmp_forwarded", "icmp_reversed"},
    "path-mtu": {"forwarded", "reversed", "icmp_reversed"},
    "rejects": {"reject_no_endpoint", "no_endpoint", "no_local_endpoint"},
    "echo": {"echo_answered"},
    "echo-dropped": {"echo_dropped"},
    "unknown-port": set(),
    "unknown-port-dropped": {"unknown_port"},
    "unknown-port-rejected": {"reject_unknown_port"},
    "time-outs": {"forwarded", "reversed"},
    "sctp": {"forwarded", "reversed", "sctp_port"},
    "headers": {"forwarded"},
    "malformed": {"malformed_ip", "malformed_transport"},
    "not-ours": {"forwarded", "reversed"},
    "same-port": {"forwarded", "reversed"},
    "hairpin": {"forwarded", "reversed"},
    "super-packets": {"forwarded", "reversed"},
}
"""What each capture is there for, beside packets that are none of tcnat's business."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """All files in one, so that tshark starts once."""
    files = [file for case in CASES for file in (case.capture, case.golden)]
    together = tmp_path_factory.mktemp("captures") / "all.pcapng"
    run(["mergecap", "-a", "-F", "pcapng", "-w", together, *files])
    rows = iter(read_fields(together, [STAMP, PROTOCOLS, *STATES]))
    found = {file: list(islice(rows, len(read_packets(file)[1]))) for file in files}
    assert next(rows, None) is None
    return found


@every_case
def test_what_leaves_is_the_golden_answer(case: Case, tmp_path: Path, told: Told) -> None:
    out = tmp_path / "out.pcap"
    done = replay(case, "-o", "json", "--expect", case.golden, "--out", out)
    *packets, summary, comparison = (json.loads(line) for line in done.output.splitlines())
    assert done.code == 0, comparison
    assert comparison["comparison"]["equal"] == len(told[case.golden])
    assert out.read_bytes() == case.golden.read_bytes()
    assert [packet["packet"] for packet in packets] == list(range(1, len(told[case.capture]) + 1))
    assert_reasons(case, packets, summary["summary"])


def assert_reasons(case: Case, packets: list[Any], summary: Any) -> None:
    """Packets became what the capture is there for, and the sums are of the packets."""
    own = {"untouched", "not_ip", "not_a_clients"}
    assert {packet["reason"] for packet in packets} - own == REASONS[case.name.rpartition("-ipv")[0]]
    counted = Counter(packet["reason"] for packet in packets)
    grouped: Counter[str] = Counter()
    for group in summary["groups"]:
        grouped[group["reason"]] += group["packets"]
    assert counted == grouped


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if "ipv4" in case.name else pytest.mark.slow, id=case.name) for case in CASES],
)
def test_devices_give_the_same_as_test_runs(case: Case) -> None:
    done = replay(case, "-o", "summary", "--expect", case.golden, "--through", "veth")
    assert done.code == 0, done.output


@every_case
def test_what_leaves_has_good_checksums_and_the_stamps_of_what_came(case: Case, told: Told) -> None:
    """The golden answer is what ``--out`` writes, byte for byte."""
    before, after = told[case.capture], told[case.golden]
    assert not Counter(row[STAMP] for row in after) - Counter(row[STAMP] for row in before)
    assert bad_checksums(after) <= bad_checksums(before)


def bad_checksums(rows: list[Row]) -> set[tuple[str, ...]]:
    """Time stamp and states of the packets in which tshark finds a bad checksum. (It also looks at what an ICMP error
    quotes, and takes a TCP checksum for bad of which not all data is quoted: such packets come like that.)"""
    return {
        tuple(row[name] for name in (STAMP, *STATES))
        for row in rows
        if any("0" in row[name].split(",") for name in STATES)
    }


def test_tshark_has_judged_checksums_of_every_kind(told: Told) -> None:
    judged = {name for rows in told.values() for row in rows for name in STATES if "1" in row[name].split(",")}
    assert judged == set(STATES)


def test_golden_answers_are_what_the_recordings_and_builders_say() -> None:
    """They change by ``make captures`` alone."""
    assert [line for case in CASES for _, lines in regenerate.changes(case).values() for line in lines] == []


def test_the_captures_have_every_kind_of_traffic_in_them(told: Told) -> None:
    found = {protocol for rows in told.values() for row in rows for protocol in row[PROTOCOLS].split(":")}
    assert {"http", "dns", "tls", "tcp", "udp", "icmp", "icmpv6", "ipv6", "ip", "sctp", "arp", "sll"} <= found


def test_the_captures_are_small() -> None:
    files = {file for case in CASES for file in (case.capture, case.golden, case.recording) if file}
    assert sum(file.stat().st_size for file in files) < 2 << 20
