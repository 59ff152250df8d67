"""The same things in two notations: the maps' bytes and the model's tables."""

from __future__ import annotations

import ipaddress

from tcnat.layout import FLOW, FLOW_KEY, Family, FlowFlag, FlowState, ServiceFlag
from tests.packets.world import World
from tests.reference.tables import Backend, Ends, Flow, FlowKey, Service, ServiceKey, State, Tables


def fill(tables: Tables, world: World) -> None:
    """Give the model the Services and endpoints of a world."""
    tables.services = {
        ServiceKey(*key): Service(
            frozenset(flag.name or "" for flag in ServiceFlag if flag in flags),
            base,
            len(front_end.slots) if front_end else 0,
            front_end.service if front_end else 0,
            front_end.affinity if front_end else 0,
        )
        for key, flags, front_end, base in world.services()
    }
    tables.slots.update(enumerate(world.slot_numbers()))
    tables.local_addresses = world.local_addresses
    tables.backends = {each.id: Backend(each.address, each.port, each.generation) for each in world.endpoints}


def flow_key(key: FlowKey) -> bytes:
    """The bytes of a key."""
    ports = (port.to_bytes(2, "big") for port in (key.source_port, key.destination_port))
    addresses = (ipaddress.ip_address(address).packed for address in (key.source, key.destination))
    family = Family(ipaddress.ip_address(key.source).version)
    return FLOW_KEY.codec(family).pack(*addresses, *ports, key.protocol, 0 if key.forward else 1, 0)


def flow_of(family: Family, raw_key: bytes, raw: bytes) -> tuple[FlowKey, Flow]:
    """A key and its half."""
    *ends, protocol, direction, _ = FLOW_KEY.codec(family).unpack(raw_key)
    key = FlowKey(*_ends(*ends), protocol, direction == 0)
    half = dict(zip((name for name, _ in FLOW.fields), FLOW.codec(family).unpack(raw), strict=True))
    to = _ends(half["to_source"], half["to_destination"], half["to_source_port"], half["to_destination_port"])
    flags = FlowFlag(half["flags"])
    return key, Flow(
        to,
        half["backend"],
        half["generation"],
        half["service"],
        half["seen"],
        State[FlowState(half["state"]).name],
        frozenset(flag.name or "" for flag in FlowFlag if flag in flags and flag is not FlowFlag.ACK_SEEN),
        half["ack"],
        ack_seen=FlowFlag.ACK_SEEN in flags,
    )


def _ends(source: bytes, destination: bytes, source_port: bytes, destination_port: bytes) -> Ends:
    addresses = (str(ipaddress.ip_address(address)) for address in (source, destination))
    return Ends(*addresses, *(int.from_bytes(port, "big") for port in (source_port, destination_port)))
