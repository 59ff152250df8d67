"""The Services that the packets go to, and the packets."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tcnat.bpf import Map
from tcnat.layout import BACKEND, FLOW, FLOW_KEY, SERVICE, Family, ServiceFlag, port_bytes, service_key
from tcnat.ports import Ports
from tests.packets.world import Endpoint, FrontEnd, World

TCP_NUMBER, UDP_NUMBER = 6, 17
PORT_A, PORT_B = 80, 8080
PAYLOAD = bytes(64)
LAST_SLOT, LAST_BACKEND, LAST_SERVICE = 60, 60, 60
"""Of a Service that is not A or B."""


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses: a client; two Services, each of which has the other for its only backend; and what is no Service's."""

    client: str
    a: str
    b: str
    nobody: str
    others: str
    """The first of the addresses of all other Services."""


PLACES = {
    Family.IPV4: Places("10.0.0.1", "10.96.0.10", "10.96.0.11", "192.0.2.1", "10.97.0.0"),
    Family.IPV6: Places("fd00::1", "fd96::10", "fd96::11", "2001:db8::1", "fd97::"),
}


def world(family: Family) -> World:
    """A and B, with TCP and UDP."""
    at = PLACES[family]
    ends = {(PORT_A, at.a): 1, (PORT_B, at.b): 2}
    backends = [Endpoint(number, address, port) for (port, address), number in ends.items()]
    pairs = [(at.a, PORT_A, 2), (at.b, PORT_B, 1)]
    fronts = [
        FrontEnd(address, port, protocol, (backend,), service)
        for protocol in (TCP_NUMBER, UDP_NUMBER)
        for service, (address, port, backend) in enumerate(pairs, 1)
    ]
    return World(fronts, backends)


def settle(maps: dict[str, Map], family: Family, services: int) -> None:
    """Write A and B, so many Services in all, and what the calibration looks up."""
    it = world(family)
    for number, raw in it.backend_entries(family).items():
        maps["backends"].update(_number(number), raw)
    maps["slots"].update_array(0, b"".join(map(_number, it.slot_numbers())))
    entries = it.service_entries(family)
    first = int(ip_address(PLACES[family].others))
    codec = SERVICE.codec(family)
    for other in range(services - 2):
        address = (first + other).to_bytes(family.address_size, "big")
        entries[service_key(address, PORT_A, TCP_NUMBER)] = codec.pack(0, 1, 3, 0, ServiceFlag.FRONT_END)
        entries[service_key(address, 0, 0)] = codec.pack(0, 0, 0, 0, ServiceFlag.SERVICE_ADDRESS)
    nowhere = bytes(family.address_size)
    entries[service_key(nowhere, 1, TCP_NUMBER)] = bytes(SERVICE.codec(family).size)
    maps["services"].update_many(list(entries), list(entries.values()))
    Ports(maps["ports"]).become(entries)
    for port in (1, 2):
        key = FLOW_KEY.codec(family).pack(nowhere, nowhere, port_bytes(port), port_bytes(1), TCP_NUMBER, 0, 0)
        maps["flows"].update(key, bytes(FLOW.codec(family).size))


def serve(maps: dict[str, Map], family: Family, front_end: tuple[str, int], backend: tuple[str, int]) -> None:
    """One more Service: UDP, with one backend."""
    address, port = front_end
    entry = SERVICE.codec(family).pack(LAST_SLOT, 1, LAST_SERVICE, 0, ServiceFlag.FRONT_END)
    maps["services"].update(service_key(ip_address(address).packed, port, UDP_NUMBER), entry)
    Ports(maps["ports"]).become(maps["services"].keys())
    maps["slots"].update(_number(LAST_SLOT), _number(LAST_BACKEND))
    raw = BACKEND.codec(family).pack(ip_address(backend[0]).packed, port_bytes(backend[1]), 0, 1)
    maps["backends"].update(_number(LAST_BACKEND), raw)


def tcp(family: Family, source: tuple[str, int], destination: tuple[str, int], flags: str, seq: int, ack: int) -> bytes:
    """A segment; one that opens or has data."""
    transport = TCP(sport=source[1], dport=destination[1], flags=flags, seq=seq, ack=ack)
    return _frame(family, source[0], destination[0], transport / Raw(b"" if "S" in flags else PAYLOAD))


def udp(family: Family, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """A datagram."""
    return _frame(family, source[0], destination[0], UDP(sport=source[1], dport=destination[1]) / Raw(PAYLOAD))


def _frame(family: Family, source: str, destination: str, rest: Packet) -> bytes:
    network = IP(src=source, dst=destination) if family is Family.IPV4 else IPv6(src=source, dst=destination)
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network / rest)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")
