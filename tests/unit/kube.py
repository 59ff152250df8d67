"""API objects as JSON has them, and addresses with names, one set for each family."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tcnat.objects import Object, Problem, parse_documents
from tcnat.resources import EndpointSlice, Service

Json = dict[str, Any]


@dataclass(frozen=True)
class Net:
    """One family's addresses."""

    family: str
    service: str
    other_service: str
    unallocated: str
    external_ip: str
    lb_ip: str
    other_lb_ip: str
    node: str
    other_node: str
    loopback: str
    outsider: str
    stranger: str
    pod_one: str
    pod_two: str
    pod_three: str
    pod_client: str
    cluster_cidr: str
    service_cidr: str
    node_cidr: str
    outsider_cidr: str
    elsewhere_cidr: str

    def __str__(self) -> str:
        return self.family


V4 = Net(
    family="IPv4",
    service="10.96.0.10",
    other_service="10.96.0.11",
    unallocated="10.96.7.7",
    external_ip="198.51.100.1",
    lb_ip="198.51.100.10",
    other_lb_ip="198.51.100.11",
    node="192.168.0.1",
    other_node="192.168.7.1",
    loopback="127.0.0.1",
    outsider="203.0.113.5",
    stranger="203.0.114.5",
    pod_one="10.244.1.1",
    pod_two="10.244.2.2",
    pod_three="10.244.3.3",
    pod_client="10.244.1.99",
    cluster_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/16",
    node_cidr="192.168.0.0/24",
    outsider_cidr="203.0.113.0/24",
    elsewhere_cidr="172.16.0.0/12",
)
V6 = Net(
    family="IPv6",
    service="fd00:96::10",
    other_service="fd00:96::11",
    unallocated="fd00:96::777",
    external_ip="2001:db8:1::1",
    lb_ip="2001:db8:1::10",
    other_lb_ip="2001:db8:1::11",
    node="fd00:168::1",
    other_node="fd00:168:7::1",
    loopback="::1",
    outsider="2001:db8:2::5",
    stranger="2001:db8:3::5",
    pod_one="fd00:244:1::1",
    pod_two="fd00:244:2::2",
    pod_three="fd00:244:3::3",
    pod_client="fd00:244:1::99",
    cluster_cidr="fd00:244::/32",
    service_cidr="fd00:96::/64",
    node_cidr="fd00:168::/64",
    outsider_cidr="2001:db8:2::/48",
    elsewhere_cidr="fd77::/16",
)
BOTH = (V4, V6)
assert all(getattr(V4, each.name) != getattr(V6, each.name) for each in fields(Net))


def _given(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def port(
    number: int = 80, name: str | None = "http", protocol: str | None = "TCP", node_port: int | None = None
) -> Json:
    """One of a Service's ports."""
    return _given(port=number, name=name, protocol=protocol, nodePort=node_port)


def service(
    *addresses: str,
    name: str = "web",
    labels: Mapping[str, str] | None = None,
    ports: Sequence[Json] = (port(),),
    ingress: Sequence[Json] = (),
    **spec: Any,
) -> Json:
    """A Service with these cluster IPs."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", **_given(labels=labels)},
        "spec": {"clusterIP": addresses[0], "clusterIPs": list(addresses), "ports": list(ports), **spec},
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def endpoint(
    address: str,
    node: str | None = None,
    *,
    ready: bool | None = None,
    serving: bool | None = None,
    terminating: bool | None = None,
    zones: Iterable[str] = (),
    nodes: Iterable[str] = (),
    **more: Any,
) -> Json:
    """One endpoint of a slice; what is None is left out."""
    hints = _given(
        forZones=[{"name": zone} for zone in zones] or None, forNodes=[{"name": node} for node in nodes] or None
    )
    return {
        "addresses": [address],
        "conditions": _given(ready=ready, serving=serving, terminating=terminating),
        **_given(nodeName=node, hints=hints or None),
        **more,
    }


def endpoint_slice(
    family: str,
    *endpoints: Json,
    name: str = "web-1",
    of: str | None = "web",
    ports: Sequence[Json] = ({"name": "http", "port": 8080, "protocol": "TCP"},),
    labels: Mapping[str, str] | None = None,
    version: str = "v1",
) -> Json:
    """An EndpointSlice of the Service ``of``."""
    label = {} if of is None else {"kubernetes.io/service-name": of}
    return {
        "apiVersion": f"discovery.k8s.io/{version}",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": {**label, **(labels or {})}},
        "addressType": family,
        "ports": list(ports),
        "endpoints": list(endpoints),
    }


def parse(*objects: Json) -> list[Object]:
    """The objects as tcnat reads them; none may be refused."""
    found = list(parse_documents(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}), "test"))
    problems = [each for each in found if isinstance(each, Problem)]
    assert not problems, problems
    return [each for each in found if not isinstance(each, Problem)]


def parse_service(each: Json) -> Service:
    """One Service."""
    (found,) = parse(each)
    assert isinstance(found, Service)
    return found


def parse_slices(*slices: Json) -> tuple[EndpointSlice, ...]:
    """Several slices."""
    found = parse(*slices)
    return tuple(each for each in found if isinstance(each, EndpointSlice))
