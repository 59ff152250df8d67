"""From objects in files to the front ends that a replay runs against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcnat.errors import TcnatError
from tcnat.model import FrontEndKey, Protocol, Verdict, parse_address
from tcnat.replay import world

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{ namespace: default, name: {name} }}
spec:
  clusterIP: {address}
  clusterIPs: ["{address}"]
  internalTrafficPolicy: {policy}
  ports: [{{ name: http, port: 80, protocol: TCP }}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ namespace: default, name: {name}-1, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: IPv4
endpoints:
  - {{ addresses: [10.0.1.2], nodeName: one, zone: west, hints: {{ forZones: [{{ name: west }}] }} }}
  - {{ addresses: [10.0.1.3], nodeName: two, zone: east, hints: {{ forZones: [{{ name: east }}] }} }}
ports: [{{ name: http, port: 8080, protocol: TCP }}]
"""
NODE = """
apiVersion: v1
kind: Node
metadata: { name: one, labels: { topology.kubernetes.io/zone: west } }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "objects.yaml"
    documents = [
        SERVICE.format(name="web", address="10.96.0.10", policy="Cluster"),
        SERVICE.format(name="near", address="10.96.0.11", policy="Local"),
        SERVICE.format(name="alias", address="10.96.0.10", policy="Cluster"),
        NODE,
    ]
    path.write_text("---".join(documents))
    return path


def backends(file: Path, address: str, node: str = "", zone: str = "") -> list[str]:
    front_ends = world.read_front_ends([str(file)], node, zone)
    key = FrontEndKey(parse_address(address), 80, Protocol.TCP)
    return [str(backend) for backend in front_ends[key].backends]


def test_the_node_and_its_zone_decide_as_on_a_node(file: Path) -> None:
    assert backends(file, "10.96.0.10") == ["10.0.1.2:8080", "10.0.1.3:8080"]
    assert backends(file, "10.96.0.10", node="one") == ["10.0.1.2:8080"]
    assert backends(file, "10.96.0.10", zone="east") == ["10.0.1.3:8080"]
    assert backends(file, "10.96.0.10", node="one", zone="east") == ["10.0.1.3:8080"]
    assert backends(file, "10.96.0.11", node="two") == ["10.0.1.3:8080"]


def test_a_local_policy_without_a_node_has_nobody(file: Path) -> None:
    front_ends = world.read_front_ends([str(file)], "", "")
    assert front_ends[FrontEndKey(parse_address("10.96.0.11"), 80, Protocol.TCP)].verdict is Verdict.DROP


def test_of_two_services_with_one_address_the_first_by_name_has_it(file: Path) -> None:
    front_ends = world.read_front_ends([str(file)], "", "")
    services = world.services_of(front_ends)
    assert str(services[parse_address("10.96.0.10"), 80, 6]) == "default/alias:http"


def test_addresses_have_names_for_people(file: Path) -> None:
    front_ends = world.read_front_ends([str(file)], "one", "")
    assert world.names_of(front_ends.values()) == {
        "10.96.0.10": "Service default/alias",
        "10.96.0.11": "Service default/near",
        "10.0.1.2": "backend of default/alias and 1 more",
    }


def test_an_object_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {ports: 5}\n")
    with pytest.raises(TcnatError, match=r"broken\.yaml: .*default/web.*ports"):
        world.read_front_ends([str(path)], "", "")
