"""Many Services at once: as one List, or in a directory with a file for each."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FIRST_ADDRESS = 1
"""The first Service has 10.96.0.1; bench Services never leave 10.96.0.0/13."""


def address(base: str, number: int) -> str:
    """The number-th address from ``base`` ("10.96") on."""
    first, second = map(int, base.split("."))
    number += second << 16
    return f"{first}.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def cluster_ip(number: int) -> str:
    """The ClusterIP of a Service."""
    return address("10.96", number + FIRST_ADDRESS)


def service(number: int, endpoints: Sequence[tuple[str, int]], port: int = 80) -> list[dict[str, Any]]:
    """A Service and its EndpointSlice; all endpoints have the port of the first."""
    name = f"service-{number}"
    metadata = {"name": name, "namespace": "bench"}
    spec = {
        "type": "ClusterIP",
        "clusterIP": cluster_ip(number),
        "clusterIPs": [cluster_ip(number)],
        "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": port, "targetPort": endpoints[0][1], "protocol": "TCP"}],
    }
    slice_metadata = {**metadata, "name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}}
    conditions = {"ready": True, "serving": True, "terminating": False}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice_metadata,
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": endpoints[0][1], "protocol": "TCP"}],
            "endpoints": [{"addresses": [ip], "conditions": conditions} for ip, _ in endpoints],
        },
    ]


def made_up_endpoints(number: int, count: int = 3, change: int = 0) -> list[tuple[str, int]]:
    """Endpoints that nothing listens at; another ``change`` gives another last one."""
    addresses = [address("10.128", number * count + each) for each in range(count)]
    addresses[-1] = address("10.192", number * 4 + change % 4) if change else addresses[-1]
    return [(each, 8080) for each in addresses]


def as_list(services: Sequence[list[dict[str, Any]]]) -> bytes:
    """A List of all their objects."""
    items = [thing for each in services for thing in each]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()


def write(path: Path, data: bytes) -> None:
    """Put a file in the place of another at once."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    os.replace(fresh, path)


def write_directory(directory: Path, count: int) -> None:
    """A file for each Service: ``service-N.json``."""
    directory.mkdir()
    for number in range(count):
        (directory / file_name(number)).write_bytes(as_list([service(number, made_up_endpoints(number))]))


def file_name(number: int) -> str:
    """The file of a Service in a directory."""
    return f"service-{number}.json"
