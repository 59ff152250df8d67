"""Which reason a program counted for a packet, told by the counters map at the cost of at most a few look-ups."""

from __future__ import annotations

import struct

from tcnat.bpf import Map
from tcnat.layout import number_bytes
from tcnat.reasons import Reason, reasons
from tcnat.replay.side import Side

UNSPEC, SHOT, REDIRECT = -1, 2, 7
"""TC_ACT_UNSPEC, TC_ACT_SHOT, TC_ACT_REDIRECT."""
_COUNTER = struct.Struct("=QQ")


class Counters:
    """One family's counters, as they were last known: packets of all CPUs, by the reason's number."""

    def __init__(self, counters: Map) -> None:
        self._counters = counters
        self._keys = [number_bytes(reason.number) for reason in reasons()]
        self.known = [self._read(key) for key in self._keys]

    def has_moved(self, reason: Reason) -> bool:
        """Whether the reason was counted since it was last looked at."""
        count = self._read(self._keys[reason.number])
        moved = count != self.known[reason.number]
        self.known[reason.number] = count
        return moved

    def _read(self, key: bytes) -> int:
        return sum(packets for packets, _ in _COUNTER.iter_unpack(self._counters.lookup(key) or b""))


class Tally:
    """The reasons of one program's packets.

    A plain TCP or UDP packet that was rewritten and passed on can only have been counted as what its program mostly
    does. For others, only the counters that could have moved are looked at, the last one that did first.
    """

    def __init__(self, side: Side, counters: Counters) -> None:
        self._counters = counters
        name = "forwarded" if side is Side.EGRESS else "reversed"
        self._usual = next(reason for reason in reasons() if reason.name == name)
        self._candidates: dict[tuple[int, bool, bool], list[Reason]] = {}

    def reason(self, verdict: int, changed: bool, plain: bool) -> Reason | None:
        """Of the packet that the program has just decided on; None if it counted none. To be asked for each packet."""
        if plain and changed and verdict == UNSPEC:
            self._counters.known[self._usual.number] += 1
            return self._usual
        kind = (verdict, changed, plain)
        candidates = self._candidates.get(kind)
        if candidates is None:
            candidates = self._candidates[kind] = self._possible(verdict, changed, plain)
        for index, reason in enumerate(candidates):
            if self._counters.has_moved(reason):
                if index:
                    candidates.insert(0, candidates.pop(index))
                return reason
        return None

    def _possible(self, verdict: int, changed: bool, plain: bool) -> list[Reason]:
        """What a verdict can be counted as. A packet that is passed unchanged may be one that goes straight to a
        backend, or comes from it, or a malformed one."""
        if verdict == UNSPEC and not changed and plain:
            return [self._usual]
        kinds = {SHOT: {"drop"}, REDIRECT: {"answer", "rewrite"}, UNSPEC: {"rewrite"}}.get(
            verdict, {"rewrite", "answer"}
        )
        if verdict == UNSPEC and not changed:
            kinds = {"rewrite", "pass"}
        found = [reason for reason in reasons() if reason.verdict in kinds]
        return sorted(found, key=lambda reason: (reason != self._usual, reason.number))
