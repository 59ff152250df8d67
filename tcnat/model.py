"""What the datapath serves, in terms free of Kubernetes and of the kernel.

Addresses are ``bytes`` in network order: 4 of them for IPv4, 16 for IPv6. That is what the maps hold, it hashes fast,
and 500,000 of them fit a small machine. :func:`parse_address` and :func:`format_address` convert.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Protocol(IntEnum):
    """IP protocol numbers of the protocols that a Service can have."""

    TCP = 6
    UDP = 17
    SCTP = 132

    __hash__ = int.__hash__  # as equal numbers have it; an enumeration's own hashes its name, in Python


class Verdict(StrEnum):
    """What becomes of a packet."""

    DNAT = "dnat"
    PASS = "pass"
    REJECT = "reject"
    DROP = "drop"


class Backend(NamedTuple):
    """One address (network order) and port that serves."""

    address: bytes
    port: int

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port)


class NodeInfo(NamedTuple):
    """What the rules ask about the node: its name, its zone ("" if it has none) and its addresses."""

    name: str = ""
    zone: str = ""
    addresses: tuple[bytes, ...] = ()


class ServicePortName(NamedTuple):
    """The key of a service port: namespace, Service name, port name ("" if unnamed) and protocol (rule 4)."""

    namespace: str
    name: str
    port: str
    protocol: Protocol

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.namespace}/{self.name}{port}"


class FrontEndKey(NamedTuple):
    """An address (network order), port and protocol that clients send to."""

    address: bytes
    port: int
    protocol: Protocol

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if len(self.address) == 4 else 6

    def __str__(self) -> str:
        return f"{format_endpoint(self.address, self.port)}/{self.protocol.name}"


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """A front end as the datapath is to serve it.

    ``backends`` are unique and sorted. ``verdict`` is DNAT when there are any; without, it is REJECT (no endpoint
    anywhere) or DROP (none on this node under a Local policy), rule 24. ``affinity_seconds`` 0 means no affinity.
    """

    key: FrontEndKey
    service: ServicePortName
    verdict: Verdict
    backends: tuple[Backend, ...] = ()
    affinity_seconds: int = 0


class Network(NamedTuple):
    """The addresses (network order) whose first ``prefix`` bits are those of ``address``; its other bits are 0."""

    address: bytes
    prefix: int

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, bytes) or len(address) != len(self.address):
            return False
        return _masked(address, self.prefix) == self.address

    def __str__(self) -> str:
        return f"{format_address(self.address)}/{self.prefix}"


def parse_address(text: str) -> bytes:
    """The bytes of an IPv4 or IPv6 address in text form; ValueError if it is none.

    IPv4 parts may have leading zeros and are decimal all the same (rule 7); an IPv4 address in IPv6 form
    (``::ffff:10.0.0.1``) is IPv4.
    """
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        address = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        address = _parse_with_leading_zeros(text)
    return address[12:] if address[:12] == _IPV4_IN_IPV6 else address


def parse_network(text: str) -> Network:
    """The network that a CIDR names; ValueError if it is none. White space around it and leading zeros do not matter
    (rule 7), bits behind the prefix are cleared."""
    address_text, slash, prefix_text = text.strip().partition("/")
    address = parse_address(address_text)
    if not slash or not prefix_text.isdecimal() or not prefix_text.isascii() or int(prefix_text) > 8 * len(address):
        raise ValueError(f"{text!r} is not a CIDR")
    return Network(_masked(address, int(prefix_text)), int(prefix_text))


def _parse_with_leading_zeros(text: str) -> bytes:
    head, colon, quad = text.rpartition(":")
    parts = quad.split(".")
    if len(parts) == 4 and all(part.isascii() and part.isdecimal() and int(part) < 256 for part in parts):
        plain = ".".join(str(int(part)) for part in parts)
        with suppress(OSError, ValueError):
            return socket.inet_pton(socket.AF_INET6 if colon else socket.AF_INET, head + colon + plain)
    raise ValueError(f"{text!r} is not an IP address")


def _masked(address: bytes, prefix: int) -> bytes:
    hidden = 8 * len(address) - prefix
    return (int.from_bytes(address, "big") >> hidden << hidden).to_bytes(len(address), "big")


_IPV4_IN_IPV6 = bytes(10) + b"\xff\xff"
_IPV6_LOOPBACK = bytes(15) + b"\x01"


def is_loopback(address: bytes) -> bool:
    """Whether an address is in 127.0.0.0/8 or is ::1."""
    return address[0] == 127 if len(address) == 4 else address == _IPV6_LOOPBACK


def format_address(address: bytes) -> str:
    """The text of an address in network order (IPv6 as RFC 5952 has it)."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def format_endpoint(address: bytes, port: int) -> str:
    """``10.0.0.1:80`` or ``[fd00::1]:80``."""
    text = format_address(address)
    return f"{text}:{port}" if len(address) == 4 else f"[{text}]:{port}"
