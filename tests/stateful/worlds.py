"""The Services that random traffic meets, and what can happen to them."""

from __future__ import annotations

from dataclasses import replace

from tcnat.layout import ServiceFlag
from tests.packets.names import Names
from tests.packets.world import (
    AFFINITY_SECONDS,
    CLIENT_DNS,
    CLIENT_WEB,
    DNS_ONE,
    DNS_TWO,
    WEB_ONE,
    WEB_TWO,
    Endpoint,
    FrontEnd,
    World,
    default_world,
)

FRONT_END = ServiceFlag.FRONT_END
STATES = {
    "serves": FRONT_END,
    "rejects": FRONT_END | ServiceFlag.REJECT,
    "drops": FRONT_END | ServiceFlag.DROP,
    "drains": FRONT_END | ServiceFlag.DRAINING,
}
"""What a front end can be, besides gone."""
FATES = ("leaves and another comes", "moves", "goes", "is on this node")
"""What can become of an endpoint."""


def start_world(names: Names) -> World:
    """The default world with more than one backend where flows shall spread, and endpoints that Services share."""
    web, dns = (WEB_ONE, WEB_TWO, WEB_ONE), (DNS_ONE, DNS_TWO)
    slots = {
        (names.web_vip, 80): web,
        (names.other_web_vip, 80): web,
        (names.dns_vip, 53): dns,
        (names.other_dns_vip, 53): dns,
        (names.self_vip, 80): (CLIENT_WEB, CLIENT_WEB, CLIENT_WEB, WEB_TWO),
        (names.self_vip, 53): (CLIENT_DNS, CLIENT_DNS, CLIENT_DNS, DNS_TWO),
    }
    world = default_world(names)
    front_ends = [replace(each, slots=slots.get((each.address, each.port), each.slots)) for each in world.front_ends]
    return World(front_ends, world.endpoints)


def with_front_end(world: World, start: FrontEnd, state: str) -> World:
    """The world with one front end in another state. ``start`` says what it was to begin with; "gone" removes it."""
    key = (start.address, start.port, start.protocol)
    others = [each for each in world.front_ends if (each.address, each.port, each.protocol) != key]
    if state == "gone":
        return World(others, world.endpoints)
    if state == "serves with other backends":
        return World([*others, replace(start, slots=start.slots[1:] or start.slots)], world.endpoints)
    if state == "remembers clients":
        return World([*others, replace(start, affinity=AFFINITY_SECONDS)], world.endpoints)
    slots = start.slots if state in {"serves", "drains"} else ()
    return World([*others, replace(start, flags=STATES[state], slots=slots)], world.endpoints)


def with_endpoint(world: World, start: Endpoint, fate: str, generation: int, elsewhere: str) -> World:
    """The world after an endpoint met its fate; ``generation`` is a number that was not used before."""
    others = [each for each in world.endpoints if each.id != start.id]
    if fate == "goes":
        return World(world.front_ends, others)
    address = elsewhere if fate == "moves" else start.address
    local = fate == "is on this node"
    return World(world.front_ends, [*others, replace(start, address=address, generation=generation, local=local)])
