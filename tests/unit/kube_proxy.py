"""kube-proxy's iptables mode in small: the chains that it would write for raw API objects, and a packet's walk through
them.

Written from what kube-proxy does, chain by chain, not from the numbered rules; it shares nothing with tcnat. What it
leaves out: conntrack, session affinity, health checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

Json = dict[str, Any]
Match = Callable[["Packet"], bool]


class Packet(NamedTuple):
    """Addresses as text; protocol as TCP, UDP or SCTP."""

    source: str
    destination: str
    port: int
    protocol: str


@dataclass
class Walk:
    """Where a packet has got to."""

    marked: bool = False
    backends: list[str] = field(default_factory=list)


class Outcome(NamedTuple):
    """``verdict`` as explain has it; ``backends`` as IP:PORT; ``marked``: masqueraded whoever is chosen."""

    verdict: str
    backends: frozenset[str] = frozenset()
    marked: bool = False
    node_port_filter: bool = False
    """Decided by the filter rule of a node port, which looks at no --nodeport-addresses."""


class Endpoint(NamedTuple):
    """What the endpoints' cache knows of one."""

    ip: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    zones: frozenset[str]
    nodes: frozenset[str]

    def goes_before(self, other: Endpoint) -> bool:
        """Of two on one IP and port. kube-proxy wants one that does not terminate, and leaves the rest to chance."""
        return (not self.terminating, self.ready, self.serving) > (not other.terminating, other.ready, other.serving)

    @property
    def text(self) -> str:
        """IP:PORT."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True)
class Node:
    """kube-proxy's own settings on a node, in one family."""

    name: str
    zone: str
    ip: str
    version: int
    bound_ips: tuple[str, ...] = ()
    """Other addresses of its devices, as those of a load balancer often are."""
    cluster_cidr: str | None = None
    masquerade_all: bool = False
    node_port_cidrs: tuple[str, ...] = ()
    localhost: bool = False

    def is_local(self, address: str) -> bool:
        """iptables' address type LOCAL."""
        return address in {self.ip, *self.bound_ips} or ip_address(address).is_loopback

    def is_pod(self, address: str) -> bool:
        """The local detector by cluster CIDR."""
        return self.cluster_cidr is not None and ip_address(address) in ip_network(self.cluster_cidr)


class At(NamedTuple):
    """A match of destination (None: any), port and protocol."""

    address: str | None
    port: int
    protocol: str

    def of(self, address: str) -> At:
        """The same for one address."""
        return self._replace(address=address)

    def __call__(self, packet: Packet) -> bool:
        same = (packet.port, packet.protocol) == (self.port, self.protocol)
        return same and self.address in (None, packet.destination)


@dataclass(frozen=True)
class Chains:
    """The chains of one service port; each takes a packet that got there."""

    node: Node
    cluster: list[str]
    local: list[str]
    internal_local: bool
    external_local: bool
    vips: list[str]
    ranges: list[Any]

    def internal(self, packet: Packet, walk: Walk) -> None:
        """KUBE-SVC or KUBE-SVL, as the cluster IP gets there."""
        detects = self.node.cluster_cidr is not None
        walk.marked |= self.node.masquerade_all or (detects and not self.node.is_pod(packet.source))
        walk.backends += self.local if self.internal_local else self.cluster

    def external(self, packet: Packet, walk: Walk) -> None:
        """KUBE-EXT."""
        if not self.external_local:
            walk.marked = True
            walk.backends += self.cluster
        elif self.node.is_pod(packet.source):
            walk.backends += self.cluster
        elif self.node.is_local(packet.source):
            walk.marked = True
            walk.backends += self.cluster
        else:
            walk.backends += self.local

    def load_balancer(self, packet: Packet, walk: Walk) -> None:
        """KUBE-FW where there are source ranges, else KUBE-EXT."""
        from_vip = packet.source in self.vips and any(ip_address(self.node.ip) in one for one in self.ranges)
        if not self.ranges or from_vip or any(ip_address(packet.source) in one for one in self.ranges):
            self.external(packet, walk)


