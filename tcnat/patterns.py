"""Which devices are meant, in an operator's words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from tcnat.errors import TcnatError
from tcnat.filters import ARPHRD_LOOPBACK, Role
from tcnat.links import Link

BRIDGE, ROUTE = "bridge:", "route:"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Which devices face what; a device in both faces the network. TcnatError for what means nothing.

    ``network`` holds exact names. ``workload`` holds shell patterns for names ("veth*"); after "bridge:" one for the
    bridge whose ports are meant ("bridge:cni0"); and after "route:" a network to whose addresses host routes point by
    the devices that are meant ("route:10.244.0.0/16")."""

    network: tuple[str, ...] = ()
    workload: tuple[str, ...] = ()
    routed: tuple[IPv4Network | IPv6Network, ...] = field(init=False)
    """The networks of the "route:" patterns."""

    def __post_init__(self) -> None:
        for pattern in (*self.network, *self.workload):
            if not pattern or pattern in {BRIDGE, ROUTE}:
                raise TcnatError(f"device pattern {pattern!r} names no device")
        for name in self.network:
            if any(character in name for character in "*?[/:"):
                raise TcnatError(f"--network-device {name}: give the exact name of a device, without patterns")
        for pattern in self.workload:
            if ":" in pattern and not pattern.startswith((BRIDGE, ROUTE)):
                raise TcnatError(f"--workload-device {pattern}: give NAME, {BRIDGE}NAME or {ROUTE}CIDR")
        object.__setattr__(self, "routed", tuple(_networks(self.workload)))

    def mean(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the device that a host route to the address points to is meant."""
        return any(address in network for network in self.routed)


def _networks(patterns: tuple[str, ...]) -> Iterator[IPv4Network | IPv6Network]:
    for pattern in patterns:
        if pattern.startswith(ROUTE):
            try:
                yield ip_network(pattern.removeprefix(ROUTE))
            except ValueError as error:
                raise TcnatError(f"--workload-device {pattern}: {error}") from None


def role_of(link: Link, patterns: Patterns, master: str = "", *, routed: bool = False) -> Role | None:
    """What a device faces by the patterns, None if it is not meant. ``master`` is the name of the bridge it is a port
    of, ``routed`` whether a host route that is meant points to it. No pattern means a loopback device: only its exact
    name does."""
    if link.name in patterns.network:
        return Role.NETWORK
    if link.type == ARPHRD_LOOPBACK:
        return None
    if routed or any(_matches(link.name, master, pattern) for pattern in patterns.workload):
        return Role.WORKLOAD
    return None


def _matches(name: str, master: str, pattern: str) -> bool:
    if pattern.startswith(BRIDGE):
        return bool(master) and fnmatchcase(master, pattern.removeprefix(BRIDGE))
    return fnmatchcase(name, pattern)
