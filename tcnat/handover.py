"""From the programs of another version to this version's, under traffic.

Where the layouts of their flows differ, each version knows only the flows of its own maps. So for the moment of the
change the old tc_ingress stays behind the new one and reverses the replies that only it knows; flows are carried over
right before the filters change, and once more when no packet begins a flow in the old maps any longer. Then the old
tc_ingress and all pins of other versions go. A change that is interrupted anywhere is begun anew by the next start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tcnat.bpf import Program
from tcnat.errors import TcnatError
from tcnat.filters import Programs
from tcnat.keeper import DeviceKeeper
from tcnat.layout import MAPS, Family
from tcnat.loader import Loaded
from tcnat.migrate import await_everything, carry_over, understood_sets
from tcnat.pins import family_directory, generations, open_programs, other_sets, remove_generations, remove_set

log = logging.getLogger(__name__)

MakeKeeper = Callable[[Programs], DeviceKeeper]


class Handover:
    """A :class:`tcnat.loop.Devices` that first takes over from the versions whose pins are beside this one's."""

    def __init__(self, pins: Path, loaded: Mapping[Family, Loaded], keep: MakeKeeper) -> None:
        """``keep`` makes what keeps given programs on the devices."""
        self._pins = pins
        self._loaded = loaded
        self._others = {family: understood_sets(pins, family) for family in loaded}
        self._retiring = {family: self._ingress_of(family) for family in loaded}
        self._done = not any(map(self._has_predecessor, loaded))
        self.keeper = keep(self._programs(retiring=True))

    def start(self) -> None:
        """See :class:`tcnat.loop.Devices`."""
        if not self._done:
            self._carry_over()
        self.keeper.start()
        self._finish()

    def sync(self) -> None:
        """See :class:`tcnat.loop.Devices`."""
        self.keeper.sync()

    def resync(self) -> None:
        """See :class:`tcnat.loop.Devices`."""
        self.keeper.resync()
        self._finish()

    def _finish(self) -> None:
        """Let go of the other versions, once every device carries the new programs."""
        if self._done or self.keeper.problems:
            return
        entries = self._carry_over()
        try:
            self.keeper.replace(self._programs(retiring=False))
        except TcnatError as error:
            log.error("devices: %s; the programs of another version stay until the next resync", error)
            return
        for family, loaded in self._loaded.items():
            remove_generations(family_directory(self._pins, family), keep=loaded.digest)
            for directory in other_sets(self._pins, family):
                remove_set(directory)
        self._done = True
        log.info("took over from the programs of another version; carried_over=%d", entries)

    def _carry_over(self) -> int:
        """Bring the flows and their kin of other layouts into this version's maps."""
        for family, loaded in self._loaded.items():
            if self._others[family]:
                await_everything(loaded.maps["awaited"], time.monotonic())
        return sum(
            carry_over(layout, other, self._loaded[family].maps[name])
            for family, others in self._others.items()
            for other in others
            for name, layout in MAPS.items()
            if layout.swept and other.has(name) and not other.shares(name)
        )

    def _has_predecessor(self, family: Family) -> bool:
        own = family_directory(self._pins, family)
        return bool(other_sets(self._pins, family)) or generations(own) != [self._loaded[family].digest]

    def _ingress_of(self, family: Family) -> Program | None:
        """tc_ingress of the latest other layout; None where there is none."""
        for other in reversed(self._others[family]):
            for digest in generations(other.directory):
                return open_programs(other.directory, digest)[1]
        return None

    def _programs(self, *, retiring: bool) -> Programs:
        ipv4, ipv6 = self._loaded[Family.IPV4], self._loaded[Family.IPV6]
        old = {family: program.fd for family, program in self._retiring.items() if program is not None and retiring}
        return Programs(
            ipv4.egress.fd,
            ipv4.ingress.fd,
            ipv6.egress.fd,
            ipv6.ingress.fd,
            retiring4=old.get(Family.IPV4),
            retiring6=old.get(Family.IPV6),
        )
