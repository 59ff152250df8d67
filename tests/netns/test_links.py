"""Devices that are not an ordinary Ethernet: tun, which has no link-layer header, and jumbo frames."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.addresses import SERVICE_NETWORK
from tests.lab.clients import Tcp, Udp
from tests.lab.stage import ECHO_PORT, Stage, stage
from tests.lab.tun import DEVICE, NETWORK, TunWire


@pytest.fixture(scope="module")
def tunnelled() -> Iterator[Stage]:
    """Services lie behind tun0; their backend is the far end of it."""
    with Lab(backends=1) as lab, TunWire(lab.client, lab.backends[0]):
        lab.client.ip(f"route add {SERVICE_NETWORK.v4} dev {DEVICE}", f"route add {SERVICE_NETWORK.v6} dev {DEVICE}")
        with stage(lab, ["--network-device", DEVICE]) as made:
            yield made


def test_tcp_over_tun(tunnelled: Stage, family: Family) -> None:
    service = tunnelled.service_on([NETWORK.far])
    data = os.urandom(200_000)
    with tunnelled.tcp(service, family) as connection:
        assert connection.echo(data) == data


def test_udp_over_tun(tunnelled: Stage, family: Family) -> None:
    service = tunnelled.service_on([NETWORK.far])
    with tunnelled.udp(service, family) as flow:
        for size in (1, 1000, 30_000):
            assert flow.ask(os.urandom(size)) == "backend1"


def test_a_connection_over_tun_to_nobody_is_refused(tunnelled: Stage, family: Family) -> None:
    with pytest.raises(ConnectionRefusedError):
        Tcp(tunnelled.client, tunnelled.service_on([]).addresses, family, ECHO_PORT)


def test_a_datagram_over_tun_to_nobody_is_answered_by_an_error(tunnelled: Stage, family: Family) -> None:
    with Udp(tunnelled.client, tunnelled.service_on([]).addresses, family, ECHO_PORT) as flow:
        flow.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            flow.receive()


def test_a_client_behind_tun_reaches_itself(tunnelled: Stage, family: Family) -> None:
    with tunnelled.tcp(tunnelled.service_on([NETWORK.near]), family) as connection:
        assert connection.echo(b"x" * 50_000) == b"x" * 50_000


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def jumbo(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Lab(backends=2, pods=request.param, mtu=9000) as lab, stage(lab) as made:
        yield made


def test_jumbo_frames_carry_connections(jumbo: Stage, family: Family) -> None:
    data = os.urandom(500_000)
    with jumbo.tcp(jumbo.service(), family) as connection:
        assert connection.echo(data) == data


def test_jumbo_frames_carry_datagrams(jumbo: Stage, family: Family) -> None:
    with jumbo.udp(jumbo.service(), family) as flow:
        assert flow.ask(os.urandom(8900)) in jumbo.echoes
