"""Endpoints and Services come and go while sockets are open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tcnat.layout import Family
from tests.lab.clients import Tcp
from tests.lab.lab import Host
from tests.lab.stage import ECHO, ECHO_PORT, Stage


def host_of(scene: Stage, role: str) -> Host:
    return next(host for host in scene.backends if host.role == role)


def others(scene: Stage, role: str) -> list[Host]:
    return [host for host in scene.backends if host.role != role]


def test_an_open_connection_stays_when_its_endpoint_goes(scene: Stage, family: Family) -> None:
    service = scene.service()
    with scene.tcp(service, family) as connection:
        scene.agent.put(service.with_endpoints(host.addresses for host in others(scene, connection.server)))
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000
        for _ in range(30):
            with scene.tcp(service, family) as fresh:
                assert fresh.server != connection.server


def test_a_udp_flow_picks_again_with_the_next_datagram(scene: Stage, family: Family) -> None:
    service = scene.service()
    with scene.udp(service, family) as flow:
        first = flow.ask(b"x" * 20)
        scene.agent.put(service.with_endpoints(host.addresses for host in others(scene, first)))
        assert flow.ask(b"x" * 20) != first


def test_most_udp_flows_of_other_backends_stay_where_they_are(scene: Stage, family: Family) -> None:
    service = scene.service()
    flows = [scene.udp(service, family) for _ in range(60)]
    before = [flow.ask(b"x" * 20) for flow in flows]
    scene.agent.put(service.with_endpoints(host.addresses for host in others(scene, "backend1")))
    after = [flow.ask(b"x" * 20) for flow in flows]
    assert "backend1" not in after
    stayed = [old == new for old, new in zip(before, after, strict=True) if old != "backend1"]
    assert all(stayed)
    for flow in flows:
        flow.socket.close()


def test_a_new_endpoint_gets_its_share(scene: Stage, family: Family) -> None:
    service = scene.service(scene.backends[:2])
    scene.agent.put(service.with_endpoints(host.addresses for host in scene.backends))
    servers = set()
    for _ in range(60):
        with scene.tcp(service, family) as connection:
            servers.add(connection.server)
    assert servers == {"backend1", "backend2", "backend3"}


def test_a_replaced_endpoint_is_not_asked_again(scene: Stage, family: Family) -> None:
    service = scene.service([scene.backends[0]])
    with scene.udp(service, family) as flow:
        assert flow.ask(b"x" * 20) == "backend1"
        scene.agent.put(service.with_endpoints([scene.backends[1].addresses]))
        assert flow.ask(b"x" * 20) == "backend2"


def test_an_open_connection_outlives_its_service(scene: Stage, family: Family) -> None:
    service = scene.service()
    with scene.tcp(service, family) as connection:
        scene.agent.remove(service)
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000
        with pytest.raises(OSError, match="unreachable"):
            Tcp(scene.client, service.addresses, family, ECHO_PORT)


def test_a_udp_flow_does_not_outlive_its_service(scene: Stage, family: Family) -> None:
    """Though its backend does, in another Service."""
    scene.service()
    service = scene.service()
    with scene.udp(service, family) as flow:
        server = flow.ask(b"x" * 20)
        heard = scene.echoes[server].seen.total()
        scene.agent.remove(service)
        flow.send(b"x" * 20)
        flow.socket.settimeout(0.3)
        with pytest.raises(OSError, match=r"timed out|unreachable"):
            flow.receive()
        assert scene.echoes[server].seen.total() == heard


def test_a_service_that_comes_back_on_other_endpoints_serves(scene: Stage, family: Family) -> None:
    service = scene.service([scene.backends[0]])
    with scene.tcp(service, family) as connection:
        scene.agent.remove(service)
        scene.agent.put(service.with_endpoints([scene.backends[1].addresses]))
        assert connection.echo(b"hello") == b"hello"
        with scene.tcp(service, family) as fresh:
            assert fresh.server == "backend2"


def test_a_service_that_changes_its_port_answers_there_alone(scene: Stage, family: Family) -> None:
    service = scene.service()
    moved = replace(service, ports=tuple(replace(port, port=ECHO_PORT + 1) for port in ECHO))
    scene.agent.put(moved)
    with Tcp(scene.client, service.addresses, family, ECHO_PORT + 1) as connection:
        assert connection.server in scene.echoes
    with pytest.raises(OSError, match="unreachable"):
        Tcp(scene.client, service.addresses, family, ECHO_PORT)
