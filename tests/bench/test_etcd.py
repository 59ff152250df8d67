"""What is written into etcd, byte for byte where the API server reads it."""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import pairwise
from typing import Any

import pytest

from bench.peers.etcd import BATCH, allocation, delete, key_of, put, transactions
from bench.peers.services import AWAY, FIRST_MADE_UP, made_up, real
from tests.cluster.objects import SLICES, node

SERVICE, SLICE = made_up(FIRST_MADE_UP).objects(SLICES)


def written(operation: dict[str, dict[str, str]]) -> tuple[str, dict[str, Any]]:
    """The key and the value of a put."""
    (request,) = operation.values()
    return b64decode(request["key"]).decode(), json.loads(b64decode(request["value"]))


@pytest.mark.parametrize(
    ("each", "key"),
    [
        (SERVICE, "/registry/services/specs/bench/service-10"),
        (SLICE, "/registry/endpointslices/bench/service-10-1"),
        (node("one"), "/registry/minions/one"),
        ({"kind": "Namespace", "metadata": {"name": "bench"}}, "/registry/namespaces/bench"),
    ],
    ids=["a Service", "a slice", "a Node", "a Namespace"],
)
def test_an_object_stands_where_the_server_looks_for_it(each: dict[str, Any], key: str) -> None:
    assert key_of(each) == key
    assert b64decode(delete(each)["requestDeleteRange"]["key"]).decode() == key


def test_an_object_is_as_it_was_and_has_an_identity_of_its_own() -> None:
    (key, value), (_, other) = written(put(SERVICE)), written(put(SLICE))
    assert key == key_of(SERVICE)
    assert value["spec"] == SERVICE["spec"]
    assert value["metadata"].items() >= SERVICE["metadata"].items()
    assert value["metadata"]["uid"] != other["metadata"]["uid"]
    assert written(put(SERVICE)) == (key, value)


def test_a_bit_for_each_cluster_ip_that_is_taken() -> None:
    _, value = written(allocation("10.96.0.0/13", ["10.96.0.1", "10.96.0.3", "10.96.1.1"]))
    assert (value["kind"], value["range"]) == ("RangeAllocation", "10.96.0.0/13")
    assert int.from_bytes(b64decode(value["data"]), "big") == 1 << 0 | 1 << 2 | 1 << 256


def test_operations_go_in_transactions_that_etcd_takes() -> None:
    operations = [put(each) for number in range(200) for each in made_up(FIRST_MADE_UP + number).objects(SLICES)]
    sent = [json.loads(body)["success"] for body in transactions(operations)]
    assert [each for batch in sent for each in batch] == operations
    assert [len(batch) for batch in sent] == [BATCH, BATCH, BATCH, 16]
    assert list(transactions([])) == []


def test_services_have_addresses_of_their_own_and_each_port_stands_in_one_slice() -> None:
    every = [real(AWAY, ["10.244.1.2"], "10.244.1.2"), *(made_up(FIRST_MADE_UP + number) for number in range(300))]
    assert all(one.address != other.address for one, other in pairwise(every))
    service, *slices = every[0].objects(SLICES)
    named = [port["name"] for port in service["spec"]["ports"]]
    assert sorted(named) == sorted(port["name"] for each in slices for port in each["ports"])
    assert {each["apiVersion"] for each in slices} == {SLICES}
