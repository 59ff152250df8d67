"""A VXLAN between nodes, made the way flannel makes it: a device for each address family, and nothing is learned, as
each node is told of the others' addresses by hand. Source: flannel (pkg/backend/vxlan)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tcnat.layout import Family

from .addresses import Addresses, Network

OVERHEAD = 70
"""Bytes that a packet grows by, with IPv6 outside: 14 + 40 + 8 + 8."""
_PORT = 8472


class End(Protocol):
    """What the others must know of a node."""

    number: int
    network: Network
    addresses: Addresses


class Joined(End, Protocol):
    """A node that can be given devices."""

    def ip(self, *lines: str) -> None: ...
    def run(self, *args: str) -> str: ...


@dataclass(frozen=True, slots=True)
class _Overlay:
    """One family's."""

    family: Family
    device: str
    prefix: int

    def mac(self, end: End) -> str:
        return f"0a:58:00:00:{self.family:02x}:{end.number:02x}"

    def address(self, end: End) -> str:
        """The first of the node's pod network, which no pod has."""
        return end.network.host(0).of(self.family)


_OVERLAYS = (_Overlay(Family.IPV4, "flannel.1", 32), _Overlay(Family.IPV6, "flannel-v6.1", 128))


def join(node: Joined, others: Iterable[End], mtu: int) -> None:
    """Give a node its ends of the overlays; ``mtu`` is that of the network below."""
    for overlay in _OVERLAYS:
        local = node.addresses.of(overlay.family)
        device = overlay.device
        node.ip(
            f"link add {device} mtu {mtu - OVERHEAD} address {overlay.mac(node)} type vxlan id 1 "
            f"local {local} dev eth0 dstport {_PORT} nolearning",
            f"address add {overlay.address(node)}/{overlay.prefix} dev {device}",
            f"link set {device} up",
        )
        for other in others:
            node.run(
                "bridge", "fdb", "append", overlay.mac(other), "dev", device, "dst", other.addresses.of(overlay.family)
            )
            node.ip(
                f"neighbour replace {overlay.address(other)} lladdr {overlay.mac(other)} dev {device} nud permanent",
                f"route add {other.network.ranges.of(overlay.family)} via {overlay.address(other)} dev {device} onlink",
            )
