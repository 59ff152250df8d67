"""Fates made by hand, for the tests of what is done with them."""

from __future__ import annotations

from tcnat.model import Protocol, ServicePortName, parse_address
from tcnat.reasons import Reason, reasons
from tcnat.replay.capture import Packet
from tcnat.replay.fate import UNTOUCHED, Fate, Party
from tcnat.replay.side import Side

REASONS: dict[str, Reason] = {reason.name: reason for reason in reasons()}
WEB = ServicePortName("default", "web", "http", Protocol.TCP)
WEB_ADDRESS = Party(parse_address("10.96.0.10"), 80)
POD = Party(parse_address("10.0.1.2"), 8080)


def packet(number: int, data: bytes = b"", *, time: int | None = None, link_type: int = 1, length: int = 0) -> Packet:
    """A packet; by default one each millisecond."""
    stamp = number * 1_000_000 if time is None else time
    return Packet(number, stamp, link_type, data, length or len(data), data, "<")


def passed(captured: Packet) -> Fate:
    """Left as it was."""
    return Fate(captured, Side.EGRESS, UNTOUCHED, captured.data, captured.length)


def forwarded(captured: Packet, data: bytes) -> Fate:
    """Sent on from WEB to POD as ``data``."""
    reason = REASONS["forwarded"]
    return Fate(captured, Side.EGRESS, reason, data, len(data), False, Protocol.TCP, WEB_ADDRESS, POD, WEB)


def dropped(captured: Packet, reason: str = "no_local_endpoint") -> Fate:
    """Dropped on its way to WEB."""
    return Fate(captured, Side.EGRESS, REASONS[reason], None, 0, False, Protocol.TCP, WEB_ADDRESS, None, WEB)
