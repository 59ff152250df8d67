"""Every format and link type, whole packets and parts of them: the same answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from scapy.layers.l2 import CookedLinux, CookedLinuxV2

from tests.captures.catalogue import OBJECTS, Case, cases, read_packets
from tests.captures.files import Port, Shot, pcap, pcapng
from tests.captures.replaying import run
from tests.captures.tshark import read_fields
from tests.lab.commands import run as run_program

pytestmark = pytest.mark.root
CASES = {case.name: case for case in cases()}
DNS, DNS6, HTTP = CASES["dns-ipv4"], CASES["dns-ipv6"], CASES["http-ipv4"]
ETHERNET = 14


def ip_packets(file: Path) -> list[Shot]:
    """The IP packets of an Ethernet capture, without their link header."""
    _, shots = read_packets(file)
    return [shot._replace(data=shot.data[ETHERNET:], length=None) for shot in shots if shot.data[12:13] in b"\x08\x86"][
        2:
    ]


def cooked(data: bytes) -> bytes:
    return bytes(CookedLinux(proto=0x0800 if data[0] >> 4 == 4 else 0x86DD)) + data


def cooked2(data: bytes) -> bytes:
    return bytes(CookedLinuxV2(proto=0x0800 if data[0] >> 4 == 4 else 0x86DD, ifindex=3)) + data


FORMATS = {
    "pcap, little-endian, microseconds": (lambda shots: pcap(shots, link_type=101), None),
    "pcap, big-endian, nanoseconds": (lambda shots: pcap(shots, ">", nano=True, link_type=101), None),
    "pcap, Linux cooked v1": (lambda shots: pcap(shots, link_type=113), cooked),
    "pcap, Linux cooked v2": (lambda shots: pcap(shots, link_type=276), cooked2),
    "pcapng, big-endian": (lambda shots: pcapng(shots, [Port(101, 9)], ">"), None),
    "pcapng, three interfaces": (
        lambda shots: pcapng(
            [shot._replace(interface=number % 3) for number, shot in enumerate(shots)],
            [Port(101, 6), Port(101, 9), Port(101, 3, 1_600_000_000)],
        ),
        None,
    ),
    "gzip": (lambda shots: gzip.compress(pcap(shots, nano=True, link_type=101)), None),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("case", [DNS, DNS6], ids=lambda case: case.name)
def test_every_format_gives_the_same(name: str, case: Case, tmp_path: Path) -> None:
    build, link = FORMATS[name]
    files = []
    for file in (case.capture, case.golden):
        shots = ip_packets(file)
        if link is not None:
            shots = [shot._replace(data=link(shot.data)) for shot in shots]
        files.append(tmp_path / file.name)
        files[-1].write_bytes(build(shots))
    capture, golden = files
    out = tmp_path / ("out.gz" if name == "gzip" else "out")
    done = run(capture, "--objects", OBJECTS, "-o", "summary", "--expect", golden, "--out", out)
    assert done.code == 0, done.output
    assert opened(out) == opened(golden)
    names = ["frame.time_epoch", "frame.protocols", "ip.src", "ip.dst"]
    assert read_fields(out, names) == read_fields(golden, names)


def opened(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


@pytest.mark.parametrize("family", [4, 6])
def test_raw_ip_of_one_family(family: int, tmp_path: Path) -> None:
    case = CASES[f"dns-ipv{family}"]
    link_type = 228 if family == 4 else 229
    for file in (case.capture, case.golden):
        (tmp_path / file.name).write_bytes(pcap(ip_packets(file), link_type=link_type))
    done = run(tmp_path / case.capture.name, "--objects", OBJECTS, "--expect", tmp_path / case.golden.name)
    assert done.code == 0, done.output


def test_what_editcap_writes_is_read(tmp_path: Path) -> None:
    for kind in ("pcap", "nsecpcap", "pcapng"):
        files = []
        for file in (HTTP.capture, HTTP.golden):
            files.append(tmp_path / f"{file.stem}.{kind}")
            run_program(["editcap", "-F", kind, file, files[-1]])
        assert run(files[0], "--objects", OBJECTS, "--expect", files[1], "-o", "summary").code == 0


@pytest.mark.parametrize("snap_length", [96, 54])
def test_packets_captured_in_part_become_what_whole_ones_become(snap_length: int, tmp_path: Path) -> None:
    for file in (HTTP.capture, HTTP.golden):
        run_program(["editcap", "-F", "pcap", "-s", str(snap_length), file, tmp_path / file.name])
    out = tmp_path / "out.pcap"
    capture, golden = tmp_path / HTTP.capture.name, tmp_path / HTTP.golden.name
    done = run(capture, "--objects", OBJECTS, "--expect", golden, "--out", out, "-o", "json")
    told = [json.loads(line) for line in done.output.splitlines()][:-2]
    cut = {packet["packet"] for packet in told if packet["reason"] == "cut_off"}
    lengths = frame_lengths(HTTP.capture)
    if snap_length == 96:
        assert (done.code, cut) == (0, set()), done.output
        assert out.read_bytes() == golden.read_bytes()
    else:  # too short for TCP with its options: nothing is guessed
        assert {packet["verdict"] for packet in told} == {"pass"}
        assert len(cut) == 28, "every TCP packet with options"
        assert out.read_bytes() == capture.read_bytes()
    assert frame_lengths(out) == lengths


def frame_lengths(file: Path) -> list[int]:
    """On the wire."""
    return [int(row["frame.len"]) for row in read_fields(file, ["frame.len"])]
