"""Flows as people see them, read from the flow tables of one family.

A flow's two halves are two entries; what is shown comes from the forward half, which every packet of the client's goes
by. Times are whole seconds of CLOCK_MONOTONIC (or of the clock that ``settings.now`` stands for) and are passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tcnat.bpf import Map
from tcnat.layout import FLOW, FLOW_KEY, Direction, Family, FlowFlag, FlowState, port_number
from tcnat.model import Backend, FrontEndKey, Protocol

TABLES = ("flows", "flows_new")
"""Answered flows, and those that are not yet."""
SECONDS = 1 << 32
"""``seen`` counts modulo this."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One client conversation with one front end, or straight with a backend."""

    client: Backend
    front_end: FrontEndKey
    backend: Backend
    source: Backend
    """The client as the backend sees it: another address for a hairpin, another port after a clash."""
    state: FlowState
    idle: int
    """Seconds since the last packet."""
    timeout: int
    """Idle seconds after which it is forgotten."""
    service: int
    """Service id; 0 for a direct flow."""
    backend_id: int
    generation: int
    table: str
    flags: FlowFlag

    @property
    def kind(self) -> str:
        """``service``; ``direct``: straight to the backend; ``hairpin``: the client is its own backend."""
        if self.flags & FlowFlag.DIRECT:
            return "direct"
        return "hairpin" if self.flags & FlowFlag.HAIRPIN else "service"


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Which flows are asked for; None is any. Addresses in network order."""

    client: bytes | None = None
    front_end: bytes | None = None
    backend: bytes | None = None
    port: int | None = None
    """The front end's."""
    protocol: Protocol | None = None
    state: FlowState | None = None
    services: Collection[int] | None = None

    def __contains__(self, flow: Flow) -> bool:
        pairs = (
            (self.client, flow.client.address),
            (self.front_end, flow.front_end.address),
            (self.backend, flow.backend.address),
            (self.port, flow.front_end.port),
            (self.protocol, flow.front_end.protocol),
            (self.state, flow.state),
        )
        asked = all(wanted is None or wanted == found for wanted, found in pairs)
        return asked and (self.services is None or flow.service in self.services)


EVERY_FLOW = FlowFilter()


def read_flows(family: Family, maps: Mapping[str, Map], now: int, wanted: FlowFilter = EVERY_FLOW) -> Iterator[Flow]:
    """The flows that are not past their time-outs. One that moves from table to table meanwhile may come twice or not
    at all."""
    for table in TABLES:
        for key, value in maps[table].items():
            flow = _flow(family, key, value, table, now)
            if flow is not None and flow in wanted:
                yield flow


def count_flows(family: Family, flow_table: Map, now: int) -> tuple[int, int]:
    """The flows of a table that are not past their time-outs, and the entries that it holds in all."""
    unpack_key, unpack = FLOW_KEY.codec(family).unpack, FLOW.codec(family).unpack
    flows = entries = 0
    for key, value in flow_table.items():
        entries += 1
        if unpack_key(key)[5] == Direction.FORWARD:
            *_, seen, _, timeout, _, _, _, _ = unpack(value)
            flows += not expired(seen, timeout, now)
    return flows, entries


def live_front_ends(family: Family, maps: Mapping[str, Map], among: Collection[bytes], now: int) -> set[bytes]:
    """Those of the services keys ``among`` that have flows."""
    live: set[bytes] = set()
    if not among:
        return live
    unpack_key, unpack = FLOW_KEY.codec(family).unpack, FLOW.codec(family).unpack
    for table in TABLES:
        for key, value in maps[table].items():
            _, destination, _, port, protocol, direction, _ = unpack_key(key)
            front_end = destination + port + bytes((protocol, 0))
            if direction == Direction.FORWARD and front_end in among and front_end not in live:
                *_, seen, _, timeout, _, _, _, _ = unpack(value)
                if not expired(seen, timeout, now):
                    live.add(front_end)
    return live


def expired(seen: int, timeout: int, now: int) -> bool:
    """Whether an entry is to be taken for absent (docs/datapath.md, "Time")."""
    return idle_seconds(seen, now) > timeout


def idle_seconds(seen: int, now: int) -> int:
    """Seconds since ``seen``. A packet may have come after ``now`` was asked for."""
    idle = (now - seen) % SECONDS
    return idle if idle < SECONDS // 2 else 0


def _flow(family: Family, key: bytes, value: bytes, table: str, now: int) -> Flow | None:
    """A forward half as a flow; None if it is none, or is past its time-out."""
    source, destination, source_port, port, protocol, direction, _ = FLOW_KEY.codec(family).unpack(key)
    if direction != Direction.FORWARD:
        return None
    to_source, to_destination, to_source_port, to_port, *rest = FLOW.codec(family).unpack(value)
    backend, generation, service, seen, _, timeout, _, state, flags, _ = rest
    if expired(seen, timeout, now):
        return None
    return Flow(
        client=Backend(source, port_number(source_port)),
        front_end=FrontEndKey(destination, port_number(port), Protocol(protocol)),
        backend=Backend(to_destination, port_number(to_port)),
        source=Backend(to_source, port_number(to_source_port)),
        state=FlowState(state),
        idle=idle_seconds(seen, now),
        timeout=timeout,
        service=service,
        backend_id=backend,
        generation=generation,
        table=table,
        flags=FlowFlag(flags),
    )
