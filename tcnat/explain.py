"""Which decision a packet gets, and why, by the numbered rules. Pure: the same question has the same answer anywhere.

Explainer(services, settings).explain(flow) -> Answer
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tcnat import maglev, reasoning
from tcnat.catalogue import Catalogue, Found, Kind, NodePortSettings, NotFound
from tcnat.endpoints import EndpointSet, any_usable, cluster_set, local_set
from tcnat.hashing import flow_hash, slot_of
from tcnat.model import Backend, FrontEndKey, Network, NodeInfo, Protocol, ServicePortName, Verdict
from tcnat.resources import EndpointSlice, Service
from tcnat.services import ServicePort


class Origin(StrEnum):
    """Where a packet comes from, seen from the node."""

    POD = "pod"
    NODE = "node"
    EXTERNAL = "external"


class Flow(NamedTuple):
    """The question: one packet from a client. Both addresses are of one family."""

    origin: Origin
    source: bytes
    source_port: int | None
    destination: bytes
    destination_port: int
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Settings:
    """What the answer depends on besides the objects; names are those of kube-proxy's flags."""

    node: NodeInfo
    cluster_cidrs: tuple[Network, ...] = ()
    """Where pods have their addresses; without one of a family nobody knows there who is a pod (rule 26)."""
    service_cidrs: tuple[Network, ...] = ()
    """Where Services have their addresses; unallocated ones drop (rule 25)."""
    masquerade_all: bool = False
    nodeport_addresses: tuple[Network, ...] = ()
    localhost_nodeports: bool = False
    unknown_port: Verdict = Verdict.PASS
    """For a port that a cluster IP does not have (rule 25)."""


