"""The node's own processes (kubelet, hostNetwork pods) as clients, whatever rp_filter says; and masquerading."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tcnat.layout import Family
from tests.lab.clients import Tcp, Udp
from tests.lab.cluster import Cluster, cluster
from tests.lab.cni import CNIS
from tests.lab.commands import wait_until
from tests.lab.echo import Echo
from tests.lab.nodes import Between, Node, Nodes, Pod
from tests.lab.site import Host
from tests.lab.stage import ECHO_TARGET
from tests.netns.refusals import assert_refused

UPLINK = "--network-device=eth0"
OVERLAY = ("--network-device=eth0,flannel.1,flannel-v6.1", "--cluster-cidr=10.244.0.0/16,fd44::/16")
SET_UPS = {
    "ptp, rp_filter 1": ("ptp", Between.ROUTES, 1, (UPLINK,)),
    "bridge, VXLAN, rp_filter 1": ("bridge", Between.VXLAN, 1, OVERLAY),
    "bridge, VXLAN, rp_filter 0": ("bridge", Between.VXLAN, 0, OVERLAY),
    "bridge, rp_filter 2": ("bridge", Between.ROUTES, 2, (UPLINK,)),
    "calico, rp_filter 0": ("calico", Between.ROUTES, 0, (UPLINK,)),
    "calico, rp_filter 1, --masquerade-all": ("calico", Between.ROUTES, 1, (UPLINK, "--masquerade-all")),
}


@dataclass(frozen=True, slots=True)
class Stand:
    """Two nodes; a pod on each; a server in the first one's own namespace, as a hostNetwork pod has it."""

    cluster: Cluster
    node: Node
    own: Echo
    client: Pod
    local: Pod
    remote: Pod
    masquerades: bool

    def backend(self, place: str) -> Host:
        """The host at that place, as the node sees it."""
        return {"itself": self.node, "a pod on it": self.local, "a pod elsewhere": self.remote}[place]


@pytest.fixture(scope="module", params=SET_UPS.values(), ids=SET_UPS.keys())
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    cni, between, rp_filter, options = request.param
    with (
        Nodes(CNIS[cni], 2, between, rp_filter=rp_filter) as nodes,
        cluster(nodes, options) as made,
        Echo(nodes[0], nodes[0].role, ECHO_TARGET) as own,
    ):
        pods = [made.add_pod(node) for node in (nodes[0], nodes[0], nodes[1])]
        wait_until(partial(served, nodes[0], pods[0]), f"programs on {pods[0].device}")
        yield Stand(made, nodes[0], own, *pods, "--masquerade-all" in options)


def served(node: Node, pod: Pod) -> bool:
    """Whether the pod's device has its programs: what it sends before is served as the node's own packets are."""
    return all("tcnat" in node.run("tc", "filter", "show", "dev", pod.device, hook) for hook in ("ingress", "egress"))


def ask(flow: Udp, data: bytes) -> str:
    """The server's name. Behind an overlay packets may be shorter than the way to the Service tells: in IPv6 the first
    long datagram learns that (RFC 8201)."""
    try:
        return flow.ask(data)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
    return flow.ask(data)


places = pytest.mark.parametrize("place", ["itself", "a pod on it", "a pod elsewhere"])


@places
def test_a_nodes_process_reaches_a_service(stand: Stand, place: str, family: Family) -> None:
    backend, data = stand.backend(place), os.urandom(200_000)
    service = stand.cluster.service(backend)
    for _ in range(3):
        with stand.cluster.tcp(stand.node, service, family) as connection:
            assert connection.server == backend.role
            assert connection.echo(data) == data
    for connected in (True, False):
        with stand.cluster.udp(stand.node, service, family, connected=connected) as flow:
            for size in (20, 1000, 20_000):
                assert ask(flow, os.urandom(size)) == backend.role


def test_it_reaches_all_of_a_services_backends(stand: Stand, family: Family) -> None:
    backends = (stand.node, stand.local, stand.remote)
    service = stand.cluster.service(*backends)
    servers = set()
    for _ in range(60):
        with stand.cluster.tcp(stand.node, service, family) as connection:
            assert connection.echo(b"hello") == b"hello"
            servers.add(connection.server)
    assert servers == {backend.role for backend in backends}


def test_a_local_backend_that_refuses_is_heard(stand: Stand, family: Family) -> None:
    pod = stand.cluster.nodes[0].add_pod()
    service = stand.cluster.service(pod)
    assert_refused(stand.node, service, family)


@places
def test_a_pod_reaches_the_same_services(stand: Stand, place: str, family: Family) -> None:
    """As itself; with --masquerade-all another node sees its node, and its own node the Service."""
    backend = stand.backend(place)
    service = stand.cluster.service(backend)
    with stand.cluster.tcp(stand.client, service, family) as connection:
        assert connection.server == backend.role
        assert connection.echo(b"x" * 50_000) == b"x" * 50_000
    seen = stand.client.addresses
    if stand.masquerades:
        seen = stand.node.addresses if backend is stand.remote else service.addresses
    server = stand.own if backend is stand.node else stand.cluster.echoes[backend.role]
    assert server.seen[seen.of(family)]


def test_a_nodes_clients_with_one_port_are_told_apart(stand: Stand, family: Family) -> None:
    """A process of the node and, where pods are masqueraded, a pod."""
    service = stand.cluster.service(stand.remote)
    port = 21_000 + service.number
    with (
        stand.cluster.tcp(stand.node, service, family, port) as one,
        stand.cluster.tcp(stand.client, service, family, port) as other,
    ):
        for connection, data in ((one, b"1" * 3000), (other, b"2" * 3000), (one, b"3" * 3000)):
            assert connection.echo(data) == data


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_straight_to_a_local_pod_needs_nothing_of_that(stand: Stand, kind: socket.SocketKind, family: Family) -> None:
    if kind == socket.SOCK_STREAM:
        with Tcp(stand.node, stand.local.addresses, family, ECHO_TARGET) as connection:
            assert connection.server == stand.local.role
    else:
        with Udp(stand.node, stand.local.addresses, family, ECHO_TARGET) as flow:
            assert flow.ask(b"who is there?" * 9) == stand.local.role
