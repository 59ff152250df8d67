"""Services without endpoints, ports that a Service does not have, and echo requests to a Service's address."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoRequest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.clients import Tcp, open_socket
from tests.lab.objects import Service
from tests.lab.stage import Stage, stage

AT_ONCE = 0.5
"""Seconds; a SYN that gets no answer is sent again after 1."""


@pytest.fixture(scope="module", params=[0, 2], ids=["network-facing", "workload-facing"])
def strict(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The agent told to reject unknown ports."""
    with Lab(backends=1, pods=request.param) as lab, stage(lab, ["--unknown-port=reject"]) as made:
        yield made


def assert_refused_at_once(scene: Stage, service: Service, family: Family, port: int = 7) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        Tcp(scene.client, service.addresses, family, port)
    assert time.monotonic() - began < AT_ONCE


def test_a_connection_is_refused_at_once(scene: Stage, family: Family) -> None:
    assert_refused_at_once(scene, scene.service([]), family)


def test_a_datagram_is_answered_by_an_error(scene: Stage, family: Family) -> None:
    with scene.udp(scene.service([]), family) as flow:
        flow.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            flow.receive()


def test_a_large_datagram_is_dropped_not_leaked(scene: Stage, family: Family) -> None:
    with scene.udp(scene.service([]), family) as flow:
        flow.socket.settimeout(0.3)
        flow.send(b"x" * 5000)
        with pytest.raises(TimeoutError):
            flow.receive()


def test_the_first_endpoint_serves_at_once(scene: Stage, family: Family) -> None:
    service = scene.service([])
    with scene.udp(service, family) as flow:
        flow.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            flow.receive()
        scene.agent.put(service.with_endpoints([scene.backends[0].addresses]))
        assert flow.ask(b"x" * 20) == "backend1"
    with scene.tcp(service, family) as connection:
        assert connection.server == "backend1"


def test_a_service_that_loses_its_last_endpoint_refuses(scene: Stage, family: Family) -> None:
    service = scene.service()
    scene.tcp(service, family).socket.close()
    scene.agent.put(service.with_endpoints([]))
    assert_refused_at_once(scene, service, family)


def test_a_udp_flow_hears_that_the_last_endpoint_has_gone(scene: Stage, family: Family) -> None:
    """Though its backend still serves another Service."""
    scene.service()
    service = scene.service()
    with scene.udp(service, family) as flow:
        flow.ask(b"x" * 20)
        scene.agent.put(service.with_endpoints([]))
        flow.send(b"x" * 20)
        with pytest.raises(ConnectionRefusedError):
            flow.receive()


def test_an_unknown_port_is_refused_where_that_is_wanted(strict: Stage, family: Family) -> None:
    service = strict.service()
    assert_refused_at_once(strict, service, family, port=81)
    with strict.tcp(service, family) as connection:
        assert connection.server == "backend1"


def test_an_echo_request_is_answered(scene: Stage, family: Family) -> None:
    address = scene.service([]).addresses.of(family)
    data = b"is it there?"
    with scene.client.entered():
        if family is Family.IPV4:
            pinger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            request = bytes(ICMP(id=77, seq=1) / data)
        else:
            pinger = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            request = bytes(ICMPv6EchoRequest(id=77, seq=1, data=data))
    with pinger:
        pinger.settimeout(5)
        pinger.sendto(request, (address, 0))
        while True:
            answer, sender = pinger.recvfrom(1500)
            if answer.endswith(request[4:]) and sender[0] == address:
                break
    kind = answer[20] if family is Family.IPV4 else answer[0]
    assert kind == (0 if family is Family.IPV4 else 129)


def test_rejects_do_not_flood(scene: Stage, family: Family) -> None:
    """Of a burst of 5,000 datagrams to nobody, the limit of 1,000 a second and CPU lets some be answered, not all."""
    service = scene.service([])
    refused = 0
    with open_socket(scene.client, family, socket.SOCK_DGRAM) as burst:
        burst.connect((service.addresses.of(family), 7))
        for _ in range(5000):
            try:
                burst.send(b"anybody?")
            except ConnectionRefusedError:
                refused += 1
    assert 0 < refused < 4500
