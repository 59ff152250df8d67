"""Services, endpoints and the node's own Node object from an API server, for the agent."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from tcnat.objects import Object, ObjectRef, Problem
from tcnat.sources import Changes
from tcnat.sources.kubernetes import discovery
from tcnat.sources.kubernetes.api import Api
from tcnat.sources.kubernetes.reflector import Batch, Reflector

log = logging.getLogger(__name__)


class KubernetesSource:
    """Follows one API server with a thread for each kind of object. ``proxy_name`` is that of ``--service-proxy-
    name``."""

    def __init__(self, api: Api, node_name: str, proxy_name: str = "") -> None:
        self._api = api
        finds = {
            "services": lambda: discovery.services(proxy_name),
            "endpoints": lambda: discovery.endpoints(api, proxy_name),
            "nodes": lambda: discovery.node(node_name),
        }
        self._arrived: deque[tuple[str, Batch]] = deque()
        self._wake: Callable[[], None] = lambda: None
        self._reflectors = {name: Reflector(api, find, self._putter(name)) for name, find in finds.items()}
        self._listed: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._problems: dict[ObjectRef, Problem] = {}

    def _putter(self, name: str) -> Callable[[Batch], None]:
        def put(batch: Batch) -> None:
            self._arrived.append((name, batch))
            self._wake()

        return put

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to follow."""
        self._wake = wake
        for name, reflector in self._reflectors.items():
            threading.Thread(target=reflector.run, name=f"watch-{name}", daemon=True).start()

    def poll(self, now: float) -> Changes:
        """What arrived since the last call."""
        changes: dict[ObjectRef, Object | None] = {}
        while self._arrived:
            name, batch = self._arrived.popleft()
            changes.update(batch.changes)
            self._note(name, batch)
        return changes

    def _note(self, name: str, batch: Batch) -> None:
        if batch.listed:
            self._listed.add(name)
        for ref, problem in batch.problems.items():
            if problem is None:
                self._problems.pop(ref, None)
            else:
                self._problems[ref] = problem
        if batch.trouble == "":
            if self._troubles.pop(name, None):
                log.info("%s: %s can be followed again", self._api.server, name)
        elif batch.trouble is not None:
            if self._troubles.get(name) != batch.trouble:
                log.error("%s: %s; the datapath stays as it is", self._api.server, batch.trouble)
            self._troubles[name] = batch.trouble

    def deadline(self) -> float | None:
        """Never: the reflectors wake."""
        return None

    def resync(self, now: float) -> None:
        """Nothing to do: a watch misses nothing."""

    @property
    def synced(self) -> bool:
        """Whether Services and endpoints have been listed (rule 9). The Node may be missing, or forbidden."""
        return {"services", "endpoints"} <= self._listed and ("nodes" in self._listed or "nodes" in self._troubles)

    @property
    def problems(self) -> Sequence[Problem]:
        """What cannot be used of the objects, and why the server cannot be followed."""
        troubles = [Problem(self._api.server, trouble) for trouble in self._troubles.values()]
        return [*troubles, *self._problems.values()]

    def stop(self) -> None:
        """End the threads; one that waits for the server goes with the process."""
        for reflector in self._reflectors.values():
            reflector.ended.set()
