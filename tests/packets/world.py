"""Which Services there are, in a few words, and their bytes in the maps."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from tcnat.layout import BACKEND, SERVICE, Family, ServiceFlag, port_bytes, service_key
from tests.packets.names import Names

TCP, UDP, SCTP = 6, 17, 132


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A backend with the id that the slots know it by."""

    id: int
    address: str
    port: int
    generation: int = 1
    local: bool = False
    """Whether it is on this node."""


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """A front end; ``slots`` are endpoint ids in the order of its run, so that one id alone takes every flow."""

    address: str
    port: int
    protocol: int
    slots: tuple[int, ...] = ()
    service: int = 0
    affinity: int = 0
    flags: ServiceFlag = ServiceFlag.FRONT_END


@dataclass(slots=True)
class World:
    """Front ends and endpoints; what else the maps need (direct entries, addresses) follows from them."""

    front_ends: list[FrontEnd] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)

    def services(self) -> Iterator[tuple[tuple[str, int, int], ServiceFlag, FrontEnd | None, int]]:
        """(address, port, protocol), flags, the front end, and where its slots begin."""
        found: dict[tuple[str, int, int], tuple[ServiceFlag, FrontEnd | None, int]] = {}

        def add(key: tuple[str, int, int], flag: ServiceFlag, front_end: FrontEnd | None = None, base: int = 0) -> None:
            flags, old, old_base = found.get(key, (ServiceFlag(0), None, 0))
            found[key] = (flags | flag, front_end or old, base or old_base)

        by_id = {endpoint.id: endpoint for endpoint in self.endpoints}
        base = 0
        for front_end in self.front_ends:
            add((front_end.address, front_end.port, front_end.protocol), front_end.flags, front_end, base)
            add((front_end.address, 0, 0), ServiceFlag.SERVICE_ADDRESS)
            base += len(front_end.slots)
            for number in dict.fromkeys(front_end.slots):
                endpoint = by_id.get(number)
                if endpoint:
                    add((endpoint.address, endpoint.port, front_end.protocol), ServiceFlag.DIRECT)
                    add((endpoint.address, 0, 0), ServiceFlag.BACKEND_ADDRESS)
        for key, (flags, front_end, at) in found.items():
            yield key, flags, front_end, at

    def service_entries(self, family: Family) -> dict[bytes, bytes]:
        """The services map."""
        codec = SERVICE.codec(family)
        return {
            service_key(ipaddress.ip_address(address).packed, port, protocol): codec.pack(
                base,
                len(front_end.slots) if front_end else 0,
                front_end.service if front_end else 0,
                front_end.affinity if front_end else 0,
                flags,
            )
            for (address, port, protocol), flags, front_end, base in self.services()
        }

    @property
    def local_addresses(self) -> frozenset[str]:
        """The endpoints' addresses on this node."""
        return frozenset(each.address for each in self.endpoints if each.local)

    def slot_numbers(self) -> list[int]:
        """Every front end's run, one behind the other."""
        return [number for front_end in self.front_ends for number in front_end.slots]

    def backend_entries(self, family: Family) -> dict[int, bytes]:
        """The backends map, by id."""
        codec = BACKEND.codec(family)
        return {
            each.id: codec.pack(ipaddress.ip_address(each.address).packed, port_bytes(each.port), 0, each.generation)
            for each in self.endpoints
        }


WEB_ONE, WEB_TWO, DNS_ONE, DNS_TWO, SCTP_ONE, SCTP_ELSEWHERE, CLIENT_WEB, CLIENT_DNS = range(1, 9)
"""Endpoint ids of the default world."""
WEB, DNS, DIAMETER, OTHER_WEB, OTHER_DNS, STICKY, OWN_WEB, OWN_DNS = range(1, 9)
"""Service ids of the default world."""
AFFINITY_SECONDS = 600


def default_world(names: Names) -> World:
    """The Services that most rows live with."""
    nobody = ServiceFlag.FRONT_END | ServiceFlag.REJECT
    not_here = ServiceFlag.FRONT_END | ServiceFlag.DROP
    return World(
        endpoints=[
            Endpoint(WEB_ONE, names.backend_one, 8080),
            Endpoint(WEB_TWO, names.backend_two, 8080),
            Endpoint(DNS_ONE, names.backend_one, 5353),
            Endpoint(DNS_TWO, names.backend_two, 5353),
            Endpoint(SCTP_ONE, names.backend_one, 3868),
            Endpoint(SCTP_ELSEWHERE, names.backend_two, 3869),
            Endpoint(CLIENT_WEB, names.client, 8080),
            Endpoint(CLIENT_DNS, names.client, 5353),
        ],
        front_ends=[
            FrontEnd(names.web_vip, 80, TCP, (WEB_ONE,), WEB),
            FrontEnd(names.other_web_vip, 80, TCP, (WEB_ONE,), OTHER_WEB),
            FrontEnd(names.dns_vip, 53, UDP, (DNS_ONE,), DNS),
            FrontEnd(names.other_dns_vip, 53, UDP, (DNS_ONE,), OTHER_DNS),
            FrontEnd(names.sctp_vip, 3868, SCTP, (SCTP_ONE,), DIAMETER),
            FrontEnd(names.sctp_vip, 3869, SCTP, (SCTP_ONE,), DIAMETER),
            FrontEnd(names.sticky_vip, 80, TCP, (WEB_ONE, WEB_TWO), STICKY, AFFINITY_SECONDS),
            FrontEnd(names.sticky_vip, 53, UDP, (DNS_ONE, DNS_TWO), STICKY, AFFINITY_SECONDS),
            *(FrontEnd(names.empty_vip, 80, protocol, flags=nobody) for protocol in (TCP, UDP, SCTP)),
            *(FrontEnd(names.local_vip, 80, protocol, flags=not_here) for protocol in (TCP, UDP, SCTP)),
            FrontEnd(names.self_vip, 80, TCP, (CLIENT_WEB,), OWN_WEB),
            FrontEnd(names.self_vip, 53, UDP, (CLIENT_DNS,), OWN_DNS),
        ],
    )
