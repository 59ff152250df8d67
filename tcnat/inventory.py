"""API objects by name, and which slices belong to which Service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tcnat.resources import EndpointSlice, Node, Object, ObjectRef, Service, ServiceRef


class Inventory:
    """The objects that count: of the same kind, namespace and name the one that was put last (rule 11)."""

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self._objects: dict[ObjectRef, Object] = {}
        for each in objects:
            self.put(each)

    def put(self, each: Object) -> None:
        """Add an object, or replace the one of its name."""
        self._objects[each.ref] = each

    def services(self) -> Iterator[tuple[Service, tuple[EndpointSlice, ...]]]:
        """Every Service with the slices that name it, by namespace and name."""
        slices: dict[ServiceRef, list[EndpointSlice]] = {}
        for each in self._objects.values():
            if isinstance(each, EndpointSlice):
                slices.setdefault(each.service, []).append(each)
        found = [each for each in self._objects.values() if isinstance(each, Service)]
        for service in sorted(found, key=lambda each: each.service):
            yield service, tuple(slices.get(service.service, ()))

    def node(self, name: str) -> Node | None:
        """The Node of that name, if it is there."""
        found = self._objects.get(ObjectRef("Node", "", name))
        return found if isinstance(found, Node) else None
