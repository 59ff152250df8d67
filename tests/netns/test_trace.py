"""Tracing real traffic in a lab: what is shown is what tcpdump and the counters see, and nothing stays switched on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import rdpcap

from tcnat.layout import SETTINGS, Family
from tcnat.loader import open_pinned
from tcnat.trace.switch import tracer
from tests.lab import Lab
from tests.lab.objects import Service
from tests.lab.stage import ECHO_PORT, ECHO_TARGET, Stage, stage

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def traced() -> Iterator[Stage]:
    """A pod VM with the agent on its eth0."""
    with Lab() as lab, stage(lab) as made:
        yield made


def start_trace(traced: Stage, *options: str) -> subprocess.Popen[str]:
    """``tcnat trace`` on the client, once it traces."""
    words = [sys.executable, "-m", "tcnat", "trace", "--pin-path", str(traced.lab.pins), "--seconds", "20", *options]
    process = subprocess.Popen(
        traced.client.command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    loaded = open_pinned(traced.lab.pins)[Family.IPV4]
    while tracer(loaded.maps["settings"]) == 0:
        assert process.poll() is None, process.communicate()
    return process


def talk(traced: Stage, service: Service) -> None:
    """One short TCP conversation over IPv4."""
    with traced.tcp(service, Family.IPV4) as connection:
        connection.echo(b"hello")


def ended(process: subprocess.Popen[str]) -> str:
    """Ctrl-C, and what it printed."""
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    return output


def switched_on(traced: Stage) -> int:
    """What the settings say of tracing."""
    loaded = open_pinned(traced.lab.pins)[Family.IPV4]
    return int(SETTINGS.codec(Family.IPV4).unpack(loaded.maps["settings"].lookup(bytes(4)) or b"")[-1])


def test_a_connection_is_shown_before_and_after_the_rewrite_in_both_directions(traced: Stage) -> None:
    service = traced.service(traced.backends[:1])
    trace = start_trace(traced, "--address", service.addresses.v4, "-o", "json")
    talk(traced, service)
    decisions = [json.loads(line) for line in ended(trace).splitlines()]
    first, second = decisions[:2]
    client, backend = traced.client.addresses.v4, traced.backends[0].addresses.v4
    assert (first["program"], first["verdict"], first["reason"]) == ("tc_egress", "rewrite", "forwarded")
    assert (first["before"]["dst_ip"], first["before"]["dst_port"]) == (service.addresses.v4, ECHO_PORT)
    assert (first["after"]["dst_ip"], first["after"]["dst_port"]) == (backend, ECHO_TARGET)
    assert first["before"]["src_ip"] == first["after"]["src_ip"] == client
    assert (second["program"], second["reason"]) == ("tc_ingress", "reversed")
    assert (second["before"]["src_ip"], second["after"]["src_ip"]) == (backend, service.addresses.v4)
    assert switched_on(traced) == 0


def test_other_traffic_is_not_shown(traced: Stage) -> None:
    asked, other = traced.service(), traced.service()
    trace = start_trace(traced, "--service", f"default/{asked.name}:tcp", "-o", "json")
    talk(traced, other)
    talk(traced, asked)
    addresses = {
        address
        for line in ended(trace).splitlines()
        for side in ("before", "after")
        for address in (json.loads(line)[side]["src_ip"], json.loads(line)[side]["dst_ip"])
    }
    assert asked.addresses.v4 in addresses
    assert other.addresses.v4 not in addresses


def test_the_capture_has_each_packet_before_and_after(traced: Stage, tmp_path: Path) -> None:
    service = traced.service(traced.backends[:1])
    capture = tmp_path / "trace.pcap"
    trace = start_trace(traced, "--address", service.addresses.v4, "--pcap", str(capture))
    talk(traced, service)
    ended(trace)
    packets = rdpcap(str(capture))
    syn, sent_on = packets[0], packets[1]
    assert syn[IP].dst == service.addresses.v4
    assert sent_on[IP].dst == traced.backends[0].addresses.v4
    assert syn[TCP].seq == sent_on[TCP].seq


def test_the_rate_is_kept_in_the_kernel(traced: Stage) -> None:
    service = traced.service()
    trace = start_trace(traced, "--rate", "1", "-o", "json")
    for _ in range(20):
        talk(traced, service)
    assert 1 <= len(ended(trace).splitlines()) < 20


def test_a_second_trace_is_refused_in_one_line(traced: Stage) -> None:
    trace = start_trace(traced)
    words = [sys.executable, "-m", "tcnat", "trace", "--pin-path", str(traced.lab.pins)]
    done = subprocess.run(traced.client.command(words), capture_output=True, text=True, check=False)
    ended(trace)
    assert done.returncode == 1
    assert "traces already" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_trace_that_is_killed_leaves_no_claim(traced: Stage) -> None:
    trace = start_trace(traced)
    os.killpg(trace.pid, signal.SIGKILL)
    trace.wait()
    assert switched_on(traced) != 0
    ended(start_trace(traced))
    assert switched_on(traced) == 0
