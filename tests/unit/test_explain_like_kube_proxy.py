"""``explain`` against kube-proxy's chains (:mod:`tests.unit.kube_proxy`) over random objects and packets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tcnat.explain import Answer, Explainer, Flow, Origin, Settings
from tcnat.inventory import Inventory
from tcnat.model import NodeInfo, Protocol, format_address, parse_address, parse_network
from tests.unit.kube import BOTH, Json, Net, endpoint, endpoint_slice, parse, port, service
from tests.unit.kube_proxy import Node, Packet, Tables

PORTS = (80, 81)
NODE_PORTS = (30080, 30081)
PROTOCOLS = ("TCP", "UDP")
MOSTLY_TCP = ("TCP", "TCP", "TCP", "UDP")
LABELS = st.sampled_from([None] * 6 + [{"service.kubernetes.io/service-proxy-name": "x"}, {"app": "web"}])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def services(draw: st.DrawFn, net: Net, name: str, cluster_ip: str, extra: dict[str, list[str]]) -> Json:
    """A Service; ``extra`` are the external addresses that are its own."""
    numbers = draw(
        st.lists(st.tuples(st.sampled_from(PORTS), st.sampled_from(MOSTLY_TCP)), min_size=1, max_size=3, unique=True)
    )
    at = NODE_PORTS[0 if name == "web" else 1]
    ports = [
        port(number, draw(st.sampled_from(["http", "http", "dns"])), protocol, draw(maybe(st.just(at + 10 * index))))
        for index, (number, protocol) in enumerate(numbers)
    ]
    policy = st.sampled_from(["Cluster", "Local", "Local"])
    ranges = st.lists(
        st.sampled_from([net.node_cidr, f" {net.outsider_cidr}", net.cluster_cidr, net.elsewhere_cidr]), max_size=2
    )
    options: Json = {
        "externalIPs": draw(st.lists(st.sampled_from(extra["externalIPs"]), max_size=1)),
        "internalTrafficPolicy": draw(policy),
        "externalTrafficPolicy": draw(policy),
        "loadBalancerSourceRanges": draw(ranges),
        "type": draw(st.sampled_from(["LoadBalancer"] * 8 + ["ExternalName"])),
    }
    ingress = [
        {"ip": address, **({"ipMode": mode} if mode else {})}
        for address in draw(st.lists(st.sampled_from(extra["ingress"]), max_size=2, unique=True))
        for mode in [draw(st.sampled_from([None, "VIP", "Proxy"]))]
    ]
    return service(cluster_ip, name=name, labels=draw(LABELS), ports=ports, ingress=ingress, **options)


@st.composite
def slices(draw: st.DrawFn, net: Net, name: str) -> Json:
    """A slice of one of the two Services, or of none."""
    condition = maybe(st.booleans())
    hints = st.one_of(st.just([]), st.lists(st.sampled_from(["zone-a", "zone-b"]), min_size=1, max_size=2))
    nodes = st.one_of(st.just([]), st.lists(st.sampled_from(["here", "away"]), min_size=1, max_size=2))
    addresses = draw(
        st.lists(st.sampled_from([net.pod_one, net.pod_two, net.pod_three]), unique=True, min_size=1, max_size=3)
    )
    hinted = draw(st.booleans())
    found = [
        endpoint(
            address,
            draw(st.sampled_from([None, "here", "away", "away"])),
            ready=draw(condition),
            serving=draw(condition),
            terminating=draw(condition),
            zones=draw(hints) if hinted else [],
            nodes=draw(nodes) if hinted else [],
        )
        for address in addresses
    ]
    ports = [
        {"name": "http", "port": draw(st.sampled_from([8080, 8081])), "protocol": draw(st.sampled_from(MOSTLY_TCP))},
        {
            "name": draw(st.sampled_from(["dns", None])),
            "port": draw(st.sampled_from([5353, 0, None])),
            "protocol": "TCP",
        },
    ]
    owner = draw(st.sampled_from(["web"] * 4 + ["other"] * 3 + [None]))
    return endpoint_slice(net.family, *found, name=name, of=owner, ports=ports, labels=draw(LABELS) or {})


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Net, list[Json], Node]:
    """A family, objects, and a node."""
    net = draw(st.sampled_from(BOTH))
    web = draw(services(net, "web", net.service, {"externalIPs": [net.external_ip], "ingress": [net.lb_ip]}))
    other = draw(
        services(net, "other", net.other_service, {"externalIPs": [net.stranger], "ingress": [net.other_lb_ip]})
    )
    found = [draw(slices(net, f"slice-{at}")) for at in range(draw(st.integers(1, 4)))]
    node = Node(
        name="here",
        zone="zone-a",
        ip=net.node,
        version=4 if net.family == "IPv4" else 6,
        bound_ips=(net.lb_ip,),
        cluster_cidr=draw(st.sampled_from([None, net.cluster_cidr, net.cluster_cidr])),
        masquerade_all=draw(st.booleans()),
        node_port_cidrs=draw(st.sampled_from([(), (net.node_cidr,), (net.elsewhere_cidr,)])),
        localhost=draw(st.booleans()),
    )
    return net, [web, other, *found], node


def packets(net: Net, node: Node) -> Iterator[tuple[Origin, Packet]]:
    """Every packet worth asking about. Without a cluster CIDR kube-proxy does not know a pod, so none is asked for."""
    sources = [(Origin.NODE, net.node), (Origin.NODE, net.loopback), (Origin.NODE, net.lb_ip)]
    sources += [(Origin.EXTERNAL, net.outsider), (Origin.EXTERNAL, net.stranger)]
    if node.cluster_cidr:
        sources += [(Origin.POD, net.pod_client), (Origin.POD, net.pod_one)]
    addresses = (net.service, net.other_service, net.external_ip, net.lb_ip, net.other_lb_ip, net.stranger)
    own = (net.node, net.loopback, net.other_node)
    targets = [*product(addresses, PORTS), *product(own, (at + by for at in NODE_PORTS for by in (0, 10)))]
    for (origin, source), (address, number), protocol in product(sources, targets, PROTOCOLS):
        yield origin, Packet(source, address, number, protocol)


def ask(explainer: Explainer, origin: Origin, packet: Packet, source_port: int) -> Answer:
    source, destination = parse_address(packet.source), parse_address(packet.destination)
    return explainer.explain(Flow(origin, source, source_port, destination, packet.port, Protocol[packet.protocol]))


@given(clusters())
def test_the_same_packet_has_the_same_fate(cluster: tuple[Net, list[Json], Node]) -> None:
    net, objects, node = cluster
    tables = Tables(node, objects)
    explainer = Explainer(
        Inventory(parse(*objects)).services(),
        Settings(
            node=NodeInfo(node.name, node.zone, (parse_address(node.ip),)),
            cluster_cidrs=(parse_network(node.cluster_cidr),) if node.cluster_cidr else (),
            masquerade_all=node.masquerade_all,
            nodeport_addresses=tuple(map(parse_network, node.node_port_cidrs)),
            localhost_nodeports=node.localhost,
        ),
    )
    for source_port, (origin, packet) in enumerate(packets(net, node), 1024):
        expected = tables.walk(packet)
        answer = ask(explainer, origin, packet, source_port)
        if expected.node_port_filter and answer.rule in {19, 20}:
            continue  # kube-proxy's filter rejects node ports without endpoints even where it does not serve them
        assert answer.verdict.value == expected.verdict, (packet, answer)
        assert {str(share.backend) for share in answer.backends} == expected.backends, (packet, answer)
        hairpin = answer.chosen is not None and format_address(answer.chosen.address) == packet.source
        assert answer.masquerade == (expected.marked or hairpin), (packet, answer)
