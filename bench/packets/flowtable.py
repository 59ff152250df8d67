"""Flow tables of several sizes: what a packet of theirs costs, and the kernel's memory for them.

A table is filled by tcnat's own programs: each flow is a UDP conversation of a client's with a Service, which the
backend answers. Then packets are handed to the program whose flow is chosen by chance before each: among a *few* of the
table's flows, or among *all* of them. A few flows stay in the CPU's caches however large the table is, so that they
tell what the table's size itself costs; all of them do not, and tell what memory costs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tcnat.bpf import Map, Program
from tcnat.layout import MAPS, Family, MapType
from tests.packets.harness import on_one_cpu

from .kinds import counted
from .programs import Course, Driver, Rig
from .timing import SERVICES, CycleBroken, undisturbed
from .world import PLACES, PORT_A, PORT_B, settle, udp

FEW, MANY = 1_000, 1_000_000
CHUNK = 8192
"""Flows that are begun before they are answered: as many as fit into the table of those that are not."""
HALVES = 2
SPARE = 1.04
"""An LRU map begins to forget a little before it is full."""
HOT, ALL = "few", "all"
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a flow table that holds so many flows, in MiB: what the kernel says of the map, and what went meanwhile."""

    flows: int
    entries: int
    told: float
    gone: float


class FlowTable:
    """A table with this many flows, and drivers for their packets."""

    def __init__(self, family: Family, flows: int) -> None:
        self.flows = flows
        self._rig = Rig(family, {"flows": max(int(flows * HALVES * SPARE), 4096)})
        settle(self._rig.maps, family, SERVICES)
        at = PLACES[family]
        self._frames = {
            "forward": udp(family, (at.client, 1), (at.a, PORT_A)),
            "reply": udp(family, (at.b, PORT_B), (at.client, 1)),
        }
        self._ends = {"forward": (at.a, PORT_A), "reply": (at.b, PORT_B)}
        self._tested = {"forward": self._rig.loaded.egress, "reply": self._rig.loaded.ingress}
        self._fill()
        self._drivers: dict[tuple[str, int, Program], Driver] = {}

    def cost(self, way: str, among: int, packets: int) -> float:
        """Nanoseconds a packet of one of the first ``among`` flows, chosen by chance, less what the choice takes."""
        before = counted(self._rig)
        whole = self._driver(way, among, self._tested[way]).run(self._frames[way], packets)
        reason = "FORWARDED" if way == "forward" else "REVERSED"
        if counted(self._rig).get(reason, 0) - before.get(reason, 0) != packets:
            raise CycleBroken(f"not every packet among {among} flows was one of them")
        choosing = self._driver(way, among, self._rig.empty)
        choice = min(choosing.run(self._frames[way], packets) for _ in range(2))  # what disturbs a run only adds to it
        return whole - choice + self._rig.empty.test_run(self._frames[way], packets).nanoseconds

    def _driver(self, way: str, among: int, tested: Program) -> Driver:
        key = way, among, tested
        if key not in self._drivers:
            self._drivers[key] = Driver(self._rig, "other", tested, self._course(way, among, random=True))
        return self._drivers[key]

    def _course(self, way: str, flows: int, *, random: bool) -> Course:
        client = PLACES[self._rig.family].client
        far, port = self._ends[way]
        return Course(0, flows, random, way == "reply", client, far, port)

    def _fill(self) -> None:
        drivers = {
            way: Driver(self._rig, "other", self._tested[way], self._course(way, self.flows, random=False))
            for way in self._ends
        }
        for start in range(0, self.flows, CHUNK):
            for way, each in drivers.items():
                each.run(self._frames[way], min(CHUNK, self.flows - start))
        found = counted(self._rig)
        if found != {"FORWARDED": self.flows, "REVERSED": self.flows}:
            raise CycleBroken(f"{self.flows} flows were to stand, but counted was {found}")

    def close(self) -> None:
        """Give it back."""
        self._rig.close()


def costs(
    family: Family, sizes: Iterable[int], rounds: int, packets: int
) -> dict[tuple[str, str, int], tuple[float, ...]]:
    """("forward" or "reply", "few" or "all", flows in the table) -> nanoseconds a packet, round by round."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    with on_one_cpu(), undisturbed():
        tables = [FlowTable(family, size) for size in sizes]
        for number in range(rounds):
            for table in tables if number % 2 else reversed(tables):
                for way in ("forward", "reply"):
                    for chosen, among in ((HOT, FEW), (ALL, table.flows)):
                        found[way, chosen, table.flows].append(table.cost(way, among, packets))
        for table in tables:
            table.close()
    return {key: tuple(runs) for key, runs in found.items()}


def memory(family: Family, flows: int) -> Memory:
    """Make a table for this many flows, and look."""
    layout = MAPS["flows"]
    entries = flows * HALVES
    before = _available()
    made = Map.create(MapType.LRU_HASH, layout.key_size(family), layout.value_size(family), entries, name="flows")
    gone = before - _available()
    told = next(
        int(line.split()[1])
        for line in Path(f"/proc/self/fdinfo/{made.fd}").read_text().splitlines()
        if "memlock" in line
    )
    made.close()
    return Memory(flows, entries, told / KIBIBYTE**2, gone / KIBIBYTE)


def _available() -> int:
    """KiB of memory that nobody has (/proc/meminfo: MemFree)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemFree:"))
