"""Removing what is past its time-out, where the kernel has no LRU maps to do it (4.9).

There a table that is full takes no new entry, so old ones must go. A sweep does a bounded amount of work at a time and
goes on where it left off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tcnat.bpf import Map
from tcnat.flows import expired
from tcnat.layout import AFFINITY, AFFINITY_KEY, FLOW, FRAGMENT, Family

Expired = Callable[[bytes, bytes, int], bool]
"""Key, value, now (seconds) -> whether the entry may go."""


class Sweeper:
    """Sweeps one family's maps."""

    def __init__(
        self,
        family: Family,
        maps: Mapping[str, Map],
        affinity_timeouts: Callable[[], Mapping[int, int]],
        fragment_timeout: Callable[[], int],
    ) -> None:
        """``affinity_timeouts``: service id -> seconds, of those that have affinity."""
        flow, affinity, fragment = (layout.codec(family).unpack for layout in (FLOW, AFFINITY, FRAGMENT))
        affinity_key = AFFINITY_KEY.codec(family).unpack

        def flow_expired(_key: bytes, value: bytes, now: int) -> bool:
            *_, seen, _, timeout, _, _, _, _ = flow(value)
            return expired(seen, timeout, now)

        def affinity_expired(key: bytes, value: bytes, now: int) -> bool:
            timeout = self._affinities().get(affinity_key(key)[1])
            return timeout is None or expired(affinity(value)[2], timeout, now)

        def fragment_expired(_key: bytes, value: bytes, now: int) -> bool:
            return expired(fragment(value)[2], fragment_timeout(), now)

        self._affinity_timeouts = affinity_timeouts
        self._known_affinities: Mapping[int, int] | None = None
        self._walks = [
            _Walk(maps["flows"], flow_expired),
            _Walk(maps["flows_new"], flow_expired),
            _Walk(maps["affinity"], affinity_expired),
            _Walk(maps["fragments"], fragment_expired),
        ]

    def sweep(self, now: int, budget: int) -> int:
        """Look at up to ``budget`` entries of each map; returns how many were removed. ``now`` is in seconds of the
        clock that the programs use."""
        self._known_affinities = None
        return sum(walk.step(now, budget) for walk in self._walks)

    def _affinities(self) -> Mapping[int, int]:
        if self._known_affinities is None:
            self._known_affinities = self._affinity_timeouts()
        return self._known_affinities


class _Walk:
    """Round after round over a map. An entry is removed when the walk is past it: the walk of a hash map begins anew
    where the key that it stands on has gone."""

    def __init__(self, swept: Map, expired: Expired) -> None:
        self._map = swept
        self._expired = expired
        self._entries = swept.items()
        self._doomed: bytes | None = None

    def step(self, now: int, budget: int) -> int:
        """Look at up to ``budget`` entries, up to the end of the round."""
        removed = 0
        for _ in range(budget):
            entry = next(self._entries, None)
            removed += self._remove_doomed(now)
            if entry is None:
                self._entries = self._map.items()
                break
            if self._expired(*entry, now):
                self._doomed = entry[0]
        return removed

    def _remove_doomed(self, now: int) -> bool:
        key, self._doomed = self._doomed, None
        if key is None:
            return False
        value = self._map.lookup(key)  # a packet may have come since
        return value is not None and self._expired(key, value, now) and self._map.delete(key)
