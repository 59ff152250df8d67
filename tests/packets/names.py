"""Who has which address. The same names stand for both families."""

from __future__ import annotations

from dataclasses import dataclass, fields

CLIENT_MAC = "02:00:00:00:00:01"
ROUTER_MAC = "02:00:00:00:00:02"


@dataclass(frozen=True, slots=True)
class Names:
    """Addresses by name, as text."""

    client: str
    other_client: str
    router: str
    stranger: str
    """Somebody who is neither a Service nor a backend."""
    web_vip: str
    other_web_vip: str
    """Another Service, with the same backend as web_vip."""
    dns_vip: str
    other_dns_vip: str
    sctp_vip: str
    sticky_vip: str
    empty_vip: str
    """Nobody home: reject."""
    local_vip: str
    """Nobody home on this node: drop."""
    self_vip: str
    """Its only backend is the client."""
    backend_one: str
    backend_two: str
    backend_three: str
    pods: str
    """The network of both clients."""


IPV4 = Names(
    client="10.0.0.10",
    other_client="10.0.0.11",
    router="10.0.0.1",
    stranger="192.0.2.77",
    web_vip="10.96.0.1",
    other_web_vip="10.96.0.2",
    dns_vip="10.96.0.3",
    other_dns_vip="10.96.0.4",
    sctp_vip="10.96.0.5",
    sticky_vip="10.96.0.6",
    empty_vip="10.96.0.7",
    local_vip="10.96.0.8",
    self_vip="10.96.0.9",
    backend_one="10.244.1.1",
    backend_two="10.244.2.2",
    backend_three="10.244.3.3",
    pods="10.0.0.0/28",
)
IPV6 = Names(
    client="fd00::10",
    other_client="fd00::11",
    router="fd00::1",
    stranger="2001:db8::77",
    web_vip="fd96::1",
    other_web_vip="fd96::2",
    dns_vip="fd96::3",
    other_dns_vip="fd96::4",
    sctp_vip="fd96::5",
    sticky_vip="fd96::6",
    empty_vip="fd96::7",
    local_vip="fd96::8",
    self_vip="fd96::9",
    backend_one="fd44:1::1",
    backend_two="fd44:2::2",
    backend_three="fd44:3::3",
    pods="fd00::10/124",
)


def names_of(family: int) -> Names:
    """The names of a family (4 or 6)."""
    return IPV4 if family == 4 else IPV6


def name_of(address: str) -> str:
    """The name that an address has, or the address."""
    for names in (IPV4, IPV6):
        for field in fields(names):
            if getattr(names, field.name) == address:
                return field.name
    return address
