"""What ``tcnat get`` shows, as plain values: the fields of its JSON and YAML, which docs/cli.md describes."""

from __future__ import annotations

from dataclasses import dataclass

NO_ROOM = "no room"
NOT_SERVED = "not served"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A backend of a front end. ``share`` is its part of the slots, 0 to 1."""

    address: str
    port: int
    id: int
    generation: int
    share: float


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A front end. ``state``: serving, rejecting, dropping, draining, "no room" (not all of it is served), or
    "not served" (of a kind that the datapath does not serve; a node port has the unspecified address)."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    family: int
    address: str
    port: int
    state: str
    backends: tuple[Endpoint, ...] = ()
    affinity_seconds: int = 0
    service_id: int = 0
    slots: int = 0
    forward_packets: int = 0
    forward_bytes: int = 0
    reply_packets: int = 0
    reply_bytes: int = 0
    flows_begun: int = 0


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend of a service port, and how many of its front ends it has."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    family: int
    address: str
    port: int
    id: int
    generation: int
    front_ends: int


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A flow. ``source`` is the client as the backend sees it. ``kind``: service, direct or hairpin."""

    protocol: str
    family: int
    client_address: str
    client_port: int
    address: str
    port: int
    backend_address: str
    backend_port: int
    source_address: str
    source_port: int
    state: str
    idle_seconds: int
    timeout_seconds: int
    namespace: str
    name: str
    port_name: str
    kind: str
    backend_id: int
    generation: int
    table: str


@dataclass(frozen=True, slots=True)
class FilterRow:
    """A filter on a device. ``program`` is the program's id, 0 where the kernel does not tell it."""

    name: str
    hook: str
    family: int
    priority: int
    program: int


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that carries tcnat's filters. ``complete``: each family that is there has both programs, in their
    places."""

    device: str
    index: int
    role: str
    families: tuple[int, ...]
    complete: bool
    filters: tuple[FilterRow, ...]


def endpoint_text(address: str, port: int) -> str:
    """``10.0.0.1:80`` or ``[fd00::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def service_text(namespace: str, name: str, port_name: str) -> str:
    """``namespace/name:port``, or nothing."""
    return f"{namespace}/{name}" + (f":{port_name}" if port_name else "") if name else ""
