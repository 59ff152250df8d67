"""``tcnat replay`` as a command: formats, broken captures, differences, exit codes, what it says and where."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from scapy.layers.inet import IP, TCP

from tests.captures.catalogue import OBJECTS, cases, read_packets
from tests.captures.files import Shot, pcap
from tests.captures.replaying import REPOSITORY, replay, run, run_process

pytestmark = pytest.mark.root
CASES = {case.name: case for case in cases()}
DNS, DNS6, HTTP = CASES["dns-ipv4"], CASES["dns-ipv6"], CASES["http-ipv4"]
ETHERNET = 14


def test_a_capture_that_is_cut_off_is_replayed_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = HTTP.capture.read_bytes()
    broken, out, report = tmp_path / "broken.pcap", tmp_path / "out.pcap", tmp_path / "junit.xml"
    broken.write_bytes(whole[:-10])
    done = run(broken, "--objects", OBJECTS, "-o", "summary", "--out", out, "--junit", report)
    count = len(read_packets(HTTP.capture)[1])
    last = len(read_packets(HTTP.capture)[1][-1].data)
    assert done.code == 2
    assert done.output.startswith(f"{count - 1} packets over ")
    offset = len(whole) - last
    assert done.errors == (
        f"tcnat: {broken}: broken at byte {offset}: "
        f"the file ends after {last - 10} of the {last} bytes of packet {count}\n"
    )
    assert HTTP.golden.read_bytes().startswith(out.read_bytes())
    assert len(read_packets(out)[1]) == count - 1
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("errors"), suite.get("failures")) == ("1", "0")


def test_a_golden_capture_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "golden.pcap"
    broken.write_bytes(HTTP.golden.read_bytes()[:-10])
    done = replay(HTTP, "-o", "summary", "--expect", broken)
    assert done.code == 2
    assert f"{broken}: broken at byte " in done.errors


def test_differences_are_told_in_words_and_end_in_1(tmp_path: Path) -> None:
    link_type, shots = read_packets(DNS.golden)
    packet = IP(shots[4].data[ETHERNET:])
    packet.dst = "10.2.1.3"
    changed = shots[4]._replace(data=shots[4].data[:ETHERNET] + bytes(packet))
    golden, report = tmp_path / "golden.pcap", tmp_path / "junit.xml"
    golden.write_bytes(pcap([*shots[:4], changed, *shots[6:], shots[5]], nano=True, link_type=link_type))
    done = replay(DNS, "-o", "summary", "--expect", golden, "--junit", report)
    assert done.code == 1
    heading = done.output.index("packet 5 at ")
    words = done.output[heading:]
    assert "rewrite forwarded, 10.96.0.11:53/UDP of lab/dns:udp) differs from packet 5 of" in words.splitlines()[0]
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in words.splitlines()]
    assert ["IP destination address", "10.2.1.2 (backend of lab/alias and 2 more)", "10.2.1.3"] in rows
    assert "packet 6 at " in words
    assert "is not expected:" in words
    assert f"packet {len(shots)} of {golden} is missing" in words
    assert done.output.splitlines()[-1].startswith(f"3 differences from {golden}: 1 changed, 1 missing, 1 extra")
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("2", "0", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "IP destination address" in (failure.text or "")


def test_only_as_many_differences_are_shown_as_asked_for() -> None:
    done = replay(DNS, "-o", "summary", "--expect", DNS.capture, "--differences", "2")
    assert done.code == 1
    assert done.output.count(" differs from packet ") == 2
    assert done.output.splitlines()[-1].startswith("18 differences from ")


def test_a_golden_capture_that_the_replay_itself_wrote_is_equal(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    case = CASES["same-port-ipv4"]
    assert replay(case, "--out", out).code == 0
    assert replay(case, "--expect", out).code == 0


def test_the_same_replay_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for case in (CASES["same-port-ipv6"], CASES["rejects-ipv4"]):
        outs = [tmp_path / "one", tmp_path / "two"]
        for out in outs:
            replay(case, "--out", out)
        assert outs[0].read_bytes() == outs[1].read_bytes()


def test_a_flood_of_rejects_is_limited_by_the_clock_of_the_capture(tmp_path: Path) -> None:
    """A thousand a second: of 3,000 SYNs in half a second at most what a full bucket and half a second give."""
    link_type, (syn, *_) = read_packets(CASES["rejects-ipv4"].capture)
    flood = [Shot(syn.time + number * 166_666, syn.data) for number in range(3000)]
    capture = tmp_path / "flood.pcap"
    capture.write_bytes(pcap(flood, nano=True, link_type=link_type))
    done = run(capture, "--objects", OBJECTS, "-o", "json")
    told = Counter(json.loads(line)["reason"] for line in done.output.splitlines()[:-1])
    assert set(told) == {"reject_no_endpoint", "reject_limited"}
    assert 1000 <= told["reject_no_endpoint"] <= 1600
    slow = [Shot(syn.time + number * 10_000_000, syn.data) for number in range(3000)]
    capture.write_bytes(pcap(slow, nano=True, link_type=link_type))
    done = run(capture, "--objects", OBJECTS, "-o", "json")
    assert {json.loads(line)["reason"] for line in done.output.splitlines()[:-1]} == {"reject_no_endpoint"}


def test_clients_and_directions(tmp_path: Path) -> None:
    def told(*options: str) -> dict[str, int]:
        lines = replay(DNS, "-o", "json", *options).output.splitlines()
        return Counter(json.loads(line)["reason"] for line in lines[:-1])

    usual = told()
    assert usual == {"forwarded": 10, "reversed": 8, "not_ip": 2}
    assert told("--client", "10.1.0.2") == usual
    assert told("--client", "10.1.0.0/16", "fd01::/64") == usual
    assert told("--client", "10.1.0.3") == {"not_a_clients": 18, "not_ip": 2}
    assert told("--direction", "egress") == {"forwarded": 10, "untouched": 8, "not_ip": 2}
    assert told("--direction", "ingress") == {"untouched": 18, "not_ip": 2}
    assert told("--client", "10.0.0.0/8") == usual, "client and backend: each packet leaves one and enters the other"


def test_standard_input(tmp_path: Path) -> None:
    done = run_process(
        "-", "--objects", OBJECTS, "-o", "summary", "--expect", DNS.golden, data=DNS.capture.read_bytes()
    )
    assert (done.code, done.errors) == (0, "")
    done = run_process(
        DNS.capture, "--objects", "-", "-o", "summary", "--expect", DNS.golden, data=OBJECTS.read_bytes()
    )
    assert (done.code, done.errors) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gone.pcap", "--objects", OBJECTS], 2, "gone.pcap: cannot be read: No such file or directory"),
        ([DNS.capture], 2, "Missing option '--objects'"),
        ([DNS.capture, "--objects", "gone.yaml"], 3, "gone.yaml: No such file or directory"),
        ([OBJECTS, "--objects", OBJECTS], 2, "neither pcap nor pcapng (it begins with 23 20 57 68)"),
        ([DNS.capture, "--objects", DNS.capture], 3, "dns-ipv4.pcap"),
        ([DNS.capture, "--objects", OBJECTS, "--client", "10.0.0.0/33"], 2, "--client 10.0.0.0/33: "),
        ([DNS.capture, "--objects", OBJECTS, "--client", "::1", "--direction", "egress"], 2, "exclude each other"),
        (["-", "--objects", "-"], 2, "standard input cannot be both"),
        ([DNS.capture, "--objects", OBJECTS, "--out", DNS.capture], 2, "would overwrite what is read"),
        ([DNS.capture, "--objects", OBJECTS, "--expect", "gone.pcap"], 2, "gone.pcap: cannot be read"),
        ([DNS.capture, "--objects", OBJECTS, "--out", "/gone/out.pcap"], 3, "--out /gone/out.pcap: cannot be written"),
        ([DNS.capture, "--objects", OBJECTS, "--junit", "/gone/junit.xml"], 3, "--junit /gone/junit.xml: cannot be"),
    ],
)
def test_what_a_person_got_wrong_is_told_in_a_line(arguments: list[str | Path], code: int, words: str) -> None:
    done = run(*arguments)
    assert done.code == code
    assert words in done.errors
    assert "Traceback" not in done.errors


def test_an_unknown_link_type_is_told_with_its_offset(tmp_path: Path) -> None:
    capture = tmp_path / "wifi.pcap"
    capture.write_bytes(pcap([Shot(1, b"beacon")], link_type=105))
    done = run(capture, "--objects", OBJECTS)
    assert done.code == 2
    assert "broken at byte 24: packet 1 has link type 105; replay knows Ethernet (1), raw IP (101)" in done.errors


def test_without_root_the_missing_right_is_named() -> None:
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m", "tcnat", "replay", str(DNS.capture)]
    done = subprocess.run([*command, "--objects", OBJECTS], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 3
    assert "Run as root" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_pipe_that_closes_early_is_no_traceback() -> None:
    command = f"{sys.executable} -m tcnat replay {HTTP.capture} --objects {OBJECTS} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.stdout.startswith("PACKET")
    assert done.stderr == ""


def test_progress_is_shown_on_a_terminal_only() -> None:
    command = [sys.executable, "-m", "tcnat", "replay", str(HTTP.capture), "--objects", str(OBJECTS), "-o", "summary"]
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=secondary, cwd=REPOSITORY)
    os.close(secondary)
    output, _ = process.communicate()
    shown = b""
    while True:
        try:
            shown += os.read(primary, 4096)
        except OSError:  # all that was written has been read
            break
    os.close(primary)
    assert process.returncode == 0
    assert b"100%" in shown
    assert output.startswith(b"34 packets over ")
    assert run_process(HTTP.capture, "--objects", OBJECTS, "-o", "summary").errors == ""


def test_tcp_payloads_are_untouched(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    replay(HTTP, "--out", out)
    before, after = (
        [
            bytes(TCP(shot.data[ETHERNET + 20 :]).payload)
            for shot in read_packets(file)[1]
            if shot.data[23:24] == b"\x06"
        ]
        for file in (HTTP.capture, out)
    )
    assert before == after
    assert sum(map(len, after)) > 10_000
