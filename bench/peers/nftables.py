"""A ruleset of the shape that kube-proxy's nftables mode gives it (Kubernetes 1.29 and later): one look-up in a verdict
map leads to a Service's chain, a random number there to an endpoint's, which rewrites the destination.

It is written by hand, as the kube-proxy at hand is older; so there is no program that follows the API, and what loading
costs is what nft and the kernel take. Nothing is masqueraded but a pod that reaches itself.
Source: kubernetes (pkg/proxy/nftables).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.processes import run_measured
from tests.lab.nodes import Pod
from tests.lab.objects import Port

from .lab import PeerLab, Place
from .services import AWAY, Service
from .stand import PATIENCE, Loading, Stand, TooSlow, by_service

NFTABLES = "nftables maps"
_TABLE = "ip kube-proxy"
_KEY = "type ipv4_addr . inet_proto . inet_service : verdict"
_LOOK_UP = "ip daddr . meta l4proto . th dport vmap"
_FRAME = f"""\
table {_TABLE} {{
    set cluster-ips {{ type ipv4_addr; }}
    set nodeport-ips {{ type ipv4_addr; }}
    map service-ips {{ {_KEY}; }}
    map no-endpoint-services {{ {_KEY}; }}
    map firewall-ips {{ {_KEY}; }}
    map service-nodeports {{ type inet_proto . inet_service : verdict; }}
    map no-endpoint-nodeports {{ type inet_proto . inet_service : verdict; }}
    chain mark-for-masquerade {{ meta mark set meta mark or 0x4000; }}
    chain masquerading {{
        meta mark and 0x4000 == 0 return
        meta mark set meta mark xor 0x4000
        masquerade fully-random
    }}
    chain reject-chain {{ reject; }}
    chain services {{
        {_LOOK_UP} @service-ips
        ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
    }}
    chain firewall-check {{ {_LOOK_UP} @firewall-ips; }}
    chain cluster-ips-check {{ ip daddr @cluster-ips reject; }}
    chain service-endpoints-check {{ {_LOOK_UP} @no-endpoint-services; }}
    chain nodeport-endpoints-check {{ ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports; }}
    chain filter-prerouting {{ type filter hook prerouting priority -110; ct state new jump firewall-check; }}
    chain filter-input {{
        type filter hook input priority 0;
        ct state new jump nodeport-endpoints-check
        ct state new jump service-endpoints-check
    }}
    chain filter-forward {{
        type filter hook forward priority 0;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }}
    chain filter-output-pre-dnat {{ type filter hook output priority -110; ct state new jump firewall-check; }}
    chain filter-output {{
        type filter hook output priority 0;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }}
    chain nat-prerouting {{ type nat hook prerouting priority -100; jump services; }}
    chain nat-output {{ type nat hook output priority -100; jump services; }}
    chain nat-postrouting {{ type nat hook postrouting priority 100; jump masquerading; }}
}}
"""
_REMOVAL = f"table {_TABLE} {{ }}\ndelete table {_TABLE}\n"
"""Removes the table, whether it is there or not."""


def ruleset(services: Iterable[Service], node_address: str) -> Iterator[str]:
    """What ``nft -f`` loads: all of it in one transaction, in the place of what there was."""
    yield _REMOVAL
    yield _FRAME
    yield f"add element {_TABLE} nodeport-ips {{ {node_address} }}\n"
    for service in services:
        yield f"add element {_TABLE} cluster-ips {{ {service.address} }}\n"
        for port, endpoints in service.ports():
            yield from _port(service, port, endpoints)


def change(service: Service, before: Service) -> Iterator[str]:
    """What ``nft -f`` loads to give a Service other endpoints, for each of its ports: the new ones' chains, a new rule
    that chooses among them, and an end to the old ones' chains."""
    for (port, endpoints), (_, old) in zip(service.ports(), before.ports(), strict=True):
        if endpoints != old:
            yield from _without(service, port, old, endpoints)
            yield from _port(service, port, endpoints)
            for gone in set(old) - set(endpoints):
                yield f"flush chain {_TABLE} {_endpoint_chain(service, port, gone)}\n"
                yield f"delete chain {_TABLE} {_endpoint_chain(service, port, gone)}\n"


