"""Which endpoints of a service port serve on a node: rules 4, 5, 10–15 and 38. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from tcnat.model import Backend, NodeInfo, Protocol
from tcnat.resources import Endpoint, EndpointSlice

Candidates = dict[Backend, Endpoint]
"""Every endpoint of one service port in one family, whether it serves or not."""
PortKey = tuple[str, Protocol, int]
"""Port name, protocol, and bytes of an address: what joins endpoints to a service port (rule 4)."""


class Selection(Enum):
    """By which rule the backends of an :class:`EndpointSet` were selected."""

    READY = "ready"
    NODE_HINTS = "node hints"
    ZONE_HINTS = "zone hints"
    TERMINATING = "terminating"
    NONE = "none"


class EndpointSet(NamedTuple):
    """The backends that serve, sorted, and why these."""

    backends: tuple[Backend, ...]
    selection: Selection


def candidates_by_port(slices: Iterable[EndpointSlice]) -> dict[PortKey, Candidates]:
    """The endpoints of one Service's slices, each IP and port once (rule 11).

    Core Endpoints count only where the Service has no EndpointSlice (rule 38). The order of ``slices`` does not matter.
    """
    watched = sorted((each for each in slices if each.watched), key=lambda each: each.name)
    sliced = [each for each in watched if each.kind == "EndpointSlice"]
    found: dict[PortKey, Candidates] = {}
    for each in sliced or watched:
        for group in each.groups:
            for port in group.ports:
                for endpoint in group.endpoints:
                    key = (port.name, port.protocol, len(endpoint.address))
                    _add(found.setdefault(key, {}), Backend(endpoint.address, port.port), endpoint)
    return found


def _add(candidates: Candidates, backend: Backend, endpoint: Endpoint) -> None:
    """Of two endpoints on one IP and port the one that is not terminating wins, and of those a ready one."""
    present = candidates.get(backend)
    if present is None or _precedence(endpoint) > _precedence(present):
        candidates[backend] = endpoint


def _precedence(endpoint: Endpoint) -> tuple[bool, bool, bool]:
    return not endpoint.terminating, endpoint.ready, endpoint.serving


def any_usable(candidates: Mapping[Backend, Endpoint]) -> bool:
    """Whether any endpoint serves, on whichever node (rule 24)."""
    return any(endpoint.ready or _serves_while_terminating(endpoint) for endpoint in candidates.values())


def cluster_set(candidates: Mapping[Backend, Endpoint], node: NodeInfo) -> EndpointSet:
    """The endpoints under a Cluster policy: ready ones, less those hinted away, else terminating (rules 12, 14, 15)."""
    ready = {backend: endpoint for backend, endpoint in candidates.items() if endpoint.ready}
    if not ready:
        return _terminating(candidates)
    if all(endpoint.node_hints for endpoint in ready.values()):
        hinted = _sorted(ready, lambda endpoint: node.name in endpoint.node_hints)
        if hinted:
            return EndpointSet(hinted, Selection.NODE_HINTS)
    if all(endpoint.zone_hints for endpoint in ready.values()):
        hinted = _sorted(ready, lambda endpoint: node.zone in endpoint.zone_hints)
        if hinted:
            return EndpointSet(hinted, Selection.ZONE_HINTS)
    return EndpointSet(tuple(sorted(ready)), Selection.READY)


def local_set(candidates: Mapping[Backend, Endpoint], node: NodeInfo) -> EndpointSet:
    """The endpoints under a Local policy: those on this node (rule 10), hints or not (rule 15)."""
    here = {backend: endpoint for backend, endpoint in candidates.items() if node.name and endpoint.node == node.name}
    ready = _sorted(here, lambda endpoint: endpoint.ready)
    return EndpointSet(ready, Selection.READY) if ready else _terminating(here)


def _terminating(candidates: Mapping[Backend, Endpoint]) -> EndpointSet:
    backends = _sorted(candidates, _serves_while_terminating)
    return EndpointSet(backends, Selection.TERMINATING if backends else Selection.NONE)


def _serves_while_terminating(endpoint: Endpoint) -> bool:
    return endpoint.serving and endpoint.terminating


def _sorted(candidates: Mapping[Backend, Endpoint], counts: Callable[[Endpoint], bool]) -> tuple[Backend, ...]:
    return tuple(sorted(backend for backend, endpoint in candidates.items() if counts(endpoint)))
