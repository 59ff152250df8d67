"""Whether the agent keeps up, as kube-proxy's /healthz and /livez tell it (service-semantics rule 33)."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from tcnat.web import Answer, Route

MANY = 100
"""Object errors that /healthz lists."""


@dataclass
class Health:
    """What the agent's thread tells, and the servers' threads ask. Times that are shown are seconds since the epoch.

    An update that waits longer than ``patience`` seconds for its sync makes the agent unhealthy. The first sync waits
    from the start. Waiting is measured by ``steady``, seconds of a clock that nobody sets.
    """

    patience: float
    steady: Callable[[], float]
    last_updated: float | None = None
    waiting_since: float | None = field(init=False)
    node_eligible: bool = True
    errors: tuple[str, ...] = ()
    """What is wrong with the objects, a line each. It does not make the agent unhealthy: the rest is in force."""
    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    """(``healthz`` or ``livez``, status) -> how many requests got it."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.waiting_since = self.steady()

    def waits(self) -> None:
        """An update came that is not in the maps yet."""
        with self._lock:
            if self.waiting_since is None:
                self.waiting_since = self.steady()

    def synced(self, now: float, errors: Sequence[object] = ()) -> None:
        """The maps hold everything that was told of before. ``errors``: what is wrong with objects at present."""
        lines = [str(error) for error in errors[:MANY]]
        if len(errors) > MANY:
            lines.append(f"and {len(errors) - MANY} more")
        with self._lock:
            self.waiting_since = None
            self.last_updated = now
            self.errors = tuple(lines)

    def report(self, now: float, *, with_node: bool) -> tuple[bool, dict[str, object]]:
        """Whether it is healthy, and the fields of kube-proxy's JSON (with ``objectErrors`` of our own)."""
        with self._lock:
            alive = self.waiting_since is None or self.steady() - self.waiting_since <= self.patience
            healthy = alive and (self.node_eligible or not with_node)
            body: dict[str, object] = {
                "lastUpdated": _timestamp(self.last_updated),
                "currentTime": _timestamp(now),
                "nodeEligible": self.node_eligible,
                "healthy": healthy,
                "objectErrors": list(self.errors),
            }
        return healthy, body

    def count(self, endpoint: str, status: int) -> None:
        """Remember that an endpoint answered with a status, for the metrics."""
        with self._lock:
            self.answered[endpoint, status] = self.answered.get((endpoint, status), 0) + 1


def routes(health: Health, clock: Callable[[], float]) -> dict[str, Route]:
    """/healthz and /livez; ``clock`` gives seconds since the epoch."""

    def route(endpoint: str, with_node: bool) -> Route:
        def answer(_accept: str) -> Answer:
            healthy, body = health.report(clock(), with_node=with_node)
            status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
            health.count(endpoint, status)
            return Answer(status, json.dumps(body).encode() + b"\n", "application/json")

        return answer

    return {"/healthz": route("healthz", True), "/livez": route("livez", False)}


def _timestamp(seconds: float | None) -> str:
    """RFC 3339 in UTC; the zero time of Go where there is none yet, as kube-proxy prints it."""
    if seconds is None:
        return "0001-01-01T00:00:00Z"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat().replace("+00:00", "Z")
