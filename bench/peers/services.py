"""The Services that every peer serves: the real ones, and as many made-up ones as are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.objects import cluster_ip, made_up_endpoints
from tests.lab.objects import Port
from tests.lab.servers import DNS_PORT, IPERF_PORT, WEB_PORT

WEB = Port("web", 80, WEB_PORT)
DNS = Port("dns", 53, DNS_PORT, "UDP")
SINK = Port("sink", 9, 9000, "UDP")
ECHO = Port("echo", 7, 7007)
IPERF = Port("iperf", IPERF_PORT, IPERF_PORT)
IPERF_UDP = Port("iperf-udp", IPERF_PORT, IPERF_PORT, "UDP")
SPREAD = (WEB, DNS, SINK, ECHO)
"""Ports that every backend serves."""
SINGLE = (IPERF, IPERF_UDP)
"""Ports that the first backend alone serves: iperf3's connections must all reach the same server."""
PORTS = SPREAD + SINGLE

NAMESPACE = "bench"
AWAY = 1
"""The number of the Service whose backends are on another node."""
FIRST_MADE_UP = 10
"""Below it are the numbers of real Services: of a place, 1 + the place's number."""
FEWEST = 10
"""Services that there are at least."""
_MADE_UP_PORTS = (Port("http", 80, 8080),)


@dataclass(frozen=True, slots=True)
class Slice:
    """Endpoints, all of them ready, and the ports that all of them have."""

    ports: tuple[Port, ...]
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A Service with a ClusterIP, and its endpoints. Each of its ports stands in one slice."""

    number: int
    slices: tuple[Slice, ...]

    @property
    def name(self) -> str:
        """In the namespace :data:`NAMESPACE`."""
        return f"service-{self.number}"

    @property
    def address(self) -> str:
        """Its ClusterIP."""
        return cluster_ip(self.number)

    def ports(self) -> Iterator[tuple[Port, tuple[str, ...]]]:
        """Each port, and the addresses of the endpoints that have it."""
        return ((port, each.endpoints) for each in self.slices for port in each.ports)

    def objects(self, slices: str = "discovery.k8s.io/v1") -> list[dict[str, Any]]:
        """The Service and its EndpointSlices of that version, as the API has them."""
        metadata = {"name": self.name, "namespace": NAMESPACE}
        ports = [
            {"name": port.name, "port": port.port, "targetPort": port.target, "protocol": port.protocol}
            for port, _ in self.ports()
        ]
        spec = {
            "type": "ClusterIP",
            "clusterIP": self.address,
            "clusterIPs": [self.address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": ports,
        }
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        return [service, *(self._slice(number, slices) for number in range(len(self.slices)))]

    def _slice(self, number: int, version: str) -> dict[str, Any]:
        each = self.slices[number]
        labels = {"kubernetes.io/service-name": self.name}
        ready = {"ready": True, "serving": True, "terminating": False}
        return {
            "apiVersion": version,
            "kind": "EndpointSlice",
            "metadata": {"name": f"{self.name}-{number + 1}", "namespace": NAMESPACE, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": port.name, "port": port.target, "protocol": port.protocol} for port in each.ports],
            "endpoints": [{"addresses": [address], "conditions": ready} for address in each.endpoints],
        }


def real(number: int, addresses: Sequence[str], single: str) -> Service:
    """A Service on these backends; it may have none. ``single``: the one that has the ports of :data:`SINGLE`, always,
    so that other backends are a change of one slice."""
    return Service(number, (Slice(SPREAD, tuple(addresses)), Slice(SINGLE, (single,))))


def made_up(number: int) -> Service:
    """A Service with three endpoints at which nothing listens."""
    endpoints = tuple(address for address, _ in made_up_endpoints(number))
    return Service(number, (Slice(_MADE_UP_PORTS, endpoints),))


def as_list(services: Sequence[Service]) -> bytes:
    """A List of all their objects."""
    items = [each for service in services for each in service.objects()]
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})
