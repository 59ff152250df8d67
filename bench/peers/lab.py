"""The nodes and pods that peers work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cni import Ptp
from tests.lab.nodes import Node, Nodes, OneOfMany, Pod
from tests.lab.servers import Web

from .services import AWAY, FEWEST, FIRST_MADE_UP, Service, made_up, real

BACKENDS = 3
_SHARED = 200
"""The host number, in a node's pod network, of the address that all of its backends have."""
_ANY_PORT = "1024 65535\n"
_HASH_PORTS = 1
"""fib_multipath_hash_policy: addresses, protocol and ports together choose the way."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node with a client's pod and backends' pods."""

    number: int
    """From 1 on."""
    node: Node
    client: Pod
    backends: tuple[Pod, ...]
    ground: OneOfMany
    """For an agent on the node."""

    @property
    def service(self) -> int:
        """The number of its own Service."""
        return AWAY + self.number

    def own(self, backends: Sequence[Pod]) -> Service:
        """Its own Service, on these of its backends."""
        return real_on(self.service, backends, self.backends[0])


class PeerLab(Nodes):
    """A place for each of ``peers``, by name, on nodes of their own, and one node more with the backends ``away``.

    Every backend runs nginx, and holds an address that it shares with the node's other backends, for the peer that
    has no proxy. The nodes do not filter by source (rp_filter), the kernel's own default and its quickest way.
    """

    def __init__(self, peers: Sequence[str]) -> None:
        assert len(peers) + AWAY < FIRST_MADE_UP <= FEWEST, "too many peers for one lab"
        super().__init__(Ptp(), len(peers) + 1, rp_filter=0)
        self._peers = tuple(peers)

        self.webs: dict[str, Web] = {}
        """The backends' web servers, by the backends' roles."""

    def _build(self) -> None:
        super()._build()
        self.away_node = self.all[-1]
        self.away = self._backends(self.away_node)
        spread(self.away_node, self.away)
        self.places = {name: self._place(number) for number, name in enumerate(self._peers, 1)}

    def _place(self, number: int) -> Place:
        node = self.all[number - 1]
        client = node.add_pod(f"client{number}")
        client.sysctl({"ipv4/tcp_tw_reuse": 1})
        with client.entered():
            Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(_ANY_PORT)
        return Place(number, node, client, self._backends(node), self.ground(node))

    def _backends(self, node: Node) -> tuple[Pod, ...]:
        made = tuple(node.add_pod(f"backend{node.number}-{number + 1}") for number in range(BACKENDS))
        for pod in made:
            pod.sysctl({"core/somaxconn": 8192})
            pod.ip(f"address add {shared_address(node)}/32 dev lo")
            self.webs[pod.role] = Web(self, pod, log=False)
        return made

    def services(self, count: int) -> list[Service]:
        """All Services: the real ones first, and made-up ones, so that there are ``count``."""
        away = real_on(AWAY, self.away, self.away[0])
        first = [away, *(each.own(each.backends) for each in self.places.values())]
        return first + [made_up(FIRST_MADE_UP + number) for number in range(count - len(first))]


def real_on(number: int, backends: Sequence[Pod], single: Pod) -> Service:
    """A Service on these pods (:func:`bench.peers.services.real`)."""
    return real(number, [pod.addresses.v4 for pod in backends], single.addresses.v4)


def spread(node: Node, backends: Sequence[Pod]) -> None:
    """Give a node's shared address a route over each of these backends; each connection has one way."""
    node.sysctl({"ipv4/fib_multipath_hash_policy": _HASH_PORTS})
    hops = "".join(f" nexthop via {pod.addresses.v4} dev {pod.device}" for pod in backends)
    node.ip(f"route replace {'' if hops else 'unreachable '}{shared_address(node)}{hops}")


def shared_address(node: Node) -> str:
    """The address that each backend on the node holds on its loopback device."""
    return node.network.host(_SHARED).v4
