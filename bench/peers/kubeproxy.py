"""kube-proxy 1.20.2 on an API server, by either of iptables' ways into the kernel, or by IPVS."""

from __future__ import annotations

import itertools
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from bench.processes import TICK, children, cpu_seconds
from tests.cluster import binaries
from tests.cluster.kubeproxy import KubeProxy
from tests.lab.commands import PATIENCE as PATIENCE_FACTOR
from tests.lab.commands import Program
from tests.lab.nodes import Pod
from tests.lab.site import Host

from .api import Api
from .lab import PeerLab, Place
from .services import AWAY, Service
from .stand import PATIENCE, Loading, Stand, TooSlow, by_service

LEGACY, NFT, IPVS = "kube-proxy iptables-legacy", "kube-proxy iptables-nft", "kube-proxy IPVS"
_ADDRESSES = "KUBE-CLUSTER-IP"
_NO_RULES = "".join(f"*{table}\nCOMMIT\n" for table in ("filter", "nat", "mangle"))
_SYNC_PERIOD = "1h"
"""As tcnat's: rules are written when something has changed. By its default, 30 s, it would write all of them anew
nearly all the time with many Services, and take a CPU from whoever is measured beside it."""
_TOLD_FIRST = 1
"""With more threads at a time its first sync begins while it is still being told of Services, and takes those that it
does not know yet out of the set of addresses, one by one (:func:`set_of_addresses`)."""
SETTLED = 2.0
"""Seconds for which it must have nothing left to do: more than the least time between syncs. It begins its first one
while it is still being told of what there is, and the rest is left to the next; its metrics do not tell that."""
RESTING = 0.2
"""Share of a core below which it has nothing to do; being asked takes it a tenth of that."""
_EVERY = 0.2 * PATIENCE_FACTOR
"""Seconds between questions whether it has done its first sync: each costs it a millisecond or so, on slow machines
more."""


class KubeProxyAtWork:
    """A kube-proxy on a place's node."""

    kernel_memory = None

    def __init__(self, lab: PeerLab, place: Place, api: Api, name: str, services: int) -> None:
        self._lab = lab
        self._place = place
        self._api = api
        self._name = name
        self._services = services
        self._proxy: KubeProxy | None = None
        self.loading: Loading | None = None

    @property
    def pid(self) -> int:
        """See :class:`bench.peers.stand.Proxy`."""
        assert self._proxy is not None
        return self._proxy.program.pid

    def start(self, patience: float) -> None:
        """Start it, and wait for its first sync. TimeoutError."""
        if self._name == IPVS:
            addresses = set_of_addresses(self._lab.services(self._services))
            self._place.node.run("ipset", "restore", text="".join(addresses))
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
            sync_period=_SYNC_PERIOD,
            threads=_TOLD_FIRST if self._name == IPVS else None,
            log=f"{self._place.node.role}/kube-proxy-{next(_numbers)}.log",
            wait=None,
        )
        rest = Rest(proxy.program.pid)
        held = Held(lambda: proxy.synced() and rest(), SETTLED)
        proxy.program.wait_for(held, "kube-proxy to have all its rules", patience / PATIENCE_FACTOR, _EVERY)
        self.loading = Loading(proxy.last_sync() - began, cpu_seconds(proxy.program.pid))

    def serve(self, backends: Sequence[Pod]) -> None:
        """See :class:`bench.peers.stand.Proxy`."""
        self._api.serve(self._place, backends)

    def remove(self) -> None:
        """End it, and take its rules from the node."""
        if self._proxy is not None:
            _end_with_children(self._proxy.program)
        _CLEANING[self._name](self._place.node)


class Held:
    """Whether a condition has been true for some time without a break, asked again and again."""

    def __init__(self, condition: Callable[[], bool], seconds: float) -> None:
        self._condition = condition
        self._seconds = seconds
        self._since = math.inf

    def __call__(self) -> bool:
        self._since = min(self._since, time.monotonic()) if self._condition() else math.inf
        return time.monotonic() - self._since >= self._seconds


class Rest:
    """Whether a process has done next to nothing, and has no child, since it was last asked."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last = (time.monotonic(), cpu_seconds(pid))

    def __call__(self) -> bool:
        (then, before), self._last = self._last, (time.monotonic(), cpu_seconds(self._pid))
        busy = self._last[1] - before >= max(TICK, RESTING * (self._last[0] - then))
        return not busy and not children(self._pid)


_numbers = itertools.count(1)


def _end_with_children(program: Program) -> None:
    """An iptables-restore that it has left running would write its rules yet."""
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGTERM)
    program.wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


def set_of_addresses(services: Iterable[Service]) -> Iterator[str]:
    """What ``ipset restore`` loads: the set of all ClusterIPs and ports, as kube-proxy's IPVS mode makes it. It finds
    nothing left to add then; else it would run ``ipset add`` for each, which takes an emulated machine minutes.
    Source: kubernetes (pkg/proxy/ipvs/ipset.go, pkg/util/ipset).
    """
    yield f"create {_ADDRESSES} hash:ip,port family inet hashsize 1024 maxelem 65536\n"
    for service in services:
        for port, _ in service.ports():
            yield f"add {_ADDRESSES} {service.address},{port.protocol.lower()}:{port.port}\n"


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
        proxy = KubeProxyAtWork(lab, place, self._api(), self.name, services)
        try:
            try:
                proxy.start(patience)
            except TimeoutError:
                raise TooSlow(self.name, services, patience) from None
            yield Stand(self.name, lab, place, services, proxy, by_service(place.service), by_service(AWAY))
        finally:
            proxy.remove()
