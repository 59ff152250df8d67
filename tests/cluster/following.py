"""The Kubernetes source at work, without the agent, on a stand-in server that has one Service."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tcnat.objects import EndpointSlice, Object, ObjectRef
from tcnat.sources.kubernetes import api
from tcnat.sources.kubernetes.source import KubernetesSource

WEB = ObjectRef("Service", "shop", "web")
WEB_SLICE = ObjectRef("EndpointSlice", "shop", "web-1")


def service(name: str = "web", **labels: str) -> dict[str, Any]:
    """A Service as the API server has it."""
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    }


def endpoint_slice(*addresses: str, name: str = "web-1") -> dict[str, Any]:
    """A slice of the Service ``web``."""
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


class Following:
    """A source at work, and everything that it has told so far."""

    def __init__(self, kubeconfig: Path, proxy_name: str = "") -> None:
        self.source = KubernetesSource(api.connect(kubeconfig, None), "node-1", proxy_name)
        self.objects: dict[ObjectRef, Object] = {}
        self.told: list[ObjectRef] = []
        self.source.start(lambda: None)

    def poll(self) -> None:
        for ref, found in self.source.poll(time.monotonic()).items():
            self.told.append(ref)
            if found is None:
                self.objects.pop(ref, None)
            else:
                self.objects[ref] = found

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 15
        while True:
            self.poll()
            if condition():
                return
            assert time.monotonic() < end, f"waited in vain for {what}; troubles: {self.source.problems}"
            time.sleep(0.01)

    def synced(self) -> Following:
        self.until(lambda: self.source.synced, "the first lists")
        return self

    def endpoints(self, ref: ObjectRef = WEB_SLICE) -> int:
        found = self.objects.get(ref)
        return sum(len(group.endpoints) for group in found.groups) if isinstance(found, EndpointSlice) else -1