class Tables:
    """The nat and filter tables for some objects."""

    def __init__(self, node: Node, objects: Iterable[Json]) -> None:
        self.node = node
        self.services: list[tuple[Match, Callable[[Packet, Walk], None]]] = []
        self.node_ports: list[tuple[Match, Callable[[Packet, Walk], None]]] = []
        self.filter: list[tuple[Match, str, bool]] = []
        self.firewall: list[Match] = []
        named = {(each["kind"], each["metadata"]["name"]): each for each in objects}
        slices = [each for (kind, _), each in named.items() if kind == "EndpointSlice"]
        for (kind, name), each in sorted(named.items()):
            if kind == "Service" and not _hidden(each):
                self._write_service(each, [one for one in slices if _service_of(one) == name and not _hidden(one)])

    def walk(self, packet: Packet) -> Outcome:
        """nat first; a packet that it did not rewrite meets the filter table."""
        walk = Walk()
        if not _first(self.services, packet, walk) and self._takes_node_ports(packet.destination):
            _first(self.node_ports, packet, walk)
        if walk.backends:
            return Outcome("dnat", frozenset(walk.backends), walk.marked)
        if any(match(packet) for match in self.firewall):
            return Outcome("drop")
        for match, target, node_port in self.filter:
            if match(packet):
                return Outcome(target, node_port_filter=node_port)
        return Outcome("pass")

    def _takes_node_ports(self, address: str) -> bool:
        if ip_address(address).is_loopback and (self.node.version == 6 or not self.node.localhost):
            return False
        cidrs = [cidr for cidr in self.node.node_port_cidrs if ip_network(cidr).version == self.node.version]
        return self.node.is_local(address) and (not cidrs or any(ip_address(address) in ip_network(c) for c in cidrs))

    def _write_service(self, service: Json, slices: list[Json]) -> None:
        spec = service["spec"]
        cluster_ip = self._ours(spec.get("clusterIPs") or [])
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") in ("", "None", None) or not cluster_ip:
            return
        for port in spec["ports"]:
            self._write_port(service, cluster_ip[0], port, self._endpoints(port, slices))

    def _write_port(self, service: Json, cluster_ip: str, port: Json, endpoints: list[Endpoint]) -> None:
        spec = service["spec"]
        external_ips = self._ours(spec.get("externalIPs", []))
        ingress = service["status"]["loadBalancer"]["ingress"]
        vips = self._ours([one["ip"] for one in ingress if one.get("ipMode") != "Proxy"])
        node_port = port.get("nodePort", 0)
        external_local = spec.get("externalTrafficPolicy") == "Local"
        ranges = [ip_network(one.strip()) for one in spec.get("loadBalancerSourceRanges", [])]
        chains = Chains(
            node=self.node,
            cluster=self._cluster(endpoints),
            local=_local(endpoints),
            internal_local=spec.get("internalTrafficPolicy") == "Local",
            external_local=external_local and bool(external_ips or vips or node_port),
            vips=vips,
            ranges=[one for one in ranges if one.version == self.node.version],
        )
        has_endpoints = any(one.ready or (one.serving and one.terminating) for one in endpoints)
        target = "drop" if has_endpoints else "reject"
        here = At(None, port["port"], port["protocol"])
        if chains.local if chains.internal_local else has_endpoints:
            self.services.append((here.of(cluster_ip), chains.internal))
        else:
            self.filter.append((here.of(cluster_ip), target, False))
        at_node_port = At(None, node_port, port["protocol"])
        if has_endpoints:
            self.services += [(here.of(address), chains.external) for address in external_ips]
            self.services += [(here.of(address), chains.load_balancer) for address in vips]
            self.firewall += [here.of(address) for address in vips if chains.ranges]
            if node_port:
                self.node_ports.append((at_node_port, chains.external))
        if not (chains.local if chains.external_local else has_endpoints):
            self.filter += [(here.of(address), target, False) for address in external_ips + vips]
            if node_port:
                self.filter += [(at_node_port.of(each), target, True) for each in (self.node.ip, "127.0.0.1", "::1")]

    def _endpoints(self, port: Json, slices: list[Json]) -> list[Endpoint]:
        found: dict[str, Endpoint] = {}
        for each in slices:
            if each["addressType"] != f"IPv{self.node.version}":
                continue
            for one in each["ports"]:
                if (one.get("name"), one.get("protocol", "TCP")) != (port["name"], port["protocol"]) or not one.get(
                    "port"
                ):
                    continue
                for raw in each["endpoints"]:
                    endpoint = self._endpoint(raw, one["port"])
                    if endpoint.text not in found or endpoint.goes_before(found[endpoint.text]):
                        found[endpoint.text] = endpoint
        return list(found.values())

    def _endpoint(self, raw: Json, port: int) -> Endpoint:
        conditions, hints = raw["conditions"], raw.get("hints", {})
        return Endpoint(
            ip=raw["addresses"][0],
            port=port,
            ready=conditions.get("ready") in (None, True),
            serving=conditions.get("serving") in (None, True),
            terminating=conditions.get("terminating") is True,
            local=raw.get("nodeName") == self.node.name,
            zones=frozenset(one["name"] for one in hints.get("forZones", [])),
            nodes=frozenset(one["name"] for one in hints.get("forNodes", [])),
        )

    def _cluster(self, endpoints: list[Endpoint]) -> list[str]:
        ready = [one for one in endpoints if one.ready]
        chosen = ready or [one for one in endpoints if one.serving and one.terminating]
        for hint, mine in ((lambda one: one.nodes, self.node.name), (lambda one: one.zones, self.node.zone)):
            if ready and all(hint(one) for one in ready) and any(mine in hint(one) for one in ready):
                chosen = [one for one in ready if mine in hint(one)]
                break
        return [one.text for one in chosen]

    def _ours(self, addresses: Iterable[str]) -> list[str]:
        return [each for each in addresses if ip_address(each).version == self.node.version]


def _local(endpoints: list[Endpoint]) -> list[str]:
    here = [one for one in endpoints if one.local]
    return [one.text for one in [e for e in here if e.ready] or [e for e in here if e.serving and e.terminating]]


def _first(chain: list[tuple[Match, Callable[[Packet, Walk], None]]], packet: Packet, walk: Walk) -> bool:
    """The first rule that matches; whether it rewrote the packet."""
    for match, target in chain:
        if match(packet):
            target(packet, walk)
            if walk.backends:
                return True
    return False


def _hidden(each: Json) -> bool:
    return bool({f"service.kubernetes.io/{name}" for name in ("service-proxy-name", "headless")} & set(_labels(each)))


def _labels(each: Json) -> dict[str, str]:
    return each["metadata"].get("labels") or {}


def _service_of(each: Json) -> str | None:
    return _labels(each).get("kubernetes.io/service-name")
