"""Packets in words: which fields differ, by the names that people give them. Dissected by scapy."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from tcnat.replay import link
from tcnat.replay.capture import Packet as Captured
from tcnat.replay.compare import Difference, Kind
from tcnat.replay.fate import Fate
from tcnat.tables import table

Names = Mapping[str, str]
"""The text of an address -> what it is ("Service default/web", "backend of default/web")."""
Row = tuple[str, str, str]
"""Field, what it is, what was expected."""

_LINKS: dict[int, type[Packet]] = {
    link.ETHERNET: Ether,
    link.LINUX_SLL: CookedLinux,
    link.LINUX_SLL2: CookedLinuxV2,
    link.IPV4: IP,
    link.IPV6: IPv6,
}
_LAYERS = (
    Ether, CookedLinux, CookedLinuxV2, Dot1Q, IP, IPv6, IPerror, IPerror6, TCP, UDP, SCTP, TCPerror, UDPerror, ICMP,
    ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, ICMPv6ParamProblem, ICMPv6EchoRequest, ICMPv6EchoReply,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
)  # fmt: skip
"""What is read field by field; anything behind is payload, whatever scapy takes it for."""

_LAYER_WORDS: dict[type[Packet], str] = {
    Ether: "Ethernet",
    IPerror: "IP",
    IPerror6: "IPv6",
    TCPerror: "TCP",
    UDPerror: "UDP",
    Dot1Q: "VLAN",
}
_WORDS = {
    "src": "source address", "dst": "destination address", "sport": "source port", "dport": "destination port",
    "chksum": "checksum", "cksum": "checksum", "len": "length", "plen": "payload length", "ihl": "header length",
    "dataofs": "header length", "ttl": "TTL", "hlim": "hop limit", "tos": "type of service", "tc": "traffic class",
    "fl": "flow label", "nh": "next header", "proto": "protocol", "id": "identification", "frag": "fragment offset",
    "seq": "sequence number", "ack": "acknowledgement number", "urgptr": "urgent pointer", "tag": "verification tag",
    "mtu": "MTU", "nexthopmtu": "next hop's MTU", "type": "type", "code": "code",
}  # fmt: skip
_HEX = frozenset({"chksum", "cksum"})
_PLAIN = frozenset({"sport", "dport", "len", "plen"})
_LONGEST = 60


def dissect(data: bytes, link_type: int) -> Packet:
    """The packet as scapy reads it."""
    layer = _LINKS.get(link_type, Raw)
    if link_type == link.RAW:
        layer = IPv6 if data[:1] and data[0] >> 4 == 6 else IP
    try:
        return layer(data)
    except struct.error:  # shorter than the header
        return Raw(data)


def explain(difference: Difference, golden_name: str, first: int, names: Names) -> str:
    """A difference in words: a heading, and the fields below it. ``first`` is the first packet's time stamp."""
    kind, fate, golden = difference
    if kind is Kind.MISSING:
        assert golden is not None
        why = f"packet {fate.packet.number} was dropped: {fate.reason.words}" if fate else "nothing took its place"
        summary = _summary(golden.data, golden.link_type)
        return f"packet {golden.number} of {golden_name} is missing ({why}):\n  {summary}"
    assert fate is not None
    assert fate.data is not None
    heading = f"packet {fate.packet.number} at {(fate.packet.time - first) / 1e9:.6f} s ({_about(fate)})"
    if golden is None:
        return f"{heading} is not expected:\n  {_summary(fate.data, fate.packet.link_type)}"
    rows = table(("FIELD", "FOUND", "EXPECTED"), _rows(fate, golden, names))
    indented = "\n".join(f"  {line}".rstrip() for line in rows.splitlines())
    return f"{heading} differs from packet {golden.number} of {golden_name}:\n{indented}"


def _about(fate: Fate) -> str:
    front_end = fate.front_end_text
    service = f" of {fate.service}" if fate.service else ""
    return ", ".join(
        part for part in (fate.side, f"{fate.verdict} {fate.reason.name}", front_end and front_end + service) if part
    )


def _summary(data: bytes, link_type: int) -> str:
    return f"{dissect(data, link_type).summary()} ({len(data)} bytes)"


def _rows(fate: Fate, golden: Captured, names: Names) -> list[Row]:
    assert fate.data is not None
    if fate.packet.link_type != golden.link_type:
        return [("link type", _link_name(fate.packet.link_type), _link_name(golden.link_type))]
    rows = list(compare(fate.data, golden.data, golden.link_type, names))
    if fate.length != golden.length:
        rows.append(("length on the wire", str(fate.length), str(golden.length)))
    return rows


def _link_name(number: int) -> str:
    return link.LINK_TYPES[number][0] if number in link.LINK_TYPES else str(number)


def compare(found: bytes, expected: bytes, link_type: int, names: Names) -> Iterator[Row]:
    """The fields in which two packets differ, from the outside in."""
    ours: Any = dissect(found, link_type)
    theirs: Any = dissect(expected, link_type)
    quoted = ""
    while type(ours) is type(theirs) and isinstance(ours, _LAYERS):
        if isinstance(ours, (IPerror, IPerror6)):
            quoted = "quoted "
        yield from _layer_rows(quoted, ours, theirs, names)
        ours, theirs = ours.payload, theirs.payload
    if isinstance(ours, _LAYERS) or isinstance(theirs, _LAYERS):
        yield "what follows", _shortened(ours.summary()) or "nothing", _shortened(theirs.summary()) or "nothing"
    else:
        yield from _payload_rows(ours.original, theirs.original, len(found) - len(ours.original))


def _layer_rows(prefix: str, ours: Packet, theirs: Packet, names: Names) -> Iterator[Row]:
    layer = prefix + _LAYER_WORDS.get(type(ours), type(ours).__name__)
    for field in ours.fields_desc:
        mine, other = ours.getfieldval(field.name), theirs.getfieldval(field.name)
        if mine != other:
            word = _WORDS.get(field.name, field.name)
            yield f"{layer} {word}", _value(ours, field, mine, names), _value(theirs, field, other, names)


def _value(layer: Packet, field: Any, value: Any, names: Names) -> str:
    if field.name in _HEX and isinstance(value, int):
        return f"0x{value:0{field.sz * 2}x}"
    if field.name in _PLAIN or value is None:
        return str(value)
    text = _shortened(str(field.i2repr(layer, value)))
    if isinstance(value, str):
        return f"{value} ({names[value]})" if value in names else value
    return f"{text} ({value})" if isinstance(value, int) and text != str(value) else text


def _payload_rows(found: bytes, expected: bytes, start: int) -> Iterator[Row]:
    if found == expected:
        return
    if len(found) != len(expected):
        yield "payload length", str(len(found)), str(len(expected))
    common = min(len(found), len(expected))
    at = next((index for index in range(common) if found[index] != expected[index]), common)
    yield f"payload from byte {at} (of the packet: {start + at})", _some(found, at), _some(expected, at)


def _some(data: bytes, at: int) -> str:
    """Eight bytes as hex and text."""
    some = data[at : at + 8]
    return f"{some.hex(' ')} {''.join(chr(b) if 32 <= b < 127 else '.' for b in some)}" if some else "ends here"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
