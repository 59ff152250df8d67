"""Client and backend on one bridge: what goes by the node's stack, and what straight from port to port."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tcnat.layout import Family
from tests.lab.cluster import Cluster, cluster
from tests.lab.cni import CNIS
from tests.lab.namespace import Namespace
from tests.lab.nodes import Between, Node, Nodes, Pod

DATAGRAMS = 20
BRIDGE_NF = {Family.IPV4: "bridge/bridge-nf-call-iptables", Family.IPV6: "bridge/bridge-nf-call-ip6tables"}


def counter(host: Namespace, name: str) -> int:
    """A counter of the host's IP stack, as nstat names it."""
    with host.entered():
        six = dict(line.split() for line in Path("/proc/thread-self/net/snmp6").read_text().splitlines())
        lines = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
    four = {
        prefix[:-1] + key: value
        for (prefix, *keys), (_, *values) in zip(lines[::2], lines[1::2], strict=True)
        for key, value in zip(keys, values, strict=True)
    }
    return int((six | four)[name])


def forwarded(node: Node, family: Family, work: Callable[[], None]) -> int:
    """How many packets the node's stack forwards during some work."""
    name = "IpForwDatagrams" if family is Family.IPV4 else "Ip6OutForwDatagrams"
    before = counter(node, name)
    work()
    return counter(node, name) - before


def ask(made: Cluster, client: Pod, backend: Pod, family: Family) -> None:
    """Datagrams of a flow that exists already, each with its answer."""
    with made.udp(client, made.service(backend), family) as flow:
        for _ in range(DATAGRAMS):
            assert flow.ask(os.urandom(100)) == backend.role


@pytest.mark.parametrize(
    ("cni", "ways"),
    [
        pytest.param("bridge", 1, id="on a bridge the reply goes from port to port"),
        pytest.param("ptp", 2, id="elsewhere both directions are routed"),
    ],
)
def test_how_much_the_nodes_stack_forwards(cni: str, ways: int, family: Family) -> None:
    with Nodes(CNIS[cni]) as nodes, cluster(nodes) as made:
        client, backend = made.add_pod(nodes[0]), made.add_pod(nodes[0])
        assert forwarded(nodes[0], family, lambda: ask(made, client, backend, family)) == ways * DATAGRAMS
        assert forwarded(nodes[0], family, lambda: ask(made, client, client, family)) == 0


@pytest.fixture(scope="module")
def bridged() -> Iterator[Cluster]:
    with Nodes(CNIS["bridge"], 2, Between.ROUTES) as nodes, cluster(nodes) as made:
        for node in (nodes[0], nodes[0], nodes[1]):
            made.add_pod(node)
        yield made


@pytest.mark.skipif(not Path("/proc/sys/net/bridge").exists(), reason="this kernel has no br_netfilter")
@pytest.mark.parametrize("call", [0, 1])
def test_whether_netfilter_sees_the_bridge_makes_no_difference(bridged: Cluster, family: Family, call: int) -> None:
    node = bridged.nodes[0]
    client, backend = node.pods[:2]
    node.sysctl({BRIDGE_NF[family]: call})
    data = os.urandom(200_000)
    for pod in (backend, client, bridged.nodes[1].pods[0]):
        with bridged.tcp(client, bridged.service(pod), family) as connection:
            assert connection.echo(data) == data
        with bridged.udp(client, bridged.service(pod), family) as flow:
            assert flow.ask(os.urandom(20_000)) == pod.role


@pytest.mark.skipif(not Path("/proc/sys/net/bridge").exists(), reason="this kernel has no br_netfilter")
def test_conntrack_that_sees_the_bridge_takes_no_packet_for_invalid(bridged: Cluster, family: Family) -> None:
    node = bridged.nodes[0]
    client, backend = node.pods[:2]
    node.sysctl({BRIDGE_NF[family]: 1})
    table = "iptables" if family is Family.IPV4 else "ip6tables"
    rule = ("FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
    node.run(table, "-A", *rule)
    try:
        with bridged.tcp(client, bridged.service(backend), family) as connection:
            assert connection.echo(b"x" * 200_000) == b"x" * 200_000
    finally:
        node.run(table, "-D", *rule)


def test_a_redirect_to_the_backend_does_not_bind_the_service_to_it(bridged: Cluster, family: Family) -> None:
    """The node tells the client (not often) that it could have sent to the backend straight away."""
    node = bridged.nodes[0]
    client, backend = node.pods[:2]
    remote = bridged.nodes[1].pods[0]
    service = bridged.service(backend)
    with bridged.udp(client, service, family) as flow:
        for _ in range(DATAGRAMS):
            assert flow.ask(os.urandom(100)) == backend.role
    assert counter(node, "IcmpOutRedirects" if family is Family.IPV4 else "Icmp6OutRedirects") > 0
    for agent in bridged.agents:
        agent.put(service.with_endpoints([remote.addresses]))
    with bridged.udp(client, service, family) as flow:
        for _ in range(DATAGRAMS):
            assert flow.ask(os.urandom(100)) == remote.role
