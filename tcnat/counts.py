"""The packet programs' counters, added up over the CPUs."""

from __future__ import annotations

from typing import NamedTuple

from tcnat.bpf import Map
from tcnat.layout import COUNTER, SERVICE_COUNTER, Struct, number_bytes


class Count(NamedTuple):
    """Packets and bytes."""

    packets: int
    bytes: int


class ServiceCount(NamedTuple):
    """What went from clients to a service port's backends and back, and the flows that began."""

    forward_packets: int
    forward_bytes: int
    reply_packets: int
    reply_bytes: int
    flows: int


def read_count(counters: Map, reason: int) -> Count:
    """What was counted under a reason's number."""
    return Count(*_sums(counters, COUNTER, reason))


def read_service_count(service_counters: Map, service: int) -> ServiceCount:
    """What was counted for a service id; nothing for one beyond the map."""
    return ServiceCount(*_sums(service_counters, SERVICE_COUNTER, service))


def _sums(counters: Map, layout: Struct, index: int) -> list[int]:
    """The fields of a per-CPU entry, each of which is 64 bits wide, added up over the CPUs."""
    raw = counters.lookup(number_bytes(index)) if index < counters.max_entries else None
    values = memoryview(raw or b"").cast("Q")
    fields = len(layout.fields)
    return [sum(values[field::fields]) for field in range(fields)]
