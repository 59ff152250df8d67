"""What the maps need from time to time: front ends that have drained go, a trace that was killed is switched off, pins
that others took away come back, and, without LRU maps, what is past its time goes.

Together with :func:`tcnat.notes.write_news`, which belongs behind each sync, this is all that an agent has to do for
the maps beside syncing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tcnat.layout import Family
from tcnat.loader import Loaded
from tcnat.maps import MapStore
from tcnat.restore import restore_pins
from tcnat.sweep import Sweeper
from tcnat.trace.switch import clear_stale

SWEPT_AT_ONCE = 16384
"""Entries of each map that one run looks at: about a quarter of a second on kernels that have no batches either."""


class Upkeep:
    """Keeps the maps of several families. ``run`` is for the thread that syncs them."""

    def __init__(
        self, loaded: Mapping[Family, Loaded], stores: Mapping[Family, MapStore], pins: Path | None = None
    ) -> None:
        """``pins``: where all of it is pinned; None: nowhere."""
        self._pins = pins
        self._loaded = loaded
        self._stores = stores
        self._settings = [each.maps["settings"] for each in loaded.values()]
        self._sweepers: list[Sweeper] = [stores[family].sweeper() for family, each in loaded.items() if each.swept]

    @property
    def sweeps(self) -> bool:
        """Whether there is something to sweep: then :meth:`run` should come every few seconds."""
        return bool(self._sweepers)

    def run(self, now: float) -> int:
        """Do what is due; ``now`` is CLOCK_MONOTONIC in seconds. Returns how many entries were removed. TcnatError
        where something fails."""
        for settings in self._settings:
            clear_stale(settings)
        removed = sum(store.drain(int(now)) for store in self._stores.values())
        removed += sum(sweeper.sweep(int(now), SWEPT_AT_ONCE) for sweeper in self._sweepers)
        if self._pins is not None:
            for loaded in self._loaded.values():
                restore_pins(self._pins, loaded)
        return removed
