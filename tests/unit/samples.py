"""Small API objects for tests, read as any source reads them."""

from __future__ import annotations

import json
from typing import Any

from tcnat.model import Backend, FrontEndKey, Protocol, parse_address
from tcnat.objects import parse_documents
from tcnat.resources import Object, ObjectRef

NODE = "node-a"
WEB_IP, DNS_IP = "10.96.0.1", "10.96.0.2"
WEB = FrontEndKey(parse_address(WEB_IP), 80, Protocol.TCP)
DNS = FrontEndKey(parse_address(DNS_IP), 80, Protocol.TCP)


def made(raw: dict[str, Any]) -> Object:
    """The object, read as any source reads it."""
    [found] = parse_documents(json.dumps(raw), "test")
    return found  # type: ignore[return-value]


def service(name: str, ip: str = WEB_IP, port: int = 80, **spec: Any) -> Object:
    return made(
        {
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": ip, "ports": [{"port": port}], **spec},
        }
    )


def slice_of(owner: str, *ips: str, name: str = "", trigger: str | None = None, **endpoint: Any) -> Object:
    annotations = {"endpoints.kubernetes.io/last-change-trigger-time": trigger} if trigger else {}
    return made(
        {
            "kind": "EndpointSlice",
            "metadata": {
                "name": name or f"{owner}-1",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": owner},
                "annotations": annotations,
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080}],
            "endpoints": [{"addresses": [ip], **endpoint} for ip in ips],
        }
    )


def node(name: str, zone: str, **rest: Any) -> Object:
    return made({"kind": "Node", "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}, **rest})


def changes(*objects: Object, gone: tuple[Object, ...] = ()) -> dict[ObjectRef, Object | None]:
    return {**{found.ref: found for found in objects}, **{found.ref: None for found in gone}}


def backends(*ips: str) -> tuple[Backend, ...]:
    return tuple(Backend(parse_address(ip), 8080) for ip in ips)
