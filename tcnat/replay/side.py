"""Which program a packet meets: egress if it comes from a client, ingress if it goes to one."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum

from tcnat.errors import TcnatError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Side(StrEnum):
    """One of the two programs, by where it sits on a client's device."""

    EGRESS = "egress"
    INGRESS = "ingress"


Sides = tuple[Side, ...]
"""The programs that a packet meets, in order; the second only if the first had nothing to do with it."""
FindSides = Callable[[bytes, bytes], Sides]
"""(source, destination) -> the programs; addresses in network order."""

_FROM_CLIENT: Sides = (Side.EGRESS,)
_TO_CLIENT: Sides = (Side.INGRESS,)
_BETWEEN_CLIENTS: Sides = (Side.EGRESS, Side.INGRESS)
_NEITHER: Sides = ()
_MEMORY = 65536


def always(side: Side) -> FindSides:
    """Every packet meets the one program."""
    sides: Sides = (side,)
    return lambda source, destination: sides


def _sides(source: bool, destination: bool) -> Sides:
    if source:
        return _BETWEEN_CLIENTS if destination else _FROM_CLIENT
    return _TO_CLIENT if destination else _NEITHER


class ClientNetworks:
    """Clients are the addresses in the given networks. A packet between two of them leaves one client's device and
    enters the other's, as on a node with several pods."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._ranges = [
            (network.version, int(network.network_address), int(network.broadcast_address)) for network in networks
        ]
        self._known: dict[bytes, bool] = {}

    def __call__(self, source: bytes, destination: bytes) -> Sides:
        return _sides(self._is_client(source), self._is_client(destination))

    def _is_client(self, address: bytes) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _MEMORY:
                self._known.clear()
            known = self._known[address] = self._look(address)
        return known

    def _look(self, address: bytes) -> bool:
        version = 4 if len(address) == 4 else 6
        number = int.from_bytes(address, "big")
        return any(v == version and first <= number <= last for v, first, last in self._ranges)


class SeenClients:
    """Clients are the addresses that have sent to a front end's address so far in the capture."""

    def __init__(self, front_ends: Collection[bytes]) -> None:
        self._front_ends = frozenset(front_ends)
        self._clients: set[bytes] = set()

    def __call__(self, source: bytes, destination: bytes) -> Sides:
        if destination in self._front_ends:
            self._clients.add(source)
        return _sides(source in self._clients, destination in self._clients)


def parse_network(text: str) -> Network:
    """A CIDR or a lone address; TcnatError if it is neither."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise TcnatError(f"--client {text}: {error}", exit_code=2) from None
