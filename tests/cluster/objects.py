"""Objects as the real API server, of 1.20, takes them."""

from __future__ import annotations

from typing import Any

from tests.lab.objects import Service

SLICES = "discovery.k8s.io/v1beta1"


def objects_of(service: Service) -> list[dict[str, Any]]:
    """A Service and its slices, which this server knows in v1beta1."""
    return [older(each) for each in service.objects()]


def older(each: dict[str, Any]) -> dict[str, Any]:
    """The object with the version that this server knows of it."""
    return {**each, "apiVersion": SLICES} if each["kind"] == "EndpointSlice" else each


def node(name: str, *taints: str, **labels: str) -> dict[str, Any]:
    """A Node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": taint, "effect": "NoSchedule"} for taint in taints]},
    }
