"""The objects of the Kubernetes API that the agent reads, as a file that changes under it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tcnat.layout import Family

from .addresses import Addresses, service_addresses


@dataclass(frozen=True, slots=True)
class Port:
    """A Service's port, and the one that its backends have for it."""

    name: str
    port: int
    target: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Service:
    """A dual-stack Service and the addresses of its ready endpoints. ``number`` makes its ClusterIPs."""

    number: int
    ports: tuple[Port, ...]
    endpoints: tuple[Addresses, ...] = ()
    affinity_seconds: int = 0
    title: str = ""
    nodes: tuple[str, ...] = ()
    """The endpoints' nodes, in their order; for none of them if it is empty."""

    @property
    def name(self) -> str:
        """The Service's name in the namespace ``default``: its title, if it has one."""
        return self.title or f"service-{self.number}"

    @property
    def addresses(self) -> Addresses:
        """Its ClusterIPs."""
        return service_addresses(self.number)

    def with_endpoints(self, endpoints: Iterable[Addresses]) -> Service:
        """The same Service on other endpoints."""
        return replace(self, endpoints=tuple(endpoints))

    def objects(self) -> list[dict[str, Any]]:
        """The Service and an EndpointSlice for each family, as the API server has them."""
        return [self._service(), self._slice(Family.IPV4), self._slice(Family.IPV6)]

    def _service(self) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "type": "ClusterIP",
            "clusterIP": self.addresses.v4,
            "clusterIPs": [self.addresses.v4, self.addresses.v6],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [
                {"name": port.name, "port": port.port, "targetPort": port.target, "protocol": port.protocol}
                for port in self.ports
            ],
        }
        if self.affinity_seconds:
            spec["sessionAffinity"] = "ClientIP"
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": self.affinity_seconds}}
        metadata = {"name": self.name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    def _slice(self, family: Family) -> dict[str, Any]:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{self.name}-{family.name.lower()}",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": "IPv4" if family is Family.IPV4 else "IPv6",
            "endpoints": [
                {
                    "addresses": [endpoint.of(family)],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                    **({"nodeName": node} if node else {}),
                }
                for endpoint, node in itertools.zip_longest(self.endpoints, self.nodes)
            ],
            "ports": [{"name": port.name, "port": port.target, "protocol": port.protocol} for port in self.ports],
        }


def write(path: Path, services: Sequence[Service]) -> None:
    """Put a List of these Services' objects in the place of the file, so that its directory sees a single change."""
    items = [thing for service in services for thing in service.objects()]
    fresh = path.parent.with_name(f"{path.name}.new")
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    os.replace(fresh, path)
