"""What became of all packets, counted by verdict, reason, front end and backend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from tcnat.model import Protocol
from tcnat.reasons import Reason
from tcnat.replay.fate import Fate

VERDICTS = ("rewrite", "answer", "drop", "pass")
_PROTOCOLS: dict[int, str] = {protocol: protocol.name for protocol in Protocol}


class Group(NamedTuple):
    """Packets with the same outcome. Texts are "" where there is nothing to say."""

    reason: Reason
    front_end: str
    backend: str
    service: str


@dataclass(slots=True)
class Summary:
    """Counts packets (and their bytes on the wire) as they go by."""

    packets: int = 0
    left: int = 0
    """Packets that leave: those that were not dropped."""
    first: int = 0
    last: int = 0
    """Time stamps of the first and the last packet, in nanoseconds."""
    counts: Counter[Group] = field(default_factory=Counter)
    sizes: Counter[Group] = field(default_factory=Counter)

    def add(self, fate: Fate) -> None:
        """Count one packet."""
        if not self.packets:
            self.first = fate.packet.time
        self.packets += 1
        self.last = fate.packet.time
        self.left += fate.data is not None
        group = group_of(fate)
        self.counts[group] += 1
        self.sizes[group] += fate.packet.length

    def by_verdict(self) -> dict[str, int]:
        """Packets of each verdict, in the order of ``VERDICTS``."""
        counts = dict.fromkeys(VERDICTS, 0)
        for group, count in self.counts.items():
            counts[group.reason.verdict] += count
        return counts

    def rows(self) -> list[tuple[Group, int, int]]:
        """(group, packets, bytes), by verdict, then the most frequent first."""
        ordered = sorted(
            self.counts.items(),
            key=lambda item: (VERDICTS.index(item[0].reason.verdict), -item[1], item[0][1:], item[0].reason.number),
        )
        return [(group, count, self.sizes[group]) for group, count in ordered]

    def seconds(self) -> float:
        """From the first packet to the last, by the capture's clock."""
        return (self.last - self.first) / 1e9


def group_of(fate: Fate) -> Group:
    """The packet's group. Ports that no Service has are left out: a port scan would make a group of each."""
    front_end = "" if fate.front_end is None else front_end_text(fate)
    if fate.front_end is not None and fate.service is None:
        front_end = str(fate.front_end._replace(port=0))
    return Group(fate.reason, front_end, str(fate.backend or ""), str(fate.service or ""))


def front_end_text(fate: Fate) -> str:
    """``10.96.0.10:80/TCP``, without port and protocol where the packet does not tell; "" without a front end."""
    if fate.front_end is None:
        return ""
    protocol = _PROTOCOLS.get(fate.protocol)
    return f"{fate.front_end}/{protocol}" if protocol and fate.front_end.port else str(fate.front_end)
