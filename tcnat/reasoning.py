"""The words for a decision's reasons, each with the number of its rule. Pure."""

from __future__ import annotations

from tcnat.endpoints import EndpointSet, Selection
from tcnat.services import ServicePort


def no_endpoint(port: ServicePort) -> str:
    """Why nothing serves anywhere (rule 24)."""
    known = len(port.endpoints)
    return f"{port.name}: no endpoint{f' of {known} serves' if known else ''}, rule 24"


def no_local_endpoint(port: ServicePort, *, inside: bool) -> str:
    """Why nothing serves here although something does elsewhere (rule 24)."""
    return f"{port.name}: {_policy(inside)} Local, and no endpoint on this node serves, rule 24"


def selection(port: ServicePort, chosen: EndpointSet, *, local: bool, inside: bool, short_cut: bool) -> tuple[int, str]:
    """The rule that selected the backends, and in words how."""
    rule, words = _selected(port, chosen, local=local)
    if short_cut:
        return 23, f"externalTrafficPolicy Local, but its short cut for pods and the node itself, rule 23: {words}"
    if local:
        return (22 if rule == 12 and chosen.selection is Selection.READY else rule), f"{_policy(inside)} Local: {words}"
    return rule, words


def affinity(port: ServicePort) -> list[str]:
    """What session affinity adds; nothing without it (rule 29)."""
    if not port.affinity_seconds:
        return []
    return [f"clients stay with their backend for {port.affinity_seconds} s, rule 29"]


def _selected(port: ServicePort, chosen: EndpointSet, *, local: bool) -> tuple[int, str]:
    count = len(chosen.backends)
    here = " on this node" if local else ""
    ready = sum(endpoint.ready for endpoint in port.endpoints.values())
    match chosen.selection:
        case Selection.TERMINATING:
            return 12, f"no ready endpoint{here}; {count} terminating {_serve(count)}, rule 12"
        case Selection.NODE_HINTS:
            return 14, f"{count} of {ready} ready endpoints {_are(count)} hinted for this node, rule 14"
        case Selection.ZONE_HINTS:
            return 14, f"{count} of {ready} ready endpoints {_are(count)} hinted for this zone, rule 14"
        case _ if local:
            return 12, f"{count} of {ready} ready endpoints {_are(count)} on this node, rule 22"
        case _:
            return 12, f"{count} ready endpoint{'' if count == 1 else 's'}, rule 12"


def _policy(inside: bool) -> str:
    return "internalTrafficPolicy" if inside else "externalTrafficPolicy"


def _serve(count: int) -> str:
    return "one serves" if count == 1 else "ones serve"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
