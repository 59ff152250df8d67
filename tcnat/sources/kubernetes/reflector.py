"""Keeping one kind of object in step: list in pages, then watch from where the list was, and begin again where that
breaks.

The protocol is the API server's "Efficient detection of changes": resource versions, bookmarks, 410 Gone.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tcnat.objects import Object, ObjectRef, Problem, kind_of, parse_object
from tcnat.sources.kubernetes import wireformat
from tcnat.sources.kubernetes.api import Api, ApiError, Idle, Unreachable
from tcnat.sources.kubernetes.discovery import Resource

T = TypeVar("T")
log = logging.getLogger(__name__)

PAGE = 500
"""Objects that one answer of a list may have."""
WATCH_SECONDS = (300, 600)
"""How long one watch goes on: chosen anew each time, so that not all agents come back at once."""
SHORT_WATCH = 1.0
IDLE_SECONDS = 90.0
"""Without as much as a bookmark for so long, a watch is taken for dead; watching on from there costs nearly nothing."""
FIRST_BACK_OFF, LAST_BACK_OFF = 0.5, 30.0
GONE, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 410, 401, 403, 404


@dataclass(frozen=True, slots=True)
class Batch:
    """What a reflector learned: objects that are new or other than before, None for those that are gone, and what
    cannot be used. ``listed``: all that there is was seen once."""

    changes: dict[ObjectRef, Object | None] = field(default_factory=dict)
    problems: dict[ObjectRef, Problem | None] = field(default_factory=dict)
    listed: bool = False
    trouble: str | None = None
    """Why the server cannot be followed at present; "" when it can again; None: as before."""


class _Garbage(Exception):
    """An answer that makes no sense."""


class Reflector:
    """One kind of object. ``find`` tells which resource that is, and is asked again when the server does not know it
    any more. ``put`` takes batches, from the thread that :meth:`run` runs in."""

    def __init__(self, api: Api, find: Callable[[], Resource], put: Callable[[Batch], None]) -> None:
        self._api = api
        self._find = find
        self._put = put
        self._known: dict[ObjectRef, str] = {}  # -> resource version
        self._resource: Resource | None = None
        self._version = ""  # to watch from; "": list first
        self._failures = 0  # since a watch last told of anything: a list alone does not show that all is well
        self._reloaded = False
        self.ended = threading.Event()

    def run(self) -> None:
        """Follow until :attr:`ended` is set."""
        while not self.ended.is_set():
            pause = self.step()
            if pause:
                self.ended.wait(pause)

    def step(self) -> float:
        """One list or one watch, to its end. Returns the seconds to wait before the next."""
        try:
            if self._resource is None:
                self._resource = self._find()
            if not self._version:
                self._list(self._resource)
            else:
                self._watch(self._resource)
        except ApiError as error:
            return self._refused(error)
        except Idle:
            return 0.0
        except (Unreachable, _Garbage) as error:
            return self._failed(str(error))
        return 0.0

    def _list(self, resource: Resource) -> None:
        parameters = {**resource.parameters(), "limit": str(PAGE)}
        seen: dict[ObjectRef, str] = {}
        batch = Batch(listed=True)
        while True:
            page = _decoded(wireformat.page, self._api.get(resource.path, parameters))
            for item in page.items or ():
                self._take(resource, item, _decoded(wireformat.meta, item).metadata, batch, seen)
            if not page.metadata.more:
                break
            parameters["continue"] = page.metadata.more
        for ref in self._known.keys() - seen.keys():
            _forget(ref, batch)
        self._known = seen
        self._version = page.metadata.resource_version
        if not self._version:
            raise _Garbage(f"the list of {resource.name} has no resourceVersion")
        self._reloaded = False
        self._put(batch)

    def _watch(self, resource: Resource) -> None:
        seconds = random.randint(*WATCH_SECONDS)
        parameters = {
            **resource.parameters(),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        began = time.monotonic()
        with self._api.lines(resource.path, parameters, IDLE_SECONDS) as lines:
            self._put(Batch(trouble=""))
            for line in lines:
                self._event(resource, _decoded(wireformat.event, line))
                self._failures, self._reloaded = 0, False
                if self.ended.is_set():
                    return
        if time.monotonic() - began < SHORT_WATCH:  # must not be asked for again and again
            raise Unreachable(f"the watch of {resource.name} ended as soon as it began")
        self._failures, self._reloaded = 0, False

    def _event(self, resource: Resource, event: wireformat.Event) -> None:
        if event.type == "ERROR":
            status = _decoded(wireformat.status, event.object)
            raise ApiError(status.code, status.message)
        meta = _decoded(wireformat.meta, event.object).metadata
        batch = Batch()
        if event.type in {"ADDED", "MODIFIED"}:
            self._take(resource, event.object, meta, batch, self._known)
        elif event.type == "DELETED":
            ref = ObjectRef(resource.kind, meta.namespace, meta.name)
            self._known.pop(ref, None)
            _forget(ref, batch)
        if batch.changes or batch.problems:
            self._put(batch)
        self._version = meta.resource_version or self._version

    def _take(
        self,
        resource: Resource,
        raw: msgspec.Raw,
        meta: wireformat.ObjectMeta,
        batch: Batch,
        seen: dict[ObjectRef, str],
    ) -> None:
        ref = ObjectRef(resource.kind, meta.namespace, meta.name)
        before = self._known.get(ref)
        seen[ref] = meta.resource_version
        if before == meta.resource_version and before:
            return
        found = parse_object(raw, self._api.server, kind_of(resource.kind, resource.api_version))
        if isinstance(found, Problem):
            batch.problems[ref] = found
        elif found is not None:
            batch.changes[ref] = found
            batch.problems[ref] = None

    def _refused(self, error: ApiError) -> float:
        name = self._resource.name if self._resource else "the API groups"
        if error.status == GONE:
            self._version = ""
            log.info("%s: %s are listed anew, for a watch cannot go on (%s)", self._api.server, name, error)
            if not self._failures:  # nothing is wrong with being late once
                self._failures = 1
                return 0.0
        if error.status == NOT_FOUND:
            self._resource, self._version = None, ""
            self._known = dict.fromkeys(self._known, "")  # another version may tell more of the same object
        if error.status == UNAUTHORIZED:
            try:
                self._api.reload()
            except Unreachable as why:
                return self._failed(str(why))
            if not self._reloaded:
                self._reloaded = True
                return 0.0
        pause = self._failed(_refusal_in_words(error, name))
        return max(pause, error.retry_after or 0.0)

    def _failed(self, why: str) -> float:
        self._put(Batch(trouble=why))
        return self._back_off()

    def _back_off(self) -> float:
        self._failures += 1
        longest = min(LAST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(self._failures - 1, 10))
        return longest * random.uniform(0.5, 1.0)


def _refusal_in_words(error: ApiError, name: str) -> str:
    if error.status == FORBIDDEN:
        return f"listing and watching {name} is forbidden: grant list and watch on them by RBAC ({error})"
    if error.status == GONE:
        return f"watches of {name} end with 410 Gone right after a new list ({error})"
    if error.status == UNAUTHORIZED:
        return f"the credentials are not accepted for {name} ({error})"
    return f"{name}: {error.status} {error}"


def _forget(ref: ObjectRef, batch: Batch) -> None:
    batch.changes[ref] = None
    batch.problems[ref] = None


def _decoded(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Garbage(f"an answer that is no JSON of Kubernetes: {error}") from None
