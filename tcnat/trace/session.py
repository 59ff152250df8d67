"""Turning tracing on in the maps, reading what comes, and turning it off again whatever happens."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tcnat.layout import TRACE, Family, port_bytes
from tcnat.loader import Loaded
from tcnat.trace.record import Decision, Pairing, decode
from tcnat.trace.ring import Ring
from tcnat.trace.switch import claim, switch

_FIRST = bytes(4)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which packets to trace; what is None is any. ``services`` are ids by family."""

    address: bytes | None = None
    port: int = 0
    protocol: int = 0
    services: Mapping[Family, int] | None = None
    device: int = 0
    snap: int = 128
    """Bytes of each packet, at most."""
    events_per_second: int = 1000
    """Packets that each CPU reports in a second, at most."""

    def families(self) -> list[Family]:
        """The families that it can match."""
        found = list(Family)
        if self.address is not None:
            found = [family for family in found if family.address_size == len(self.address)]
        if self.services is not None:
            found = [family for family in found if family in self.services]
        return found

    def pack(self, family: Family) -> bytes:
        """The entry of the trace map."""
        return TRACE.codec(family).pack(
            self.address or bytes(family.address_size),
            port_bytes(self.port),
            self.protocol,
            0,
            self.services[family] if self.services else 0,
            self.device,
            self.snap,
            self.events_per_second,
        )


class Session:
    """Tracing, from ``with`` to its end. TcnatError if another process traces already."""

    def __init__(self, loaded: Mapping[Family, Loaded], wanted: Filter) -> None:
        self._loaded = {family: loaded[family] for family in wanted.families() if family in loaded}
        self._filter = wanted
        self._rings: list[Ring] = []
        self._stack = ExitStack()
        self._pairing = {family: Pairing() for family in self._loaded}
        self.lost = 0
        """Records that found no room in the ring."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for family, loaded in self._loaded.items():
                settings = loaded.maps["settings"]
                claim(settings)
                stack.callback(switch, settings, 0)
                loaded.maps["trace"].update(_FIRST, self._filter.pack(family))
                self._rings.append(stack.enter_context(Ring(loaded.maps["events"])))
                switch(settings, os.getpid())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def decisions(self, seconds: float) -> list[Decision]:
        """Wait for records for so long at most, and give the decisions that they make, in the order of time."""
        poll = select.poll()
        for ring in self._rings:
            for descriptor in ring.descriptors():
                poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        decisions = []
        for ring in self._rings:
            for cpu, records, lost in ring.take():
                self.lost += lost
                for record in records:
                    event = decode(record)
                    decision = self._pairing[event.family].add(cpu, event)
                    if decision is not None:
                        decisions.append(decision)
        return sorted(decisions, key=lambda decision: decision.after.time)
