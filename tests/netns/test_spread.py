"""Which backend a client gets."""

from __future__ import annotations

import time
from collections import Counter

from tcnat.layout import Family
from tests.lab.objects import Service
from tests.lab.stage import Stage

FLOWS = 600
LEAST, MOST = 150, 250
"""Of 200 expected: more than 4 standard deviations on either side."""


def assert_even(scene: Stage, counts: Counter[str]) -> None:
    assert set(counts) == {host.role for host in scene.backends}
    assert all(LEAST <= count <= MOST for count in counts.values()), counts


def test_connections_spread_over_the_backends(scene: Stage, family: Family) -> None:
    service = scene.service()
    counts: Counter[str] = Counter()
    for _ in range(FLOWS):
        with scene.tcp(service, family) as connection:
            counts[connection.server] += 1
    assert_even(scene, counts)


def test_udp_flows_spread_over_the_backends(scene: Stage, family: Family) -> None:
    service = scene.service()
    counts: Counter[str] = Counter()
    for _ in range(FLOWS):
        with scene.udp(service, family) as flow:
            counts[flow.ask(b"x" * 20)] += 1
    assert_even(scene, counts)


def test_with_affinity_a_client_keeps_its_backend(scene: Stage, family: Family) -> None:
    service = scene.service(affinity_seconds=100)
    servers = set()
    for _ in range(50):
        with scene.tcp(service, family) as connection:
            servers.add(connection.server)
    assert len(servers) == 1


def test_affinity_is_kept_for_each_port_alone(scene: Stage, family: Family) -> None:
    """TCP and UDP of a Service are two service ports: a client's UDP backend is not its TCP backend, in some of 20."""
    differ = []
    for _ in range(20):
        service = scene.service(affinity_seconds=100)
        with scene.tcp(service, family) as connection, scene.udp(service, family) as flow:
            differ.append(connection.server != flow.ask(b"x" * 20))
    assert any(differ)


def server_of(scene: Stage, service: Service, family: Family) -> str:
    with scene.tcp(service, family) as connection:
        return connection.server


def test_affinity_is_refreshed_by_each_connection(scene: Stage, family: Family) -> None:
    """Without that it would end after 2 s at the latest, as the maps count whole seconds."""
    service = scene.service(affinity_seconds=1)
    first = server_of(scene, service, family)
    for _ in range(4):
        time.sleep(0.7)
        assert server_of(scene, service, family) == first


def test_affinity_expires(scene: Stage, family: Family) -> None:
    """A choice made afresh may be the old one; that it is so 12 times out of 12 would be a miracle."""
    services = [scene.service(affinity_seconds=1) for _ in range(12)]
    before = [server_of(scene, service, family) for service in services]
    time.sleep(2.1)
    assert [server_of(scene, service, family) for service in services] != before


def test_affinity_ends_with_its_backend(scene: Stage, family: Family) -> None:
    service = scene.service(affinity_seconds=100)
    with scene.tcp(service, family) as connection:
        first = connection.server
    others = [host for host in scene.backends if host.role != first]
    scene.agent.put(service.with_endpoints(host.addresses for host in others))
    servers = set()
    for _ in range(20):
        with scene.tcp(service, family) as connection:
            servers.add(connection.server)
    assert len(servers) == 1
    assert first not in servers
