"""Pods of one node and of two, joined as CNI plugins join them: requests arrive, and replies find their way back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tcnat.layout import Family
from tests.lab.clients import Tcp, Udp
from tests.lab.cluster import Cluster, cluster
from tests.lab.cni import CNIS
from tests.lab.nodes import Between, Nodes, Pod
from tests.lab.objects import Port, Service
from tests.lab.stage import ECHO_PORT, ECHO_TARGET
from tests.netns.refusals import assert_refused

UPLINK = ("--network-device=eth0",)
SET_UPS = [
    pytest.param(("ptp", Between.ROUTES, ()), id="ptp, routes"),
    pytest.param(("bridge", Between.VXLAN, UPLINK), id="bridge, VXLAN, eth0 served too"),
    pytest.param(("calico", Between.ROUTES, UPLINK), id="calico, routes, eth0 served too"),
    pytest.param(("ptp", Between.VXLAN, ()), id="ptp, VXLAN", marks=pytest.mark.slow),
    pytest.param(("bridge", Between.ROUTES, ()), id="bridge, routes", marks=pytest.mark.slow),
    pytest.param(("bridge-hairpin", Between.VXLAN, ()), id="bridge in hairpin mode, VXLAN", marks=pytest.mark.slow),
    pytest.param(("calico", Between.VXLAN, ()), id="calico, VXLAN", marks=pytest.mark.slow),
]


@dataclass(frozen=True, slots=True)
class Stand:
    """Two nodes and four pods: the client, one beside it on its node, and one on the other node."""

    cluster: Cluster
    client: Pod
    neighbour: Pod
    remote: Pod

    def pod(self, place: str) -> Pod:
        """The pod at that place, as the client sees it."""
        return {"itself": self.client, "same node": self.neighbour, "another node": self.remote}[place]

    def tcp(self, to: Service, family: Family) -> Tcp:
        """The client's connection to a Service."""
        return self.cluster.tcp(self.client, to, family)

    def udp(self, to: Service, family: Family, *, connected: bool = True) -> Udp:
        """A UDP socket of the client's for a Service."""
        return self.cluster.udp(self.client, to, family, connected=connected)


@pytest.fixture(scope="module", params=SET_UPS)
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    cni, between, options = request.param
    with Nodes(CNIS[cni], 2, between) as nodes, cluster(nodes, options) as made:
        stand = Stand(made, *(made.add_pod(node) for node in (nodes[0], nodes[0], nodes[1])))
        for family in Family:  # from then on every packet is looked at for being a hairpin's reply
            stand.tcp(made.service(stand.client), family).socket.close()
        yield stand


anywhere = pytest.mark.parametrize("place", ["same node", "another node", "itself"])
elsewhere = pytest.mark.parametrize("place", ["same node", "another node"])


@anywhere
def test_a_connection_carries_data_both_ways(stand: Stand, place: str, family: Family) -> None:
    pod, data = stand.pod(place), os.urandom(300_000)
    with stand.tcp(stand.cluster.service(pod), family) as connection:
        assert connection.server == pod.role
        assert connection.echo(data) == data


@anywhere
def test_datagrams_are_answered_whole_and_in_fragments(stand: Stand, place: str, family: Family) -> None:
    pod = stand.pod(place)
    service = stand.cluster.service(pod)
    for connected in (True, False):
        with stand.udp(service, family, connected=connected) as flow:
            for size in (20, 1000, 30_000):
                assert flow.ask(os.urandom(size)) == pod.role


@elsewhere
def test_the_backend_sees_the_clients_own_address(stand: Stand, place: str, family: Family) -> None:
    pod = stand.pod(place)
    seen, client = stand.cluster.echoes[pod.role].seen, stand.client.addresses.of(family)
    before = seen[client]
    stand.tcp(stand.cluster.service(pod), family).socket.close()
    with stand.udp(stand.cluster.service(pod), family) as flow:
        flow.ask(b"whose am I?" * 10)
    assert seen[client] == before + 2


@elsewhere
def test_no_try_fails_where_the_client_is_one_of_the_backends(stand: Stand, place: str, family: Family) -> None:
    service = stand.cluster.service(stand.client, stand.pod(place))
    servers = set()
    for _ in range(60):
        with stand.tcp(service, family) as connection:
            assert connection.echo(b"hello") == b"hello"
            servers.add(connection.server)
    assert servers == {stand.client.role, stand.pod(place).role}


@elsewhere
def test_straight_to_a_backend_beside_a_service_on_it(stand: Stand, place: str, family: Family) -> None:
    """From the same source port, so that only the flow tells whose reply is whose."""
    pod = stand.pod(place)
    service = stand.cluster.service(pod)
    source = 20_000 + service.number
    with (
        stand.cluster.tcp(stand.client, service, family, source) as by_service,
        Tcp(stand.client, pod.addresses, family, ECHO_TARGET, source) as straight,
    ):
        for connection in (by_service, straight, by_service):
            assert connection.echo(b"x" * 5000) == b"x" * 5000


@elsewhere
def test_a_backend_that_refuses_is_heard(stand: Stand, place: str, family: Family) -> None:
    pod = stand.pod(place)
    closed = stand.cluster.service(pod, ports=(Port("t", ECHO_PORT, 9), Port("u", ECHO_PORT, 9, "UDP")))
    assert_refused(stand.client, closed, family)


def test_a_service_without_endpoints_refuses(stand: Stand, family: Family) -> None:
    assert_refused(stand.client, stand.cluster.service(), family)


def test_a_pod_that_comes_later_is_served_and_serves(stand: Stand, family: Family) -> None:
    node = stand.cluster.nodes[0]
    pod = stand.cluster.add_pod(node)
    by_old = stand.cluster.service(pod)
    with stand.tcp(by_old, family) as connection:
        assert connection.server == pod.role
    with stand.cluster.tcp(pod, stand.cluster.service(stand.remote), family) as connection:
        assert connection.server == stand.remote.role