class Share(NamedTuple):
    """A backend and its part of all flows, from 0 to 1: its slots of the front end's table over all slots."""

    backend: Backend
    share: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision. Without a front end, and where nothing is chosen, those are None.

    ``chosen`` needs the flow's source port, or a single backend. ``rule`` is the number that decided most.
    """

    verdict: Verdict
    rule: int
    reason: str
    front_end: FrontEndKey | None = None
    service: ServicePortName | None = None
    backends: tuple[Share, ...] = ()
    chosen: Backend | None = None
    masquerade: bool = False


class Spread(NamedTuple):
    """Backends, the table of slots over them, and the share that each has."""

    table: list[int]
    shares: tuple[Share, ...]


@dataclass(slots=True)
class _Sets:
    """The endpoint sets of one service port, worked out once."""

    usable: bool
    spreads: dict[bool, tuple[EndpointSet, Spread]] = field(default_factory=dict)  # by whether the policy is Local


class Explainer:
    """Answers for one set of objects and settings."""

    def __init__(self, services: Iterable[tuple[Service, tuple[EndpointSlice, ...]]], settings: Settings) -> None:
        """``services`` as :meth:`tcnat.inventory.Inventory.services` gives them."""
        self._settings = settings
        node_ports = NodePortSettings(settings.node, settings.nodeport_addresses, settings.localhost_nodeports)
        self._catalogue = Catalogue(services, node_ports)
        self._sets: dict[tuple[ServicePortName, int], _Sets] = {}

    def explain(self, flow: Flow) -> Answer:
        """What becomes of the flow's first packet."""
        key = FrontEndKey(flow.destination, flow.destination_port, flow.protocol)
        found = self._catalogue.find(key)
        if isinstance(found, NotFound):
            return self._no_front_end(flow, found)
        sets = self._sets_of(found.port)
        if not sets.usable:
            reason = reasoning.no_endpoint(found.port)
            return Answer(Verdict.REJECT, 24, reason, key, found.port.name)
        if found.kind is Kind.LOAD_BALANCER and not self._admitted(flow, found.port):
            reason = f"{found.port.name}: the source is outside loadBalancerSourceRanges, rule 18"
            return Answer(Verdict.DROP, 18, reason, key, found.port.name)
        return self._choose(flow, key, found, sets)

    def _choose(self, flow: Flow, key: FrontEndKey, found: Found, sets: _Sets) -> Answer:
        """A backend of the set that the policy allows."""
        port = found.port
        inside = found.kind is Kind.CLUSTER_IP
        short_cut = not inside and port.external_local and flow.origin is not Origin.EXTERNAL
        local = not short_cut and (port.internal_local if inside else port.external_local)
        chosen_set, spread = self._spread(port, sets, local=local)
        if not chosen_set.backends:
            return Answer(Verdict.DROP, 24, reasoning.no_local_endpoint(port, inside=inside), key, port.name)
        chosen = _chosen(flow, chosen_set.backends, spread.table)
        masquerade = self._masquerade(flow, found, chosen)
        rule, words = reasoning.selection(port, chosen_set, local=local, inside=inside, short_cut=short_cut)
        reasons = [f"{port.name}: {words}", *reasoning.affinity(port)]
        if masquerade is not None:
            reasons.append(f"source masqueraded: {masquerade}")
        elif chosen is None and any(backend.address == flow.source for backend in chosen_set.backends):
            reasons.append("source masqueraded if the client itself is chosen, rule 28")
        return Answer(
            Verdict.DNAT, rule, "; ".join(reasons), key, port.name, spread.shares, chosen, masquerade is not None
        )

    def _no_front_end(self, flow: Flow, why: NotFound) -> Answer:
        """A packet to no front end: the choices of rule 25, else it passes."""
        if self._catalogue.is_cluster_ip(flow.destination):
            return Answer(self._settings.unknown_port, 25, "the cluster IP does not have this port, rule 25")
        if _inside(flow.destination, self._settings.service_cidrs):
            return Answer(Verdict.DROP, 25, f"{why.reason}, and its address is in the service CIDR, rule 25")
        return Answer(Verdict.PASS, why.rule, f"{why.reason}, rule {why.rule}")

    def _admitted(self, flow: Flow, port: ServicePort) -> bool:
        """Whether a load balancer's source ranges let the source in (rule 18)."""
        ranges = port.source_ranges
        if not ranges or _inside(flow.source, ranges):
            return True
        from_node = any(_inside(address, ranges) for address in self._settings.node.addresses)
        return from_node and flow.source in port.ingress_ips

    def _masquerade(self, flow: Flow, found: Found, chosen: Backend | None) -> str | None:
        """Why the source is masqueraded, or None (rules 26-28)."""
        if chosen is not None and chosen.address == flow.source:
            return "the client is its own backend, rule 28"
        if found.kind is Kind.CLUSTER_IP:
            if self._settings.masquerade_all:
                return "--masquerade-all, rule 26"
            cidrs = [cidr for cidr in self._settings.cluster_cidrs if len(cidr.address) == len(flow.source)]
            outside = bool(cidrs) and not _inside(flow.source, cidrs)
            return "the source is outside the cluster CIDR, rule 26" if outside else None
        if not found.port.external_local:
            return "external front end under externalTrafficPolicy Cluster, rule 27"
        return "traffic from the node itself, rule 27" if flow.origin is Origin.NODE else None

    def _sets_of(self, port: ServicePort) -> _Sets:
        key = (port.name, len(port.cluster_ip))
        if key not in self._sets:
            self._sets[key] = _Sets(any_usable(port.endpoints))
        return self._sets[key]

    def _spread(self, port: ServicePort, sets: _Sets, *, local: bool) -> tuple[EndpointSet, Spread]:
        if local not in sets.spreads:
            chosen_set = (local_set if local else cluster_set)(port.endpoints, self._settings.node)
            sets.spreads[local] = (chosen_set, spread_over(chosen_set.backends))
        return sets.spreads[local]


def spread_over(backends: tuple[Backend, ...]) -> Spread:
    """A fresh table over the backends, and their shares of it."""
    table = maglev.table(backends)
    counts = [0] * len(backends)
    for index in table:
        counts[index] += 1
    shares = tuple(Share(backend, count / len(table)) for backend, count in zip(backends, counts, strict=True))
    return Spread(table, shares)


def _chosen(flow: Flow, backends: tuple[Backend, ...], table: list[int]) -> Backend | None:
    if len(backends) == 1:
        return backends[0]
    if flow.source_port is None:
        return None
    value = flow_hash(flow.source, flow.destination, flow.source_port, flow.destination_port, flow.protocol)
    return backends[table[slot_of(value, len(table))]]


def _inside(address: bytes, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
