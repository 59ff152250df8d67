"""The Services in a real API server, for the peers that follow one."""

from __future__ import annotations

from collections.abc import Sequence

from bench.apiwriter import Writer
from tests.cluster import binaries
from tests.cluster.apiserver import ApiServer
from tests.cluster.kubeproxy import NODE
from tests.cluster.objects import SLICES, node
from tests.lab.commands import wait_until
from tests.lab.nodes import Pod

from . import etcd
from .lab import PeerLab, Place
from .services import AWAY, NAMESPACE, Service

NETWORK = "10.96.0.0/13"
_NETWORKS = f"{NETWORK},fd96::/112"
CACHE_SECONDS = 300
_SERVERS_OWN = "10.96.0.1"
"""The ClusterIP of ``kubernetes``, which the server makes."""


class Api:
    """An API server on the switch between the nodes, with as many Services as :meth:`resize` says; none at first."""

    def __init__(self, lab: PeerLab) -> None:
        """TcnatError where Kubernetes has not been built."""
        self._lab = lab
        self._held: dict[int, Service] = {}
        self.server = ApiServer(lab, lab.outside, binaries.found(), services=_NETWORKS)
        self._writer = Writer(self.server)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        first = {**space, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        etcd.commit(lab.outside, [etcd.put(first), etcd.put(node(NODE))])

    @property
    def agent_options(self) -> list[str]:
        """The options of tcnat's agent that make it follow this server."""
        return ["--kubeconfig", str(self.server.kubeconfig)]

    def resize(self, services: int) -> None:
        """Have that many Services, all of them as they are at first, and wait until the server's cache has them: a
        list from there could be half of the old and half of the new. Not for while a peer follows them: they change all
        at once."""
        wanted = {each.number: each for each in self._lab.services(services)}
        gone = [each for number, each in self._held.items() if number not in wanted]
        fresh = [each for number, each in wanted.items() if self._held.get(number) != each]
        taken = etcd.allocation(NETWORK, [_SERVERS_OWN, *(each.address for each in wanted.values())])
        removals = (etcd.delete(thing) for each in gone for thing in each.objects(SLICES))
        additions = (etcd.put(thing) for each in fresh for thing in each.objects(SLICES))
        for operations in ([taken], removals, additions):
            etcd.commit(self._lab.outside, operations)
        self._held = wanted
        self._wait_for_cache()

    def _wait_for_cache(self) -> None:
        """Write one object of each kind once more: when the cache has that, it has what was written before."""
        last = self._held[AWAY].objects(SLICES)[:2]
        revision = etcd.commit(self._lab.outside, map(etcd.put, last))
        wait_until(
            lambda: all(self._writer.cached_version(each) >= revision for each in last),
            "the API server to have read what it is to serve",
            CACHE_SECONDS,
            every=0.1,
        )

    def serve(self, place: Place, backends: Sequence[Pod]) -> None:
        """Give a place's own Service these endpoints, by the API."""
        before, after = self._held[place.service], place.own(backends)
        for old, new in zip(before.objects(SLICES), after.objects(SLICES), strict=True):
            if old != new:
                self._writer.replace(new)
        self._held[place.service] = after
