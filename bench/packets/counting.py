"""What each kind of packet executes: instructions, and look-ups of hashes and of arrays."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tabulate import tabulate

from tcnat.bytecode import bytecode
from tcnat.layout import Family
from tcnat.loader import ENTRY_PROGRAMS, TAILS

from .kinds import KINDS, Device, Kind, open_flows
from .machine import Machine, Trace
from .programs import Rig
from .timing import SERVICES
from .world import settle

INSTRUCTIONS, HASHES, ARRAYS = "instructions", "hash look-ups", "array look-ups"


@dataclass(frozen=True, slots=True)
class Counted:
    """A kind of packet at a device, and what it executed."""

    kind: Kind
    family: Family
    device: Device
    trace: Trace

    def numbers(self) -> dict[str, int]:
        """By what was counted."""
        return {
            INSTRUCTIONS: self.trace.instructions,
            HASHES: self.trace.lookups("hash"),
            ARRAYS: self.trace.lookups("array"),
        }


def machine_of(rig: Rig, now: int | None = None) -> Machine:
    """A machine with tcnat's programs, on the rig's maps; its clock stands at ``now``, or at the kernel's time."""
    programs = {each.name: each for each in bytecode(rig.family).programs}
    made = Machine(programs, TAILS, rig.maps)
    made.now = time.monotonic_ns() if now is None else now
    return made


def counts(rig: Rig) -> Iterator[Counted]:
    """Every kind at each device, of flows that have been seen in this second; the maps stay as they are."""
    settle(rig.maps, rig.family, SERVICES)
    now = time.monotonic_ns()
    for device in Device:
        with _standing_still(rig, now):
            open_flows(rig, device)
        for kind in KINDS:
            frame = _unopened(kind.make(rig.family, device)) if kind.begins else kind.make(rig.family, device)
            entry = ENTRY_PROGRAMS["ingress" if kind.reply else "egress"]
            yield Counted(kind, rig.family, device, machine_of(rig, now).run(entry, frame, device.classid))


@contextmanager
def _standing_still(rig: Rig, now: int) -> Iterator[None]:
    """The programs' clock, meanwhile: `now` comes first in ``struct settings``."""
    settings, key = rig.maps["settings"], bytes(4)
    before = settings.lookup(key) or b""
    settings.update(key, struct.pack("=Q", now) + before[8:])
    try:
        yield
    finally:
        settings.update(key, before)


def _unopened(frame: bytes) -> bytes:
    """The same from a source port that has no flow."""
    at = 14 + (20 if frame[12:14] == b"\x08\x00" else 40)
    return frame[:at] + (60000).to_bytes(2, "big") + frame[at + 2 :]


def table(rows: list[Counted]) -> str:
    """For people; helpers with how often they are called."""
    columns = (INSTRUCTIONS, HASHES, ARRAYS)
    cells = [
        (
            f"IPv{row.family}",
            row.device,
            row.kind.title,
            *(row.numbers()[name] for name in columns),
            _helpers(row.trace),
        )
        for row in rows
    ]
    headings = ("FAMILY", "DEVICE FACES", "PACKET", *(name.upper() for name in columns), "HELPERS")
    return tabulate(cells, headings, tablefmt="plain")


def _helpers(trace: Trace) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(trace.calls.items()) if not name.startswith("look-up"))
