"""What all objects together want of the datapath, kept in step with them one Service at a time. Pure.

Only the Services that a change touches are translated again. Where two Services claim one front end, as files may have
it, the one whose namespace and name come first gets it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tcnat.model import FrontEnd, FrontEndKey, NodeInfo
from tcnat.resources import EndpointSlice, Node, ObjectRef, Service, ServiceRef
from tcnat.sources import Changes
from tcnat.translate import HealthCheck, Translation, Unserved, translate


@dataclass(slots=True)
class Effect:
    """What a set of changes came to. ``front_ends``: those that are wanted otherwise than before; None: no longer."""

    front_ends: dict[FrontEndKey, FrontEnd | None] = field(default_factory=dict)
    services: int = 0
    """How many Services changed."""
    slices: int = 0
    """How many EndpointSlices (or Endpoints) changed."""
    triggers: list[str] = field(default_factory=list)
    """Of slices that came or changed: what says when their change began (rule 36)."""
    unserved: dict[ServiceRef, tuple[Unserved, ...]] = field(default_factory=dict)
    """Services whose front ends that are not served are others than before."""
    contested: set[FrontEndKey] = field(default_factory=set)
    """Front ends that other Services claim than before, several of them now."""


@dataclass(slots=True)
class _Entry:
    """One Service's objects, and what they want."""

    service: Service | None = None
    slices: tuple[EndpointSlice, ...] = ()
    wants: Translation = field(default_factory=Translation)


class Wanted:
    """The wanted front ends on one node. ``front_ends`` are for reading."""

    def __init__(self, node_name: str) -> None:
        self.front_ends: dict[FrontEndKey, FrontEnd] = {}
        self.node = NodeInfo(node_name)
        self.local_addresses: Counter[bytes] = Counter()
        """Addresses of endpoints on this node (rule 10), serving or not, and how many slices' endpoints have each."""
        self.node_leaves = False
        self.health_checks: dict[ServiceRef, HealthCheck] = {}
        """The health-check node ports (rule 32)."""
        self._entries: dict[ServiceRef, _Entry] = {}
        self._service_of: dict[ObjectRef, ServiceRef] = {}  # of slices
        self._claims: dict[FrontEndKey, dict[ServiceRef, FrontEnd]] = {}  # where several Services claim one

    @property
    def claims(self) -> dict[FrontEndKey, tuple[ServiceRef, ...]]:
        """The front ends that several Services claim; the first of them gets it."""
        return {key: tuple(sorted(claims)) for key, claims in self._claims.items()}

    def apply(self, changes: Changes) -> Effect:
        """Take the changed objects in; None is an object that is gone."""
        effect = Effect()
        touched: dict[ServiceRef, None] = {}
        for ref, found in changes.items():
            if ref.kind == "Node":
                if ref.name == self.node.name and isinstance(found, Node | None) and self._take_node(found):
                    touched.update(dict.fromkeys(self._entries))
            elif ref.kind == "Service":
                assert isinstance(found, Service | None)
                effect.services += 1
                touched[self._take_service(ref, found)] = None
            else:
                assert isinstance(found, EndpointSlice | None)
                effect.slices += 1
                if found is not None and found.trigger_time:
                    effect.triggers.append(found.trigger_time)
                touched.update(dict.fromkeys(self._take_slice(ref, found)))
        for service in touched:
            self._translate(service, effect)
        return effect

    def _take_node(self, node: Node | None) -> bool:
        """Whether the rules see another node than before."""
        before = self.node
        self.node = NodeInfo(before.name, node.zone, node.addresses) if node else NodeInfo(before.name)
        self.node_leaves = node is not None and node.leaving
        return self.node != before

    def _take_service(self, ref: ObjectRef, service: Service | None) -> ServiceRef:
        owner = ServiceRef(ref.namespace, ref.name)
        self._entries.setdefault(owner, _Entry()).service = service
        return owner

    def _take_slice(self, ref: ObjectRef, found: EndpointSlice | None) -> Iterable[ServiceRef]:
        """Put a slice in the place of the older one of its name (rule 11); gives the Services that it touches."""
        before = self._service_of.pop(ref, None)
        if before is not None:
            entry = self._entries[before]
            self._count_local((old for old in entry.slices if old.ref == ref), -1)
            entry.slices = tuple(slice_ for slice_ in entry.slices if slice_.ref != ref)
            yield before
        if found is not None and found.service_name:
            self._service_of[ref] = found.service
            entry = self._entries.setdefault(found.service, _Entry())
            entry.slices = (*entry.slices, found)
            self._count_local((found,), 1)
            yield found.service

    def _count_local(self, slices: Iterable[EndpointSlice], change: int) -> None:
        for each in slices:
            for group in each.groups:
                for endpoint in group.endpoints:
                    if endpoint.node and endpoint.node == self.node.name:
                        self.local_addresses[endpoint.address] += change
                        if not self.local_addresses[endpoint.address]:
                            del self.local_addresses[endpoint.address]

    def _translate(self, ref: ServiceRef, effect: Effect) -> None:
        entry = self._entries[ref]
        before = {front_end.key: front_end for front_end in entry.wants.front_ends}
        unserved = entry.wants.unserved
        entry.wants = translate(entry.service, entry.slices, self.node) if entry.service else Translation()
        if entry.wants.unserved != unserved:
            effect.unserved[ref] = entry.wants.unserved
        if entry.wants.health_check is not None:
            self.health_checks[ref] = entry.wants.health_check
        else:
            self.health_checks.pop(ref, None)
        after = {front_end.key: front_end for front_end in entry.wants.front_ends}
        for key in before.keys() - after.keys():
            self._claim(ref, key, None, effect)
        for key, front_end in after.items():
            if before.get(key) != front_end:
                self._claim(ref, key, front_end, effect)
        if entry.service is None and not entry.slices:
            del self._entries[ref]

    def _claim(self, ref: ServiceRef, key: FrontEndKey, front_end: FrontEnd | None, effect: Effect) -> None:
        """A Service wants a front end from now on, or no longer (None)."""
        present = self.front_ends.get(key)
        claims = self._claims.pop(key, None) or ({_owner(present): present} if present else {})
        claims.pop(ref, None)
        if front_end is not None:
            claims[ref] = front_end
        if len(claims) > 1:
            self._claims[key] = claims
            effect.contested.add(key)
        now = claims[min(claims)] if claims else None
        if now == present:
            return
        effect.front_ends[key] = now
        if now is None:
            del self.front_ends[key]
        else:
            self.front_ends[key] = now


def _owner(front_end: FrontEnd) -> ServiceRef:
    return ServiceRef(front_end.service.namespace, front_end.service.name)