def _port(service: Service, port: Port, endpoints: Sequence[str]) -> Iterator[str]:
    key = f"{service.address} . {port.protocol.lower()} . {port.port}"
    if not endpoints:
        yield f"add element {_TABLE} no-endpoint-services {{ {key} : goto reject-chain }}\n"
        return
    chain = _service_chain(service, port)
    chains = [_endpoint_chain(service, port, endpoint) for endpoint in endpoints]
    yield f"add chain {_TABLE} {chain}\n"
    for own, endpoint in zip(chains, endpoints, strict=True):
        yield f"add chain {_TABLE} {own}\n"
        yield f"add rule {_TABLE} {own} ip saddr {endpoint} jump mark-for-masquerade\n"
        protocol = port.protocol.lower()
        yield f"add rule {_TABLE} {own} meta l4proto {protocol} dnat to {endpoint}:{port.target}\n"
    choices = ", ".join(f"{number} : goto {own}" for number, own in enumerate(chains))
    yield f"add rule {_TABLE} {chain} numgen random mod {len(chains)} vmap {{ {choices} }}\n"
    yield f"add element {_TABLE} service-ips {{ {key} : goto {chain} }}\n"


def _without(service: Service, port: Port, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Have a port lead nowhere, before it leads somewhere else in the same transaction."""
    key = f"{service.address} . {port.protocol.lower()} . {port.port}"
    yield f"delete element {_TABLE} {'service-ips' if old else 'no-endpoint-services'} {{ {key} }}\n"
    if old:
        yield f"flush chain {_TABLE} {_service_chain(service, port)}\n"
    for kept in set(old) & set(new):
        yield f"flush chain {_TABLE} {_endpoint_chain(service, port, kept)}\n"


def _service_chain(service: Service, port: Port) -> str:
    return f"service-{service.name}/{port.protocol.lower()}/{port.name}"


def _endpoint_chain(service: Service, port: Port, endpoint: str) -> str:
    return f"endpoint-{service.name}/{port.protocol.lower()}/{port.name}__{endpoint}/{port.target}"


class Rules:
    """The rules on a place's node."""

    pid = None
    kernel_memory = None

    def __init__(self, lab: PeerLab, place: Place) -> None:
        self._lab = lab
        self._place = place
        self._own = place.own(place.backends)
        self._numbers = itertools.count(1)
        self.loading: Loading | None = None

    def load(self, services: int, patience: float) -> None:
        """Put rules for so many Services into the place of what there is. TimeoutError."""
        path = self._place.ground.directory / "rules.nft"
        with path.open("w") as file:
            file.writelines(ruleset(self._lab.services(services), self._place.node.addresses.v4))
        self.loading = Loading(*run_measured(self._command(path), patience))

    def serve(self, backends: Sequence[Pod]) -> None:
        """See :class:`bench.peers.stand.Proxy`."""
        service = self._place.own(backends)
        self._place.node.run("nft", "-f", "-", text="".join(change(service, self._own)))
        self._own = service

    def remove(self) -> None:
        """Leave no rule."""
        self._place.node.run("nft", "-f", "-", text=_REMOVAL, timeout=PATIENCE)

    def _command(self, path: Path) -> list[str]:
        return self._place.node.command(["nft", "-f", path])


class Nftables:
    """The ruleset at work."""

    name = NFTABLES

    @contextmanager
    def standing(self, lab: PeerLab, services: int, patience: float = PATIENCE) -> Iterator[Stand]:
        """See :class:`bench.peers.stand.Peer`."""
        place = lab.places[self.name]
        rules = Rules(lab, place)
        try:
            try:
                rules.load(services, patience)
            except TimeoutError:
                raise TooSlow(self.name, services, patience) from None
            yield Stand(self.name, lab, place, services, rules, by_service(place.service), by_service(AWAY))
        finally:
            rules.remove()
