"""Writes the API server's objects where it keeps them, in etcd: 128 in one transaction, and so a hundred times sooner
than by the API. Whoever watches the API is told of them as of any others.

Source: etcd (api/v3, JSON by its gRPC gateway), kubernetes (staging/src/k8s.io/apiserver/pkg/storage/etcd3).
"""

from __future__ import annotations

import http.client
import itertools
import uuid
from base64 import b64encode
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tcnat.errors import TcnatError
from tests.cluster.apiserver import ETCD
from tests.lab.namespace import Namespace

BATCH = 128
"""Operations that etcd takes in one transaction (--max-txn-ops)."""
ALLOCATION = "/registry/ranges/serviceips"
"""Where the API server keeps which ClusterIPs are taken."""
_PREFIXES = {
    "Namespace": "namespaces",
    "Node": "minions",
    "Service": "services/specs",
    "EndpointSlice": "endpointslices",
}
_SINCE = "2020-12-08T00:00:00Z"

Operation = dict[str, dict[str, str]]


def key_of(each: Mapping[str, Any]) -> str:
    """Where the API server keeps an object."""
    metadata = each["metadata"]
    namespace = [metadata["namespace"]] if "namespace" in metadata else []
    return "/".join(["/registry", _PREFIXES[each["kind"]], *namespace, metadata["name"]])


def put(each: Mapping[str, Any]) -> Operation:
    """Keep an object, with what the server itself gives to new ones."""
    key = key_of(each)
    own = {"uid": str(uuid.uuid5(uuid.NAMESPACE_URL, key)), "creationTimestamp": _SINCE}
    return _put(key, {**each, "metadata": {**each["metadata"], **own}})


def delete(each: Mapping[str, Any]) -> Operation:
    """Keep it no longer."""
    return {"requestDeleteRange": {"key": _encoded(key_of(each).encode())}}


def allocation(network: str, addresses: Iterable[str]) -> Operation:
    """Have these ClusterIPs of the network taken: a big-endian number in which bit n stands for the network's address
    n + 1. Without it the server would mend it within three minutes, with an event for each Service.
    """
    base = int(ip_network(network).network_address) + 1
    bits = bytearray(max(1, 2 ** (32 - ip_network(network).prefixlen) // 8))
    for address in addresses:
        number = int(ip_address(address)) - base
        bits[-1 - number // 8] |= 1 << number % 8
    content = {
        "kind": "RangeAllocation",
        "apiVersion": "v1",
        "metadata": {"creationTimestamp": None},
        "range": network,
        "data": b64encode(bytes(bits).lstrip(b"\0")).decode(),
    }
    return _put(ALLOCATION, content)


def transactions(operations: Iterable[Operation]) -> Iterable[bytes]:
    """The bodies of requests that do all of these, :data:`BATCH` in each."""
    rest = iter(operations)
    while batch := list(itertools.islice(rest, BATCH)):
        yield msgspec.json.encode({"success": batch})


def commit(host: Namespace, operations: Iterable[Operation]) -> int:
    """Do them in the etcd on that host; the revision of the last transaction, 0 if there was none. TcnatError with what
    it said where it does not."""
    revision = 0
    connection = http.client.HTTPConnection(urlsplit(ETCD).netloc, timeout=60)
    with host.entered():
        connection.connect()
    try:
        for body in transactions(operations):
            connection.request("POST", "/v3/kv/txn", body)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != http.client.OK or not msgspec.json.decode(said).get("succeeded"):
                raise TcnatError(f"etcd: {answer.status} {said[:300].decode(errors='replace')}")
            revision = int(msgspec.json.decode(said)["header"]["revision"])
    finally:
        connection.close()
    return revision


def _put(key: str, content: Mapping[str, Any]) -> Operation:
    value = _encoded(msgspec.json.encode(content))
    return {"requestPut": {"key": _encoded(key.encode()), "value": value}}


def _encoded(raw: bytes) -> str:
    return b64encode(raw).decode()
