"""A link with a smaller MTU on the way to the backends: its router's ICMP errors are about backends, and the
client must hear of its Service."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.clients import IP_MTU_DISCOVER, IP_PMTUDISC_DO, IPV6_DONTFRAG, IPV6_MTU_DISCOVER, path_mtu
from tests.lab.commands import wait_until
from tests.lab.stage import Stage, stage

NARROW = 1300


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def narrow(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Lab(backends=2, pods=request.param, narrow=NARROW) as lab, stage(lab) as made:
        yield made


def test_a_connection_learns_the_path_mtu(narrow: Stage, family: Family) -> None:
    data = os.urandom(300_000)
    with narrow.tcp(narrow.service(), family) as connection:
        assert connection.echo(data) == data
        assert path_mtu(connection.socket) == NARROW


def forbid_fragments(connected: socket.socket) -> None:
    if connected.family == socket.AF_INET:
        connected.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    else:
        connected.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)
        connected.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)


def test_a_udp_flow_learns_the_path_mtu(narrow: Stage, family: Family) -> None:
    with narrow.udp(narrow.service(), family) as flow:
        forbid_fragments(flow.socket)
        flow.send(b"x" * 1400)
        wait_until(lambda: path_mtu(flow.socket) == NARROW, "the path MTU")
        assert flow.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.EMSGSIZE)
        with pytest.raises(OSError, match="Message too long"):
            flow.send(b"x" * 1400)
        assert flow.ask(b"x" * 1200) in narrow.echoes


def test_large_datagrams_pass_once_the_path_is_known(narrow: Stage, family: Family) -> None:
    """The first ones are lost: each end must learn the path MTU from an ICMP error, and UDP sends nothing again."""
    data = os.urandom(30_000)
    with narrow.udp(narrow.service(), family) as flow:
        flow.socket.settimeout(0.3)

        def comes_back() -> bool:
            try:
                return flow.ask(data) in narrow.echoes
            except OSError:
                return False

        wait_until(comes_back, "an answer of 30,000 bytes", timeout=5)
