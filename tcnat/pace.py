"""When the next sync may run: at once for a lone change, in batches for a burst of them.

The rule is that of kube-proxy's BoundedFrequencyRunner: a bucket of ``burst`` tokens, one more in every
``min_interval``; a sync takes one. Pure: every method is told the time, in seconds of any steady clock.
"""

from __future__ import annotations

BURST = 2
"""Syncs that may follow each other at once, as in kube-proxy."""


class Pace:
    """Paces the syncs that changes ask for, and the resyncs that come every ``max_interval`` seconds without them."""

    def __init__(self, now: float, min_interval: float, max_interval: float, burst: int = BURST) -> None:
        self._min_interval = min_interval
        self._max_interval = max_interval
        self._burst = burst
        self._tokens = float(burst)
        self._counted = now
        self._wanted_since: float | None = None
        self._resync_at = now + max_interval

    @property
    def wanted_since(self) -> float | None:
        """When the oldest change that waits for its sync was told of; None if none waits."""
        return self._wanted_since

    def want(self, now: float) -> None:
        """Something changed."""
        if self._wanted_since is None:
            self._wanted_since = now

    def sync_due(self, now: float) -> bool:
        """Whether a change waits and its sync may run now."""
        return self._wanted_since is not None and self._sync_at(now) <= now

    def resync_due(self, now: float) -> bool:
        """Whether it is time to look at everything again, asked for or not."""
        return self._resync_at <= now

    def deadline(self, now: float) -> float:
        """When :meth:`sync_due` or :meth:`resync_due` next becomes true if nothing else happens."""
        if self._wanted_since is None:
            return self._resync_at
        return min(self._sync_at(now), self._resync_at)

    def synced(self, now: float) -> None:
        """A sync ran: what waited is done, and a token is spent."""
        self._refill(now)
        self._tokens = max(self._tokens - 1, 0)
        self._wanted_since = None

    def nothing_changed(self) -> None:
        """What was told of came to nothing: no sync was needed, and no token is spent."""
        self._wanted_since = None

    def resynced(self, now: float) -> None:
        """A resync ran: the next comes ``max_interval`` later."""
        self._resync_at = now + self._max_interval

    def _sync_at(self, now: float) -> float:
        self._refill(now)
        return now if self._tokens >= 1 else now + (1 - self._tokens) * self._min_interval

    def _refill(self, now: float) -> None:
        if self._min_interval <= 0:
            self._tokens = float(self._burst)
        else:
            self._tokens = min(self._tokens + (now - self._counted) / self._min_interval, float(self._burst))
        self._counted = now
