"""What became of a packet: verdict, reason, and the front end and backend that it was about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tcnat.model import Protocol, ServicePortName, format_address, format_endpoint
from tcnat.reasons import Reason
from tcnat.replay.capture import Packet
from tcnat.replay.headers import Headers, destination_of, source_of
from tcnat.replay.side import Side

Services = Mapping[tuple[bytes, int, int], ServicePortName]
"""(address, port, protocol) of a front end -> the service port that it belongs to."""

# The programs' reasons are in tcnat.reasons; these are what replay itself has to say.
UNTOUCHED = Reason(-1, "untouched", "pass", "no Service's business")
NOT_IP = Reason(-2, "not_ip", "pass", "neither IPv4 nor IPv6 (VLAN tags included): no program sees it")
NOT_A_CLIENTS = Reason(-3, "not_a_clients", "pass", "neither from a client nor to one")
CUT_OFF = Reason(-4, "cut_off", "pass", "captured in part, without all of its headers: left as it is")
TOO_LONG = Reason(-5, "too_long", "pass", "longer than a device takes: left as it is")
OWN_REASONS = (UNTOUCHED, NOT_IP, NOT_A_CLIENTS, CUT_OFF, TOO_LONG)

_PROTOCOLS: dict[int, str] = {protocol: protocol.name for protocol in Protocol}
_FORWARDED = frozenset({"forwarded", "fragment_forwarded"})
_REVERSED = frozenset({"reversed", "fragment_reversed"})


class Party(NamedTuple):
    """A front end or a backend; port 0 where the packet does not tell (later fragments, ICMP)."""

    address: bytes
    port: int

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port) if self.port else format_address(self.address)


def front_end_text(front_end: Party | None, protocol: int) -> str:
    """``10.96.0.10:80/TCP``, without port and protocol where they are not known; "" without a front end."""
    if front_end is None:
        return ""
    name = _PROTOCOLS.get(protocol)
    return f"{front_end}/{name}" if name and front_end.port else str(front_end)


class Fate(NamedTuple):
    """What became of one packet. ``data`` is what leaves, in the capture's link type (None: dropped), ``length`` its
    length on the wire. ``sent_back``: it goes back to the client (answers, and a client that is its own backend)."""

    packet: Packet
    side: Side | None
    reason: Reason
    data: bytes | None
    length: int
    sent_back: bool = False
    protocol: int = 0
    front_end: Party | None = None
    backend: Party | None = None
    service: ServicePortName | None = None

    @property
    def front_end_text(self) -> str:
        """``10.96.0.10:80/TCP``, without port and protocol where the packet does not tell; "" without a front end."""
        return front_end_text(self.front_end, self.protocol)

    @property
    def verdict(self) -> str:
        """rewrite, answer, drop or pass."""
        return self.reason.verdict

    @property
    def changed(self) -> bool:
        """Whether what leaves differs from what came."""
        return self.data != self.packet.data


def parties(reason: Reason, side: Side, headers: Headers, leaving: bytes | None) -> tuple[Party | None, Party | None]:
    """(front end, backend) of a packet that had these headers, and the Ethernet frame that left. One that is rewritten
    to what it was went straight to a backend: it has no front end."""
    if reason.verdict != "rewrite" or leaving is None:
        if reason.verdict == "pass":
            return None, None
        return (_destination(headers), None) if side is Side.EGRESS else (None, _source(headers))
    if reason.name in _FORWARDED:
        return _unless_same(_destination(headers), destination_of(leaving, headers))
    if reason.name in _REVERSED:
        return _unless_same(source_of(leaving, headers), _source(headers))
    return (None, None) if headers.quoted is None else _of_quotes(reason, headers.quoted, leaving)


def _of_quotes(reason: Reason, quoted: Headers, leaving: bytes) -> tuple[Party | None, Party | None]:
    """The quote in a client's error is a reply, that in an error to a client is what was sent to a backend."""
    if reason.name == "icmp_forwarded":
        return _unless_same(_source(quoted), source_of(leaving, quoted))
    return _unless_same(destination_of(leaving, quoted), _destination(quoted))


def _unless_same(front_end: tuple[bytes, int], backend: tuple[bytes, int]) -> tuple[Party | None, Party]:
    return (None if front_end == backend else Party(*front_end)), Party(*backend)


def _source(headers: Headers) -> Party:
    return Party(headers.source, headers.source_port)


def _destination(headers: Headers) -> Party:
    return Party(headers.destination, headers.destination_port)
