"""Servers and clients that others wrote, through Services, with captures of both sides that tshark finds nothing
wrong in."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tcnat.layout import Family
from tests.lab import Host, Lab
from tests.lab.agent import Agent
from tests.lab.capture import Capture, Tap
from tests.lab.commands import wait_until
from tests.lab.load import dns_requests, web_requests
from tests.lab.objects import Port, Service
from tests.lab.servers import (
    DNS_PORT,
    IPERF_PORT,
    NAME,
    WEB_PORT,
    Web,
    start_dns,
    start_iperf,
    start_socat,
)

SOCAT_PORT = 7200
FILE = os.urandom(1_000_000)
ROLES = {"backend1", "backend2", "backend3"}

WEB = Service(1, (Port("http", 80, WEB_PORT),))
DNS = Service(2, (Port("dns", 53, DNS_PORT, "UDP"), Port("dns-tcp", 53, DNS_PORT, "TCP")))
IPERF = Service(3, (Port("tcp", 5000, IPERF_PORT, "TCP"), Port("udp", 5000, IPERF_PORT, "UDP")))
SOCAT = Service(4, (Port("tcp", 80, SOCAT_PORT, "TCP"), Port("udp", 80, SOCAT_PORT, "UDP")))
SCTP = Service(5, (Port("sctp", SOCAT_PORT, SOCAT_PORT, "SCTP"),))
"""tcnat changes no port of SCTP's, so the Service has its backends'."""


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """All servers on all backends. Checksum offload is off, so that captures show what is really sent."""
    with Lab(pods=request.param, offloads=False) as made:
        (made.files / "file").write_bytes(FILE)
        for host in made.backends:
            serve(made, host)
        Tap(made.client)
        services = [
            service.with_endpoints(host.addresses for host in made.backends) for service in (WEB, DNS, SOCAT, SCTP)
        ]
        Agent(made, [*services, IPERF.with_endpoints([made.backends[0].addresses])])
        yield made


def serve(lab: Lab, host: Host) -> None:
    Web(lab, host)
    start_dns(lab, host)
    start_iperf(lab, host)
    for protocol in ("TCP6", "UDP6"):
        listener = f"{protocol}-LISTEN:{SOCAT_PORT},fork,reuseaddr,ipv6-v6only=0"
        start_socat(lab, host, listener, "EXEC:cat", SOCAT_PORT)


@pytest.fixture(scope="module", autouse=True)
def captures(lab: Lab) -> Iterator[None]:
    """All that the tests of this module send is captured on both sides, and judged when they are done."""
    taken = [Capture(lab, lab.client, Tap.device), *(Capture(lab, host) for host in lab.backends)]
    with ExitStack() as stack:
        for capture in taken:
            stack.enter_context(capture)
        yield
    for capture in taken:
        capture.assert_checksums_good()


def test_curl_gets_answers_of_every_nginx(lab: Lab, family: Family) -> None:
    counts = web_requests(lab.client, WEB.addresses, family, 80, 60)
    assert set(counts) == ROLES


def test_curl_downloads_a_file_unharmed(lab: Lab, family: Family) -> None:
    target = lab.directory / "downloaded"
    lab.client.run("curl", "-sS", "-o", target, WEB.addresses.url(family, 80, "/files/file"))
    assert target.read_bytes() == FILE


def test_curl_keeps_one_connection_for_many_requests(lab: Lab, family: Family) -> None:
    answers = lab.client.run("curl", "-sS", WEB.addresses.url(family, 80, "/?[1-20]")).split()
    assert len(answers) == 20
    assert len(set(answers)) == 1


def test_dig_gets_answers_of_every_dnsmasq(lab: Lab, family: Family) -> None:
    assert set(dns_requests(lab.client, DNS.addresses, family, 53, 60)) == ROLES


def test_dig_asks_over_tcp_too(lab: Lab, family: Family) -> None:
    answer = lab.client.run("dig", "+short", "+tcp", f"@{DNS.addresses.of(family)}", NAME, "TXT")
    assert answer.strip().strip('"') in ROLES


def iperf(lab: Lab, family: Family, *words: str) -> dict[str, Any]:
    """What iperf3 reports at the end; its server may need a moment to be done with the client before."""
    report: dict[str, Any] = {}

    def done() -> bool:
        command = ["iperf3", "--client", IPERF.addresses.of(family), "--port", "5000", "--json", *words]
        report.update(json.loads(lab.client.run(*command, check=False)))
        return "busy" not in report.pop("error", "")

    wait_until(done, "iperf3's server to be free", every=0.2)
    end: dict[str, Any] = report["end"]
    return end


@pytest.mark.parametrize("way", [[], ["--reverse"]], ids=["to the server", "from the server"])
def test_iperf3_sends_megabytes(lab: Lab, family: Family, way: list[str]) -> None:
    end = iperf(lab, family, "--bytes", "2M", *way)
    assert end["sum_sent"]["bytes"] >= 2 * 1024 * 1024
    assert end["sum_received"]["bytes"] > 100_000


def test_iperf3_gets_its_datagrams_through(lab: Lab, family: Family) -> None:
    """A busy machine may lose some in a socket's buffer; never most of them."""
    end = iperf(lab, family, "--udp", "--bytes", "500K", "--bitrate", "10M")
    assert end["sum"]["packets"] > 300
    assert end["sum"]["lost_percent"] < 50


def test_nc_talks_to_socat_over_tcp(lab: Lab, family: Family) -> None:
    answer = lab.client.run("nc", "-N", "-w", "5", SOCAT.addresses.of(family), "80", text="hello\n" * 1000)
    assert answer == "hello\n" * 1000


def test_socat_talks_to_socat_over_udp(lab: Lab, family: Family) -> None:
    address = f"UDP4:{SOCAT.addresses.v4}:80" if family is Family.IPV4 else f"UDP6:[{SOCAT.addresses.v6}]:80"
    assert lab.client.run("socat", "-t1", "-", address, text="hello\n" * 100) == "hello\n" * 100


def kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not kernel_has_sctp(), reason="this kernel has no SCTP")
def test_socat_talks_to_socat_over_sctp(lab: Lab, family: Family) -> None:
    version, peer = ("4", SCTP.addresses.v4) if family is Family.IPV4 else ("6", f"[{SCTP.addresses.v6}]")
    servers = [
        lab.start(host, "socat", f"SCTP{version}-LISTEN:{SOCAT_PORT}", "EXEC:cat", log=f"sctp{version}-{host.role}.log")
        for host in lab.backends
    ]
    client = ["socat", "-t1", "-", f"SCTP{version}-CONNECT:{peer}:{SOCAT_PORT},retry=20,interval=0.1"]
    assert lab.client.run(*client, text="hello\n" * 100) == "hello\n" * 100
    for server in servers:
        server.stop()
