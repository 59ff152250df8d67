"""A cluster's nodes and their pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tcnat.layout import Family

from . import overlay
from .addresses import NODE_NETWORK, Network, node_pod_network
from .cni import Cni
from .commands import Program
from .namespace import Namespace
from .site import FORWARDING, Host, Site, up

STRICT = 1
"""rp_filter: a source must be routed back through the device that its packet came by (RFC 3704)."""


class Between(StrEnum):
    """How one node's packets reach another's pods."""

    ROUTES = "routes"
    """A route to each other node's pods, by that node (host-gw)."""
    VXLAN = "vxlan"
    """An overlay of each family, as flannel makes it: the other ends' addresses are all set by hand."""


class Pod(Host):
    """A pod; ``device`` is the name of its node's end of the pair."""

    device: str


class Node(Host):
    """A node, and its pods."""

    def __init__(self, site: Nodes, number: int) -> None:
        super().__init__(f"{site.name}-node{number}", f"node{number}", NODE_NETWORK.host(number))
        self.number = number
        self.network: Network = node_pod_network(number)
        self.pods: list[Pod] = []
        self._site = site
        self._made = 0

    def add_pod(self, role: str = "") -> Pod:
        """Make one more pod and join it as the CNI plugin does. ``role`` is its name among the nodes' pods."""
        self._made += 1
        role = role or f"{self.role}-pod{self._made}"
        pod = Pod(f"{self._site.name}-{role}", role, self.network.host(1 + self._made))
        pod.create()
        pod.device = self._site.cni.join(self, self.network, pod, self._made, self._site.mtu)
        self.pods.append(pod)
        return pod

    def remove_pod(self, pod: Pod) -> None:
        """Take a pod away, with all that runs in it."""
        self.pods.remove(pod)
        pod.delete()


@dataclass(frozen=True, slots=True)
class OneOfMany:
    """A node among the others, for an agent of its own (:class:`tests.lab.site.Ground`)."""

    site: Nodes
    node: Node

    @property
    def directory(self) -> Path:
        """The site's, for this node."""
        return self.site.directory / self.node.role

    @property
    def pins(self) -> Path:
        """The site's, for this node."""
        return self.site.pins.with_name(self.node.name)

    @property
    def served(self) -> tuple[str, str]:
        """The agent's option for the pods' devices."""
        return "--workload-device", self.site.cni.pattern

    def start(self, host: Namespace, *args: str | Path, log: str) -> Program:
        """See :meth:`tests.lab.site.Site.start`."""
        return self.site.start(host, *args, log=f"{self.node.role}/{log}")


class Nodes(Site):
    """Nodes on one switch, each with the same CNI plugin; build with ``with``.

    ``outside`` is the switch itself: a host that is no node, by which the nodes reach the rest of the world (their
    default route), and which has a route to each node's pods only where the nodes have. ``rp_filter`` is that of all
    the nodes' devices.
    """

    def __init__(
        self, cni: Cni, count: int = 1, between: Between = Between.ROUTES, *, rp_filter: int = STRICT, mtu: int = 1500
    ) -> None:
        super().__init__()
        self.cni = cni
        self.mtu = mtu - overlay.OVERHEAD if between is Between.VXLAN else mtu
        self._link_mtu = mtu
        self._between = between
        self._count = count
        self._rp_filter = rp_filter
        self.all: list[Node] = []

    def __iter__(self) -> Iterator[Node]:
        return iter(self.all)

    def __getitem__(self, index: int) -> Node:
        return self.all[index]

    def ground(self, node: Node) -> OneOfMany:
        """What an agent on that node stands on."""
        return OneOfMany(self, node)

    def _build(self) -> None:
        self.outside = self._host("outside", NODE_NETWORK.host(254))
        self.outside.ip(f"link add switch mtu {self._link_mtu} type bridge")
        up(self.outside, "switch", self.outside.addresses)
        self.outside.sysctl(FORWARDING)
        for number in range(1, self._count + 1):
            self.all.append(self._node(number))
        if self._between is Between.VXLAN:
            for node in self.all:
                overlay.join(node, self._others(node), self._link_mtu)
        else:
            for host in (self.outside, *self.all):
                _route_to_pods(host, self._others(host))

    def _others(self, host: Host) -> list[Node]:
        return [node for node in self.all if node is not host]

    def _node(self, number: int) -> Node:
        node = Node(self, number)
        node.create()
        self.ground(node).directory.mkdir()
        node.sysctl(FORWARDING | {f"ipv4/conf/{which}/rp_filter": self._rp_filter for which in ("all", "default")})
        mtu = self._link_mtu
        self.outside.ip(
            f"link add {node.role} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {node.name}",
            f"link set {node.role} master switch up",
        )
        up(node, "eth0", node.addresses)
        gateway = self.outside.addresses
        node.ip(f"route add default via {gateway.v4}", f"route add default via {gateway.v6}")
        self.cni.prepare(node, node.network, self.mtu)
        return node


def _route_to_pods(host: Host, nodes: Iterable[Node]) -> None:
    for node in nodes:
        host.ip(*(f"route add {node.network.ranges.of(f)} via {node.addresses.of(f)}" for f in Family))
