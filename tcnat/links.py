"""What rtnetlink knows of devices, filters and routes, in tcnat's words. Pure; :mod:`tcnat.netlink` asks the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from tcnat.errors import TcnatError


class NetlinkFailure(TcnatError):
    """A netlink request that the kernel refused; ``errno`` is its answer."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


class Overrun(Exception):
    """The kernel dropped link messages because nobody took them: what is known of the links is no longer sure."""


class Hook(IntEnum):
    """Where on a device's clsact a filter sits; the value is the parent's handle (TC_H_CLSACT with a minor number)."""

    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. ``type`` is its ARPHRD number, ``kind`` the driver's name ("veth", "" for hardware),
    ``master`` the index of its bridge or bond (0: none), ``up`` whether it is set up, with carrier or without,
    ``qdisc`` its queueing discipline's kind; ``peer_elsewhere``: its other end is in another network namespace."""

    index: int
    name: str
    type: int
    kind: str = ""
    master: int = 0
    up: bool = True
    qdisc: str = ""
    peer_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """An address (network order) of a device. ``primary``: of global scope, and not one that is secondary, temporary,
    deprecated or tentative."""

    device: int
    address: bytes
    primary: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour that the kernel knows the way to: its address (network order), the device that it is behind, by
    index, and its link-layer address."""

    address: bytes
    device: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class LinkGone:
    """A device that is no longer in this namespace."""

    index: int


@dataclass(frozen=True, slots=True)
class ListingEnd:
    """The end of a listing; ``whole`` is False when devices changed meanwhile and it has to be asked for again."""

    whole: bool


@dataclass(frozen=True, slots=True)
class FilterLost:
    """A filter, or the whole clsact, was taken off a device; by whom is not told."""

    index: int


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route of the main table to one address, straight to a device (by its index), without a gateway; ``gone``: it
    was deleted."""

    address: IPv4Address | IPv6Address
    index: int
    metric: int = 0
    gone: bool = False


Message = Link | LinkGone | FilterLost | HostRoute | ListingEnd


@dataclass(frozen=True, slots=True)
class Qdisc:
    """An ``ingress`` or ``clsact`` qdisc; ``shared`` if its filters live in a block that devices share."""

    device: int
    kind: str
    shared: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a clsact hook as the kernel lists it.

    ``protocol`` is an ethertype in host order. Handle 0 stands for a priority's own heading. ``program`` is the BPF
    program's id, 0 where the kernel does not tell it (before 4.13)."""

    device: int
    hook: Hook
    priority: int
    protocol: int
    handle: int
    kind: str
    chain: int = 0
    name: str = ""
    classid: int = 0
    direct_action: bool = False
    program: int = 0
