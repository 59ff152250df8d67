"""All of it as results: times beside the calibration with their verdicts, counts, the flow table, real traffic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tcnat.bpf import raise_memlock
from tcnat.layout import Family

from ..figures import Figure
from ..marks import Mark, verdicts
from ..results import Results
from ..series import Measure, Series
from . import connection, counting, flowtable, stats, timing
from .kinds import Device
from .programs import Rig
from .timing import CALIBRATION, EMPTY, TCNAT, Effort, Key

MOST, MOST_LOOKUPS, MOST_SLOWER = 4.0, 1, 1.2
"""A packet of an open flow ÷ the calibration; hash look-ups for what is no Service's; a large table ÷ a small one."""
OPEN = ("forward_open_tcp", "forward_open_udp", "reply_open_tcp", "reply_open_udp")
MEMORY = (flowtable.FEW, 65_536, flowtable.MANY)
"""Flows; a default table holds 65,536."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: ``effort`` of times, rounds and packets of each flow table's, seconds of real traffic."""

    effort: Effort
    families: Sequence[Family]
    """Of the flow tables."""
    rounds: int
    packets: int
    large: int
    """Flows of the large table."""
    datagrams: int
    """Of each kind of real traffic."""


FULL = Extent(timing.FULL, tuple(Family), rounds=9, packets=100_000, large=flowtable.MANY, datagrams=20_000)
QUICK = Extent(timing.QUICK, (Family.IPV4,), rounds=3, packets=50_000, large=100_000, datagrams=1_500)


def measure(extent: Extent) -> Results:
    """Everything that there is of single packets. CycleBroken where a packet was not what it was to be."""
    raise_memlock()
    found = of_times(timing.times(extent.effort))
    found.figures += of_counts(row for family in Family for row in _counts(family))
    for family in Family:
        found.figures += of_connections(family, connection.costs(family, extent.rounds))
    for family in extent.families:
        found.figures += of_costs(
            family, flowtable.costs(family, (flowtable.FEW, extent.large), extent.rounds, extent.packets)
        )
        found.figures += [of_memory(family, flowtable.memory(family, flows)) for flows in MEMORY]
    found.figures += stats.figures(extent.datagrams)
    return found


def of_times(times: dict[Key, dict[str, tuple[float, ...]]]) -> Results:
    """A series for each kind and program where the device faces the network, with marks for open flows; of those that
    face workloads, tcnat's time and its ratio to the calibration."""
    found = Results()
    marks = []
    for (kind, family, device), programs in times.items():
        title = f"{kind.title}, IPv{family}"
        if device is Device.WORKLOAD:
            found.figures += _beside(f"{title}, at a workload's device", programs, kind.key in OPEN)
            continue
        key = f"packet_{kind.key}_ipv{family}"
        found.measures.append(Measure(key, title, "ns", more_is_better=False))
        found.series += [Series(key, name, 0, programs[name]) for name in (TCNAT, CALIBRATION, EMPTY)]
        if kind.key in OPEN:
            marks.append(Mark(key, TCNAT, CALIBRATION, 0, at_most=MOST))
    found.verdicts = verdicts(marks, found.series)
    return found


def _beside(title: str, programs: dict[str, tuple[float, ...]], marked: bool) -> list[Figure]:
    ratios = tuple(own / other for own, other in zip(programs[TCNAT], programs[CALIBRATION], strict=True))
    return [
        Figure(title, "ns", programs[TCNAT]),
        Figure(f"{title}: ÷ calibration", "ratio", ratios, at_most=MOST if marked else None),
    ]


def _counts(family: Family) -> list[counting.Counted]:
    return list(counting.counts(Rig(family)))


def of_counts(rows: Iterable[counting.Counted]) -> list[Figure]:
    """Instructions and look-ups of each kind where the device faces the network."""
    found = []
    for row in rows:
        if row.device is Device.WORKLOAD:
            continue
        for name, count in row.numbers().items():
            title = f"{name}: {row.kind.title}, IPv{row.family}"
            marked = name == counting.HASHES and not row.kind.reason
            found.append(Figure(title, "", (count,), at_most=MOST_LOOKUPS if marked else None))
    return found


def of_costs(family: Family, costs: dict[tuple[str, str, int], tuple[float, ...]]) -> list[Figure]:
    """Times, and the large table's ÷ the small one's."""
    found = []
    sizes = sorted({size for _, _, size in costs})
    for way in ("forward", "reply"):
        for chosen in (flowtable.HOT, flowtable.ALL):
            runs = {size: costs[way, chosen, size] for size in sizes}
            for size, each in runs.items():
                among = flowtable.FEW if chosen == flowtable.HOT else size
                if among == size and chosen == flowtable.HOT:
                    continue  # the same as all of them
                name = f"IPv{family} {way}, one of {among:,} flows by chance, {size:,} in the table"
                found.append(Figure(name, "ns", each))
            small, large = sizes[0], sizes[-1]
            ratios = tuple(own / other for own, other in zip(runs[large], runs[small], strict=True))
            which = f"the same {flowtable.FEW:,} flows" if chosen == flowtable.HOT else "any of its flows"
            name = f"IPv{family} {way}, {which}: {large:,} in the table ÷ {small:,}"
            found.append(Figure(name, "ratio", ratios, at_most=MOST_SLOWER))
    return found


def of_connections(family: Family, costs: dict[str, tuple[float, ...]]) -> list[Figure]:
    """Of each of a connection's packets, and of all together."""
    whole = tuple(sum(packets) / 1000 for packets in zip(*costs.values(), strict=True))
    name = f"IPv{family}, a short connection"
    each = [Figure(f"{name}: {packet}", "ns", runs) for packet, runs in costs.items()]
    return [*each, Figure(f"{name}: all its {len(costs)} packets", "µs", whole)]


def of_memory(family: Family, found: flowtable.Memory) -> Figure:
    """What the kernel tells of the map."""
    name = f"IPv{family} flow table for {found.flows:,} flows ({found.entries:,} entries): kernel memory"
    return Figure(name, "MiB", (found.told,))
