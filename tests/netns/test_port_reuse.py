"""One source port in several conversations at once that end at one backend: each gets its own answers."""

from __future__ import annotations

import itertools

from tcnat.layout import Family
from tests.lab.clients import Tcp, Udp
from tests.lab.echo import NAME_BYTES
from tests.lab.stage import Stage

_ports = itertools.count(21_000)  # none that the kernel gives away


def assert_each_connection_gets_its_own(one: Tcp, other: Tcp) -> None:
    for _ in range(3):
        assert one.echo(b"one" * 1000) == b"one" * 1000
        assert other.echo(b"other" * 1000) == b"other" * 1000


def assert_each_flow_gets_its_own(one: Udp, other: Udp, size: int = 100) -> None:
    for _ in range(3):
        one.send(b"1" * size)
        other.send(b"2" * size)
        assert other.receive()[1] == b"2" * (size - NAME_BYTES)
        assert one.receive()[1] == b"1" * (size - NAME_BYTES)


def test_tcp_to_two_services_that_share_a_backend(scene: Stage, family: Family) -> None:
    first, second = scene.service([scene.backends[0]]), scene.service([scene.backends[0]])
    port = next(_ports)
    with scene.tcp(first, family, port) as one, scene.tcp(second, family, port) as other:
        assert_each_connection_gets_its_own(one, other)


def test_tcp_to_a_service_and_then_straight_to_its_backend(scene: Stage, family: Family) -> None:
    service, port = scene.service([scene.backends[0]]), next(_ports)
    with scene.tcp(service, family, port) as one, scene.tcp_to_backend(scene.backends[0], family, port) as other:
        assert_each_connection_gets_its_own(one, other)


def test_tcp_straight_to_a_backend_and_then_to_its_service(scene: Stage, family: Family) -> None:
    service, port = scene.service([scene.backends[0]]), next(_ports)
    with scene.tcp_to_backend(scene.backends[0], family, port) as one, scene.tcp(service, family, port) as other:
        assert_each_connection_gets_its_own(one, other)


def test_udp_to_two_services_that_share_a_backend(scene: Stage, family: Family) -> None:
    first, second = scene.service([scene.backends[0]]), scene.service([scene.backends[0]])
    port = next(_ports)
    with scene.udp(first, family, port) as one, scene.udp(second, family, port) as other:
        assert_each_flow_gets_its_own(one, other)


def test_udp_to_a_service_and_then_straight_to_its_backend(scene: Stage, family: Family) -> None:
    service, port = scene.service([scene.backends[0]]), next(_ports)
    with scene.udp(service, family, port) as one, scene.udp_to_backend(scene.backends[0], family, port) as other:
        assert_each_flow_gets_its_own(one, other)


def test_udp_straight_to_a_backend_and_then_to_its_service(scene: Stage, family: Family) -> None:
    service, port = scene.service([scene.backends[0]]), next(_ports)
    with scene.udp_to_backend(scene.backends[0], family, port) as one, scene.udp(service, family, port) as other:
        assert_each_flow_gets_its_own(one, other)


def test_large_datagrams_from_one_port_to_two_services_do_not_mix(scene: Stage, family: Family) -> None:
    first, second = scene.service([scene.backends[0]]), scene.service([scene.backends[0]])
    port = next(_ports)
    with scene.udp(first, family, port) as one, scene.udp(second, family, port) as other:
        assert_each_flow_gets_its_own(one, other, 20_000)
