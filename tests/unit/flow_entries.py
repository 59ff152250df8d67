"""Entries of the flow tables, packed by hand."""

from __future__ import annotations

import ipaddress
import struct

from tcnat.layout import Direction, FlowState
from tcnat.model import Protocol


def ends(text: str) -> tuple[bytes, bytes]:
    """Address and port, in network order, of ``10.0.0.1:80`` or ``[fd00::1]:80``."""
    host, _, port = text.rpartition(":")
    return ipaddress.ip_address(host.strip("[]")).packed, struct.pack(">H", int(port))


def flow_entry(
    client: str,
    front_end: str,
    backend: str,
    *,
    source: str = "",
    protocol: int = Protocol.TCP,
    direction: Direction = Direction.FORWARD,
    state: FlowState = FlowState.OPEN,
    seen: int = 0,
    timeout: int = 86400,
    service: int = 1,
    flags: int = 0,
) -> tuple[bytes, bytes]:
    """Key and value of a forward half (or of something with the same fields in the other direction)."""
    (from_address, from_port), (to_address, to_port) = ends(client), ends(front_end)
    new_source, new_destination = ends(source or client), ends(backend)
    key = from_address + to_address + from_port + to_port + struct.pack("=BBH", protocol, direction, 0)
    value = new_source[0] + new_destination[0] + new_source[1] + new_destination[1]
    value += struct.pack("=7IBBH", 7, 3, service, seen, 0, timeout, 0, state, flags, 0)
    return key, value
