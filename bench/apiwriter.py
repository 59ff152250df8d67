"""Fills an API server with Services, and changes their endpoints as a controller does it: over connections that stay
open."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from typing import Any

from tests.cluster.apiserver import ADMIN, PORT, ApiServer
from tests.cluster.objects import older
from tests.lab.namespace import Namespace

from .objects import cluster_ip, made_up_endpoints, service
from .peers import etcd

NAMESPACE = "bench"
NETWORK = "10.96.0.0/13"
SERVERS_OWN = "10.96.0.1"
"""The ClusterIP of ``kubernetes``, which the server makes: no Service of the bench has it."""
ENDPOINTS = 10
_COLLECTIONS = {
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
    "EndpointSlice": f"/apis/discovery.k8s.io/v1beta1/namespaces/{NAMESPACE}/endpointslices",
}


class Writer:
    """Safe to use from several threads, each of which gets a connection of its own."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._context = ssl.create_default_context(cafile=str(server.certificate))
        self._own = threading.local()

    def replace(self, each: dict[str, Any]) -> None:
        """Put an object in the place of the one of its name."""
        self._send("PUT", f"{_COLLECTIONS[each['kind']]}/{each['metadata']['name']}", each)

    def cached_version(self, each: dict[str, Any]) -> int:
        """The version of an object in the server's cache, from which it tells those who list and watch."""
        said = self._send("GET", f"{_COLLECTIONS[each['kind']]}/{each['metadata']['name']}?resourceVersion=0")
        return int(json.loads(said)["metadata"]["resourceVersion"])

    def _send(self, method: str, path: str, each: dict[str, Any] | None = None) -> bytes:
        connection = self._connection()
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        connection.request(method, path, None if each is None else json.dumps(each), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:300].decode(errors='replace')}")
        return said

    def _connection(self) -> http.client.HTTPSConnection:
        found: http.client.HTTPSConnection | None = getattr(self._own, "connection", None)
        if found is None:
            host = self._server.host
            found = http.client.HTTPSConnection(host.addresses.v4, PORT, timeout=60, context=self._context)
            with host.entered():
                found.connect()
            self._own.connection = found
        return found


def fill(host: Namespace, count: int) -> None:
    """Have the Services 1 … ``count``, each with one slice of :data:`ENDPOINTS` endpoints, in the etcd on that host. By
    way of the API server it would take minutes."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    first = {**space, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    numbers = range(1, count + 1)
    taken = etcd.allocation(NETWORK, [SERVERS_OWN, *map(cluster_ip, numbers)])
    made = (service(number, made_up_endpoints(number, ENDPOINTS)) for number in numbers)
    etcd.commit(host, [etcd.put(first), taken])
    etcd.commit(host, (etcd.put(older(each)) for objects in made for each in objects))


def changed_slice(number: int, change: int) -> dict[str, Any]:
    """A Service's slice with another last endpoint."""
    return older(service(number, made_up_endpoints(number, ENDPOINTS, change))[1])
