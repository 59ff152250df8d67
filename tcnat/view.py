"""What the maps hold and which devices carry the programs, as rows of plain values.

It is read as it stands, whether an agent runs or not, and nothing is mended or hidden.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from tcnat.bpf import Map
from tcnat.counts import ServiceCount, read_service_count
from tcnat.entries import Front, front_end_key, is_front_end
from tcnat.flows import FlowFilter, read_flows
from tcnat.layout import BACKEND, SETTINGS, Family, ServiceFlag, number_bytes, port_number
from tcnat.loader import Loaded
from tcnat.model import Backend, ServicePortName, format_address
from tcnat.notes import NoRoom, Notes, NotServed
from tcnat.rows import NO_ROOM, NOT_SERVED, BackendRow, DeviceRow, Endpoint, FilterRow, FlowRow, ServiceRow

Note = TypeVar("Note", NoRoom, NotServed)


class View:
    """One family's maps, read once for all of the rows."""

    def __init__(self, loaded: Loaded, notes: Notes) -> None:
        self.family = loaded.family
        self._maps = loaded.maps
        self._notes = notes
        services = dict(self._maps["services"].items())
        self.entries = len(services)
        """Entries of the services map."""
        self.fronts = sorted((key, Front.read(value)) for key, value in services.items() if is_front_end(key, value))
        """Services key and value of each front end."""
        self._slots = self._read_slots()
        self._backends = self._maps["backends"]

    def services(self) -> Iterator[ServiceRow]:
        """Every front end, by address and port; then those that there is no room for at all, and those that are not
        served."""
        lacking = {(each.address, each.port, each.protocol): each for each in self._mine(self._notes.no_room)}
        for key, front in self.fronts:
            name = front_end_key(key)
            place = format_address(name.address), name.port, name.protocol.name
            counted = self._count(front.service)
            yield ServiceRow(
                *self._names(front.service),
                protocol=name.protocol.name,
                family=int(self.family),
                address=place[0],
                port=name.port,
                state=NO_ROOM if lacking.pop(place, None) else _state(front),
                backends=self._endpoints(front),
                affinity_seconds=front.affinity,
                service_id=front.service,
                slots=front.slots,
                forward_packets=counted.forward_packets,
                forward_bytes=counted.forward_bytes,
                reply_packets=counted.reply_packets,
                reply_bytes=counted.reply_bytes,
                flows_begun=counted.flows,
            )
        for each in lacking.values():
            names = each.namespace, each.name, each.port_name, each.protocol
            yield ServiceRow(*names, family=int(self.family), address=each.address, port=each.port, state=NO_ROOM)
        for other in self._mine(self._notes.not_served):
            names = other.namespace, other.name, other.port_name, other.protocol
            yield ServiceRow(*names, family=int(self.family), address=other.address, port=other.port, state=NOT_SERVED)

    def _mine(self, noted: Iterable[Note]) -> Iterator[Note]:
        return (each for each in noted if (":" in each.address) == (self.family is Family.IPV6))

    def backends(self) -> Iterator[BackendRow]:
        """Every backend that a front end has, by id."""
        fronts: Counter[int] = Counter()
        owners: dict[int, tuple[int, str]] = {}
        for key, front in self.fronts:
            for number in set(self._held(front)):
                fronts[number] += 1
                owners[number] = front.service, front_end_key(key).protocol.name
        for number in sorted(fronts):
            backend, generation = self._backend(number)
            service, protocol = owners[number]
            yield BackendRow(
                *self._names(service),
                protocol=protocol,
                family=int(self.family),
                address=format_address(backend.address),
                port=backend.port,
                id=number,
                generation=generation,
                front_ends=fronts[number],
            )

    def _read_slots(self) -> array[int]:
        slots = self._maps["slots"]
        reach = max((front.base + front.slots for _, front in self.fronts), default=0)
        return array("I", slots.read_array(min(reach, slots.max_entries)))

    def _held(self, front: Front) -> array[int]:
        return self._slots[front.base : front.base + front.slots]

    def _endpoints(self, front: Front) -> tuple[Endpoint, ...]:
        shares = Counter(self._held(front))
        found = []
        for number, share in shares.items():
            backend, generation = self._backend(number)
            endpoint = format_address(backend.address), backend.port
            found.append((backend, Endpoint(*endpoint, number, generation, round(share / front.slots, 4))))
        return tuple(endpoint for _, endpoint in sorted(found, key=lambda each: each[0]))

    def _backend(self, number: int) -> tuple[Backend, int]:
        value = self._backends.lookup(number_bytes(number)) or bytes(self._backends.value_size)
        address, port, _, generation = BACKEND.codec(self.family).unpack(value)
        return Backend(address, port_number(port)), generation

    def _names(self, service: int) -> tuple[str, str, str]:
        return names_of(self._notes.name(self.family, service))

    def _count(self, service: int) -> ServiceCount:
        return read_service_count(self._maps["service_counters"], service)


def flow_rows(loaded: Loaded, notes: Notes, monotonic: float, wanted: FlowFilter) -> Iterator[FlowRow]:
    """The flows of a family that are asked for; ``monotonic`` is CLOCK_MONOTONIC in seconds."""
    family = loaded.family
    for flow in read_flows(family, loaded.maps, programs_seconds(loaded.maps, monotonic), wanted):
        namespace, name, port_name = names_of(notes.name(family, flow.service))
        yield FlowRow(
            protocol=flow.front_end.protocol.name,
            family=int(family),
            client_address=format_address(flow.client.address),
            client_port=flow.client.port,
            address=format_address(flow.front_end.address),
            port=flow.front_end.port,
            backend_address=format_address(flow.backend.address),
            backend_port=flow.backend.port,
            source_address=format_address(flow.source.address),
            source_port=flow.source.port,
            state=flow.state.name.lower(),
            idle_seconds=flow.idle,
            timeout_seconds=flow.timeout,
            namespace=namespace,
            name=name,
            port_name=port_name,
            kind=flow.kind,
            backend_id=flow.backend_id,
            generation=flow.generation,
            table=flow.table,
        )


def device_rows() -> list[DeviceRow]:
    """The devices of this network namespace that carry the programs, by index."""
    from tcnat.attach import Attacher  # noqa: PLC0415  (who reads only maps does without netlink)
    from tcnat.filters import PRIORITY, RETIRING  # noqa: PLC0415

    family_of = {places[family]: int(family) for places in (PRIORITY, RETIRING) for family in places}
    attacher = Attacher()
    try:
        found = attacher.find_ours()
    finally:
        attacher.close()
    return [
        DeviceRow(
            each.device,
            each.index,
            each.role.value if each.role else "",
            tuple(map(int, each.families)),
            each.complete,
            tuple(
                FilterRow(f.name, f.hook.name.lower(), family_of[f.priority], f.priority, f.program)
                for f in each.filters
            ),
        )
        for each in found
    ]


def programs_seconds(maps: Mapping[str, Map], monotonic: float) -> int:
    """What the programs' clock shows: CLOCK_MONOTONIC, unless the settings stop it at another time."""
    stopped_at = SETTINGS.codec(Family.IPV4).unpack(maps["settings"].lookup(bytes(4)) or b"")[0]
    return int(stopped_at // 1_000_000_000 or monotonic)


def names_of(name: ServicePortName | None) -> tuple[str, str, str]:
    """Namespace, Service and port name; empty where they are not known."""
    return (name.namespace, name.name, name.port) if name else ("", "", "")


def _state(front: Front) -> str:
    if front.draining:
        return "draining"
    if front.flags & ServiceFlag.DROP:
        return "dropping"
    return "serving" if front.slots else "rejecting"
