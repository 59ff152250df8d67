"""``tcnat replay``: packets a second and memory, over 200,000 packets of clients' conversations."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from .figures import Figure

PACKETS = 200_000
LEAST_RATE, MOST_MEMORY = 20_000, 200
"""Packets a second on one core, and megabytes."""
OBJECTS = """
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "bench"}, "spec": {"clusterIP":
 "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 80, "protocol": "TCP"}]}}
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "web-1", "namespace": "bench",
 "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4", "ports": [{"name": "", "port": 8080,
 "protocol": "TCP"}], "endpoints": [{"addresses": ["10.0.1.2"]}]}
"""


class Measure(NamedTuple):
    """Of one run of the command: seconds that passed, seconds of CPU time, megabytes of resident memory at most."""

    seconds: float
    cpu: float
    memory: float


def conversation() -> list[tuple[bytes, int | None]]:
    """Frames of one HTTP request, and a DNS question that is no Service's; with the offset of the client's port."""
    there = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.96.0.10")
    back = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IP(src="10.0.1.2", dst="10.0.0.1")
    request, reply = TCP(sport=0, dport=80), TCP(sport=8080, dport=0)

    def segment(way: Packet, flags: str, sequence: int, acknowledgement: int, size: int = 0) -> bytes:
        tcp = (request if way is there else reply).copy()
        tcp.flags, tcp.seq, tcp.ack = flags, sequence, acknowledgement
        return bytes(way / tcp / Raw(bytes(size)))

    other = there.copy()
    other[IP].dst = "192.0.2.53"
    return [
        (segment(there, "S", 100, 0), 34),
        (segment(back, "SA", 500, 101), 36),
        (segment(there, "A", 101, 501), 34),
        (segment(there, "PA", 101, 501, 120), 34),
        (segment(back, "A", 501, 221), 36),
        (segment(back, "PA", 501, 221, 1400), 36),
        (segment(there, "FA", 221, 1901), 34),
        (segment(back, "FA", 1901, 222), 36),
        (segment(there, "A", 222, 1902), 34),
        (bytes(other / UDP(sport=5353, dport=53) / Raw(bytes(40))), None),
    ]


def records(count: int) -> Iterator[bytes]:
    """A pcap's header and records; each conversation has its own client port (checksums do not matter here)."""
    frames = conversation()
    yield struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for number in range(count):
        frame, port_at = frames[number % len(frames)]
        if port_at is not None:
            port = 1024 + number // len(frames) % 60000
            frame = frame[:port_at] + port.to_bytes(2, "big") + frame[port_at + 2 :]
        stamp = 1_700_000_000_000_000 + number * 50
        yield struct.pack("<IIII", stamp // 10**6, stamp % 10**6, len(frame), len(frame)) + frame


ASIDE = """
import os, resource, sys, time
told = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
began = time.monotonic()
status = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
os.write(told, b"%d %f %f %f" % (status, seconds, cpu, used.ru_maxrss / 1024))
"""
"""Runs a command and tells its status, seconds, CPU seconds and megabytes. In a small process of its own: what the
kernel tells of a command's most memory is no less than its parent had when it was started."""


def measure(*arguments: str | Path) -> Measure:
    """Run ``tcnat replay`` to its end."""
    command = [sys.executable, "-m", "tcnat", "replay", *map(str, arguments)]
    status, *used = subprocess.check_output([sys.executable, "-S", "-c", ASIDE, *command]).split()
    if int(status) != 0:
        raise SystemExit(f"tcnat replay ended with {int(status)}")
    return Measure(*map(float, used))


def figures(runs: int, packets: int = PACKETS) -> list[Figure]:
    """Rates (the whole command with its start-up; it holds itself on one CPU) and memory."""
    options = {"summary": (), "writing --out": ("--out", "out.pcap"), "comparing --expect": ("--expect", "out.pcap")}
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as directory:
        capture, objects = Path(directory, "capture.pcap"), Path(directory, "objects.json")
        objects.write_text(OBJECTS.lstrip())
        with capture.open("wb") as file:
            file.writelines(records(packets))
        for name, words in options.items():
            given = [Path(directory, word) if word.endswith(".pcap") else word for word in words]
            measures = [measure(capture, "--objects", objects, "-o", "summary", *given) for _ in range(runs)]
            mark = LEAST_RATE if name == "summary" else None
            rates = tuple(packets / each.seconds for each in measures)
            found.append(Figure(f"replay, {name}", "packets/s", rates, at_least=mark))
            found.append(Figure(f"replay, {name}", "packets/CPU s", tuple(packets / each.cpu for each in measures)))
            memory = tuple(each.memory for each in measures)
            found.append(Figure(f"replay, {name}: most memory", "MB", memory, at_most=MOST_MEMORY))
    return found
