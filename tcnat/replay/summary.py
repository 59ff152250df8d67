"""What became of all packets, counted by verdict, reason, front end and backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tcnat.model import ServicePortName
from tcnat.reasons import Reason
from tcnat.replay.fate import Fate, Party, front_end_text

VERDICTS = ("rewrite", "answer", "drop", "pass")


class Group(NamedTuple):
    """Packets with the same outcome. ``protocol`` is that of the front end; 0 without one, or without a port."""

    reason: Reason
    front_end: Party | None
    protocol: int
    backend: Party | None
    service: ServicePortName | None

    @property
    def front_end_text(self) -> str:
        """``10.96.0.10:80/TCP``; "" without a front end."""
        return front_end_text(self.front_end, self.protocol)


_Key = tuple[Reason, Party | None, int, Party | None, ServicePortName | None]


@dataclass(slots=True)
class Summary:
    """Counts packets (and their bytes on the wire) as they go by."""

    packets: int = 0
    left: int = 0
    """Packets that leave: those that were not dropped."""
    first: int = 0
    last: int = 0
    """Time stamps of the first and the last packet, in nanoseconds."""
    _counts: dict[_Key, list[int]] = field(default_factory=dict)

    def add(self, fate: Fate) -> None:
        """Count one packet."""
        if not self.packets:
            self.first = fate.packet.time
        self.packets += 1
        self.last = fate.packet.time
        self.left += fate.data is not None
        key = _key(fate)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = [0, 0]
        count[0] += 1
        count[1] += fate.packet.length

    def by_verdict(self) -> dict[str, int]:
        """Packets of each verdict, in the order of ``VERDICTS``."""
        counts = dict.fromkeys(VERDICTS, 0)
        for (reason, *_), (packets, _) in self._counts.items():
            counts[reason.verdict] += packets
        return counts

    def rows(self) -> list[tuple[Group, int, int]]:
        """(group, packets, bytes), by verdict, then the most frequent first."""
        rows = [(Group(*key), packets, size) for key, (packets, size) in self._counts.items()]
        return sorted(rows, key=lambda row: (VERDICTS.index(row[0].reason.verdict), -row[1], _words(row[0])))

    def seconds(self) -> float:
        """From the first packet to the last, by the capture's clock."""
        return (self.last - self.first) / 1e9


def _key(fate: Fate) -> _Key:
    """The packet's group. Ports that no Service has are left out: a port scan would make a group of each."""
    front_end = fate.front_end
    if front_end is None or fate.service is None:
        return fate.reason, front_end and Party(front_end.address, 0), 0, fate.backend, None
    return fate.reason, front_end, fate.protocol, fate.backend, fate.service


def _words(group: Group) -> tuple[str, ...]:
    return group.reason.name, group.front_end_text, str(group.backend or ""), str(group.service or "")
