"""Which decision a packet gets from the maps as they stand: ``explain --live``.

It follows ``docs/datapath.md`` (tc_egress) for the first packet of a flow, reading single entries through a function,
so that it needs no kernel to be tested. Source ranges, node ports and the like are not in the maps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from tcnat.explain import Answer, Flow, Share
from tcnat.hashing import flow_hash, slot_of
from tcnat.layout import (
    AFFINITY,
    AFFINITY_KEY,
    BACKEND,
    FLOW,
    FLOW_KEY,
    SERVICE,
    SETTINGS,
    U32,
    Choice,
    Direction,
    Family,
    ServiceFlag,
    port_bytes,
    port_number,
    service_key,
)
from tcnat.model import Backend, FrontEndKey, ServicePortName, Verdict

Lookup = Callable[[str, bytes], bytes | None]
"""The value of a key in one of a family's maps, by the map's name; None if it is not there."""
NameOf = Callable[[Family, int], ServicePortName | None]
"""Whose a service id is, where that is known."""

_UNKNOWN_PORT = {Choice.PASS: Verdict.PASS, Choice.DROP: Verdict.DROP, Choice.REJECT: Verdict.REJECT}


class LiveExplainer:
    """Answers from the maps of each family. ``now`` is in seconds of the programs' clock."""

    def __init__(self, lookups: Mapping[Family, Lookup], name_of: NameOf, now: int) -> None:
        self._lookups = lookups
        self._name_of = name_of
        self._now = now

    def explain(self, flow: Flow) -> Answer:
        """What becomes of the flow's first packet."""
        family = Family(4 if len(flow.source) == 4 else 6)
        if family not in self._lookups:
            return Answer(Verdict.PASS, 16, f"no programs are loaded for IPv{family}")
        return _Maps(family, self._lookups[family], self._name_of, self._now).explain(flow)


class _Maps:
    """One family's maps."""

    def __init__(self, family: Family, lookup: Lookup, name_of: NameOf, now: int) -> None:
        self._family = family
        self._lookup = lookup
        self._name_of = name_of
        self._now = now

    def explain(self, flow: Flow) -> Answer:
        key = FrontEndKey(flow.destination, flow.destination_port, flow.protocol)
        base, count, service, affinity, flags = self._service(service_key(*key))
        if not flags & ServiceFlag.FRONT_END:
            return self._no_front_end(flow, f"the maps have no front end {key}")
        if flags & ServiceFlag.DRAINING:
            return self._no_front_end(flow, f"the Service of {key} is gone; only open connections go on")
        name = self._name_of(self._family, service)
        told = f"{name}: " if name else ""
        if flags & ServiceFlag.DROP:
            return Answer(Verdict.DROP, 24, f"{told}no endpoint on this node serves, rule 24", key, name)
        if flags & ServiceFlag.REJECT or not count:
            return Answer(Verdict.REJECT, 24, f"{told}no endpoint serves, rule 24", key, name)
        slots = [self._number("slots", base + at) for at in range(count)]
        backends = {number: self._backend(number) for number in set(slots)}
        shares = Counter(backends[number][0] for number in slots)
        reasons = [f"{told}{len(shares)} backends in the maps"]
        chosen = next(iter(shares)) if len(shares) == 1 else self._hashed(flow, slots, backends)
        kept = self._kept_by_affinity(flow.source, service, affinity) if affinity else None
        if kept is not None:
            chosen = kept
            reasons.append("the client stays with its backend, rule 29")
        reasons += self._open_flow(flow)
        hairpin = chosen is not None and chosen.address == flow.source
        if hairpin:
            reasons.append("source rewritten: the client is its own backend, rule 28")
        return Answer(
            Verdict.DNAT,
            12,
            "; ".join(reasons),
            key,
            name,
            tuple(Share(backend, shares[backend] / count) for backend in sorted(shares)),
            chosen,
            hairpin,
        )

    def _no_front_end(self, flow: Flow, reason: str) -> Answer:
        *_, flags = self._service(service_key(flow.destination, 0, 0))
        if flags & ServiceFlag.SERVICE_ADDRESS:
            return Answer(self._unknown_port(), 25, f"{reason}; a Service has the address, rule 25")
        return Answer(Verdict.PASS, 16, f"{reason}, rule 16")

    def _hashed(self, flow: Flow, slots: list[int], backends: Mapping[int, tuple[Backend, int]]) -> Backend | None:
        if flow.source_port is None:
            return None
        value = flow_hash(flow.source, flow.destination, flow.source_port, flow.destination_port, flow.protocol)
        return backends[slots[slot_of(value, len(slots))]][0]

    def _kept_by_affinity(self, client: bytes, service: int, seconds: int) -> Backend | None:
        """The backend that the client was last given, if it still counts."""
        value = self._lookup("affinity", AFFINITY_KEY.codec(self._family).pack(client, service))
        if value is None:
            return None
        number, generation, seen = AFFINITY.codec(self._family).unpack(value)
        backend, present = self._backend(number)
        return backend if present == generation and self._now - seen <= seconds else None

    def _open_flow(self, flow: Flow) -> list[str]:
        """A word on the flow that is already known under these very addresses and ports."""
        if flow.source_port is None:
            return []
        ports = port_bytes(flow.source_port), port_bytes(flow.destination_port)
        addresses = flow.source, flow.destination
        key = FLOW_KEY.codec(self._family).pack(*addresses, *ports, flow.protocol, Direction.FORWARD, 0)
        value = self._lookup("flows", key) or self._lookup("flows_new", key)
        if value is None:
            return []
        _, address, _, port, *_ = FLOW.codec(self._family).unpack(value)
        return [f"a flow from this port is known; it goes to {Backend(address, port_number(port))}"]

    def _service(self, key: bytes) -> tuple[int, int, int, int, int]:
        value = self._lookup("services", key)
        if value is None:
            return (0, 0, 0, 0, 0)
        base, count, service, affinity, flags = SERVICE.codec(self._family).unpack(value)
        return base, count, service, affinity, flags

    def _unknown_port(self) -> Verdict:
        codec = SETTINGS.codec(self._family)
        fields = codec.unpack(self._lookup("settings", bytes(4)) or bytes(codec.size))
        return _UNKNOWN_PORT[Choice(fields[[name for name, _ in SETTINGS.fields].index("unknown_port")])]

    def _number(self, name: str, at: int) -> int:
        codec = U32.codec(self._family)
        value = self._lookup(name, codec.pack(at)) or bytes(4)
        return int(codec.unpack(value)[0])

    def _backend(self, number: int) -> tuple[Backend, int]:
        codec = BACKEND.codec(self._family)
        value = self._lookup("backends", U32.codec(self._family).pack(number)) or bytes(codec.size)
        address, port, _, generation = codec.unpack(value)
        return Backend(address, port_number(port)), generation
