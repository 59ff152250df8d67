"""kube-proxy 1.20.2 on an API server, by either of iptables' ways into the kernel, or by IPVS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.processes import cpu_seconds
from tests.cluster import binaries
from tests.cluster.kubeproxy import KubeProxy
from tests.lab.nodes import Pod
from tests.lab.site import Host

from .api import Api
from .lab import PeerLab, Place
from .services import AWAY
from .stand import PATIENCE, Loading, Stand, TooSlow, by_service

LEGACY, NFT, IPVS = "kube-proxy iptables-legacy", "kube-proxy iptables-nft", "kube-proxy IPVS"
_NO_RULES = "".join(f"*{table}\nCOMMIT\n" for table in ("filter", "nat", "mangle"))
_EVERY = 0.1
"""Seconds between questions whether it has done its first sync: each costs it a millisecond or so."""


class KubeProxyAtWork:
    """A kube-proxy on a place's node."""

    def __init__(self, lab: PeerLab, place: Place, api: Api, name: str) -> None:
        self._lab = lab
        self._place = place
        self._api = api
        self._name = name
        self._proxy: KubeProxy | None = None
        self.loading: Loading | None = None

    @property
    def pid(self) -> int:
        """See :class:`bench.peers.stand.Proxy`."""
        assert self._proxy is not None
        return self._proxy.program.pid

    def start(self, patience: float) -> None:
        """Start it, and wait for its first sync. TimeoutError."""
        began = time.time()
        self._proxy = proxy = KubeProxy(
            self._lab,
            self._place.node,
            self._api.server,
            binaries.found(),
            dual_stack=False,
            legacy=self._name != NFT,
            mode="ipvs" if self._name == IPVS else "iptables",
            min_sync_period="1s",
            log=f"{self._place.node.role}/kube-proxy-{next(_numbers)}.log",
            wait=None,
        )
        proxy.program.wait_for(proxy.synced, "kube-proxy's first sync", patience, _EVERY)
        self.loading = Loading(proxy.last_sync() - began, cpu_seconds(proxy.program.pid))

    def serve(self, backends: Sequence[Pod]) -> None:
        """See :class:`bench.peers.stand.Proxy`."""
        self._api.serve(self._place, backends)

    def remove(self) -> None:
        """End it, and take its rules from the node."""
        if self._proxy is not None:
            self._proxy.program.stop()
        _CLEANING[self._name](self._place.node)


_numbers = itertools.count(1)


def _clean_legacy(node: Host) -> None:
    node.run("iptables-legacy-restore", text=_NO_RULES, timeout=PATIENCE)


def _clean_nft(node: Host) -> None:
    node.run("nft", "flush", "ruleset", timeout=PATIENCE)


def _clean_ipvs(node: Host) -> None:
    node.run("ipvsadm", "--clear")
    node.run("ip", "link", "del", "kube-ipvs0", check=False)
    _clean_legacy(node)
    node.run("ipset", "destroy", check=False)


_CLEANING: dict[str, Callable[[Host], None]] = {LEGACY: _clean_legacy, NFT: _clean_nft, IPVS: _clean_ipvs}


class KubeProxies:
    """kube-proxy in one of its modes, on an API server that has been given the Services already."""

    def __init__(self, name: str, api: Callable[[], Api]) -> None:
        """``name``: :data:`LEGACY`, :data:`NFT` or :data:`IPVS`; ``api``: the lab's, which exists by then."""
        self.name = name
        self._api = api

    @contextmanager
    def standing(self, lab: PeerLab, services: int, patience: float = PATIENCE) -> Iterator[Stand]:
        """See :class:`bench.peers.stand.Peer`."""
        place = lab.places[self.name]
        proxy = KubeProxyAtWork(lab, place, self._api(), self.name)
        try:
            try:
                proxy.start(patience)
            except TimeoutError:
                raise TooSlow(self.name, services, patience) from None
            yield Stand(self.name, lab, place, services, proxy, by_service(place.service), by_service(AWAY))
        finally:
            proxy.remove()
