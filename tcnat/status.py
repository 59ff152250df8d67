"""The state of the datapath as a whole; the fields of ``tcnat status -o json``, which docs/cli.md describes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tcnat.counts import Count, read_count
from tcnat.flows import TABLES, count_flows
from tcnat.layout import Way
from tcnat.loader import Loaded, open_pinned
from tcnat.lock import holder
from tcnat.neighbours import way_in
from tcnat.notes import NoRoom, read_notes
from tcnat.reasons import reasons
from tcnat.rows import DeviceRow
from tcnat.view import View, device_rows, programs_seconds


@dataclass(frozen=True, slots=True)
class MapStatus:
    """How full a map is."""

    name: str
    used: int
    entries: int


@dataclass(frozen=True, slots=True)
class FamilyStatus:
    """One address family. ``flows`` have been answered, ``unanswered_flows`` not yet."""

    family: int
    front_ends: int
    draining: int
    backends: int
    flows: int
    unanswered_flows: int
    lru: bool
    """Whether the kernel makes room in the flow tables by itself; else the agent does."""
    redirect: bool
    """Whether packets between workloads of this node are handed straight to the other's device."""
    reached: int
    """To how many addresses of workloads."""
    past_devices: int
    """To how many of them past the device, too."""
    maps: tuple[MapStatus, ...]


@dataclass(frozen=True, slots=True)
class ReasonStatus:
    """What became of packets of both families, under one reason."""

    reason: str
    verdict: str
    packets: int
    bytes: int
    words: str


@dataclass(frozen=True, slots=True)
class Status:
    """``stands``: the programs are loaded, and a device carries both of a family's."""

    stands: bool
    pins: str
    agent_running: bool
    agent_pid: int | None
    devices: tuple[DeviceRow, ...]
    families: tuple[FamilyStatus, ...]
    reasons: tuple[ReasonStatus, ...]
    no_room: tuple[NoRoom, ...]


def read_status(pins: Path, monotonic: float) -> Status:
    """The state now, at ``monotonic`` seconds of CLOCK_MONOTONIC; TcnatError if nothing is loaded at all."""
    loaded = open_pinned(pins)
    notes = read_notes(pins)
    devices = tuple(device_rows())
    pid = holder(pins)
    return Status(
        stands=any(device.complete for device in devices),
        pins=str(pins),
        agent_running=pid is not None,
        agent_pid=pid or None,
        devices=devices,
        families=tuple(_family(each, View(each, notes), monotonic) for each in loaded.values()),
        reasons=tuple(_reasons(loaded.values())),
        no_room=notes.no_room,
    )


def _family(loaded: Loaded, view: View, monotonic: float) -> FamilyStatus:
    maps = loaded.maps
    now = programs_seconds(maps, monotonic)
    (flows, flow_entries), (unanswered, new_entries) = (count_flows(loaded.family, maps[name], now) for name in TABLES)
    backends = sum(1 for _ in view.backends())
    used = {
        "services": view.entries,
        "slots": sum(slots for _, slots in {(front.base, front.slots) for _, front in view.fronts}),
        "backends": backends,
        "flows": flow_entries,
        "flows_new": new_entries,
    }
    ways = [way_in(entry) for _, entry in maps["neighbours"].items()]
    return FamilyStatus(
        family=int(loaded.family),
        front_ends=sum(not front.draining for _, front in view.fronts),
        draining=sum(front.draining for _, front in view.fronts),
        backends=backends,
        flows=flows,
        unanswered_flows=unanswered,
        lru=not loaded.swept,
        redirect=int.from_bytes(maps["redirect_until"].lookup(bytes(4)) or b"", sys.byteorder) > now,
        reached=len(ways),
        past_devices=ways.count(Way.PAST_DEVICE),
        maps=tuple(MapStatus(name, count, maps[name].max_entries) for name, count in used.items()),
    )


def _reasons(loaded: Iterable[Loaded]) -> Iterable[ReasonStatus]:
    counters = [each.maps["counters"] for each in loaded]
    for reason in reasons():
        counts = [read_count(each, reason.number) for each in counters]
        total = Count(sum(each.packets for each in counts), sum(each.bytes for each in counts))
        yield ReasonStatus(reason.name, reason.verdict, *total, reason.words)
