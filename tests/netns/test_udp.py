"""UDP to a Service, with sockets of the kernel's on both ends."""

from __future__ import annotations

import os
import socket

import pytest

from tcnat.layout import Family
from tests.lab.clients import open_socket
from tests.lab.commands import wait_until
from tests.lab.echo import NAME_BYTES
from tests.lab.objects import Port, Service
from tests.lab.stage import ECHO_PORT, Stage

SERVER_PORT = 7100
LARGEST = 65_507
"""Bytes of payload that a UDP datagram can have over IPv4."""


@pytest.fixture(scope="module")
def service(scene: Stage) -> Service:
    """A Service on all backends, which the tests of this module share."""
    return scene.service()


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "unconnected"])
@pytest.mark.parametrize("size", [1, 100, 1449, 1473, 9_000, LARGEST])
def test_a_datagram_of_every_size_comes_back_unharmed(
    scene: Stage, service: Service, family: Family, size: int, connected: bool
) -> None:
    """The larger ones in fragments, both ways."""
    with scene.udp(service, family, connected=connected) as flow:
        assert flow.ask(os.urandom(size)) in scene.echoes


def test_an_empty_datagram_arrives(scene: Stage, service: Service, family: Family) -> None:
    with scene.udp(service, family) as flow:
        flow.send(b"")
        assert flow.receive()[0] in scene.echoes


def test_a_flow_stays_with_its_backend(scene: Stage, service: Service, family: Family) -> None:
    with scene.udp(service, family) as flow:
        assert len({flow.ask(b"x" * 50) for _ in range(100)}) == 1


def test_one_unconnected_socket_talks_to_two_services(scene: Stage, family: Family) -> None:
    first, second = scene.service([scene.backends[0]]), scene.service([scene.backends[1]])
    with scene.udp(first, family, connected=False) as flow:
        assert flow.ask(b"x" * 20) == "backend1"
        flow.peer = (second.addresses.of(family), ECHO_PORT)
        assert flow.ask(b"x" * 20) == "backend2"


def test_large_datagrams_of_many_flows_at_once_do_not_mix(scene: Stage, service: Service, family: Family) -> None:
    for backend in scene.backends:  # what waits for a neighbour that is not known yet has little room in the kernel
        with scene.udp_to_backend(backend, family) as known:
            known.ask(b"x" * 20)
    flows = [scene.udp(service, family) for _ in range(8)]
    payloads = [os.urandom(20_000) for _ in flows]
    for flow, payload in zip(flows, payloads, strict=True):
        flow.send(payload)
    for flow, payload in zip(flows, payloads, strict=True):
        assert flow.receive()[1] == payload[NAME_BYTES:]
        flow.socket.close()


def test_a_backend_where_nobody_listens_tells_the_client(scene: Stage, family: Family) -> None:
    """Its ICMP error is about the backend's address; the client must hear of the Service's."""
    service = scene.service([scene.backends[0]], ports=(Port("closed", ECHO_PORT, 9, "UDP"),))
    with scene.udp(service, family) as flow:
        flow.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            flow.receive()


def test_a_client_that_went_away_tells_the_backend(scene: Stage, family: Family) -> None:
    """Its ICMP error is about the Service's address; the backend must hear of its own."""
    backend = scene.backends[0]
    service = scene.service([backend], ports=(Port("raw", ECHO_PORT, SERVER_PORT, "UDP"),))
    with open_socket(backend, family, socket.SOCK_DGRAM, SERVER_PORT) as server:
        with scene.udp(service, family) as flow:
            flow.send(b"hello")
            server.connect(server.recvfrom(100)[1])
        server.send(b"are you there?")
        wait_until(lambda: server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the ICMP error", timeout=2)


def test_a_backend_can_be_reached_without_its_service(scene: Stage, service: Service, family: Family) -> None:
    with scene.udp_to_backend(scene.backends[1], family) as flow:
        assert flow.ask(b"x" * 10_000) == "backend2"
