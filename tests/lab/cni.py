"""How CNI plugins join a pod to its node: the same devices, addresses, routes and sysctls, made by hand.

Sources: containernetworking/plugins (plugins/main/ptp, plugins/main/bridge, pkg/ipam), projectcalico/calico
(cni-plugin/pkg/dataplane/linux, felix/dataplane/linux/endpoint_mgr.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .addresses import Network
from .site import Host


class Cni(Protocol):
    """One way to join pods. ``pattern`` is what an agent on such a node serves."""

    @property
    def pattern(self) -> str: ...

    def prepare(self, node: Host, network: Network, mtu: int) -> None:
        """What the node has before its first pod."""

    def join(self, node: Host, network: Network, pod: Host, number: int, mtu: int) -> str:
        """Give the pod its eth0 and the node the other end, whose name is returned."""


@dataclass(frozen=True, slots=True)
class Ptp:
    """Each pod on a link of its own; the gateway's address is on every host end, and pods reach each other by it."""

    pattern: str = "veth*"

    def prepare(self, node: Host, network: Network, mtu: int) -> None:
        """Nothing."""

    def join(self, node: Host, network: Network, pod: Host, number: int, mtu: int) -> str:
        """See :class:`Cni`."""
        device = _make_veth(node, pod, f"veth{number:08x}", mtu)
        gateway, ranges, own = network.near, network.ranges, pod.addresses
        pod.ip(
            f"address add {own.v4}/24 dev eth0",
            f"address add {own.v6}/64 dev eth0 nodad",
            f"route del {ranges.v4} dev eth0",
            f"route del {ranges.v6} dev eth0",
            f"route add {gateway.v4}/32 dev eth0 scope link src {own.v4}",
            f"route add {gateway.v6}/128 dev eth0",
            f"route add {ranges.v4} via {gateway.v4} src {own.v4}",
            f"route add {ranges.v6} via {gateway.v6} src {own.v6}",
            f"route add default via {gateway.v4}",
            f"route add default via {gateway.v6}",
        )
        node.ip(
            f"address add {gateway.v4}/32 dev {device}",
            f"address add {gateway.v6}/128 dev {device} nodad",
            f"route add {own.v4}/32 dev {device} scope host",
            f"route add {own.v6}/128 dev {device}",
        )
        return device


@dataclass(frozen=True, slots=True)
class Bridge:
    """All pods on cni0, which has the gateway's address; ``hairpin`` is the plugin's hairpinMode."""

    hairpin: bool = False
    pattern: str = "bridge:cni0"

    def prepare(self, node: Host, network: Network, mtu: int) -> None:
        """The bridge, as a gateway. Its own MAC address is set, so that it does not change with its ports."""
        node.ip(
            f"link add cni0 mtu {mtu} address 0a:58:0a:f4:00:01 type bridge",
            "link set cni0 up",
            f"address add {network.near.v4}/24 dev cni0",
            f"address add {network.near.v6}/64 dev cni0 nodad",
        )

    def join(self, node: Host, network: Network, pod: Host, number: int, mtu: int) -> str:
        """See :class:`Cni`."""
        device = _make_veth(node, pod, f"veth{number:08x}", mtu)
        node.ip(f"link set {device} master cni0")
        if self.hairpin:
            node.ip(f"link set {device} type bridge_slave hairpin on")
        pod.ip(
            f"address add {pod.addresses.v4}/24 dev eth0",
            f"address add {pod.addresses.v6}/64 dev eth0 nodad",
            f"route add default via {network.near.v4}",
            f"route add default via {network.near.v6}",
        )
        return device


@dataclass(frozen=True, slots=True)
class Calico:
    """A /32 and a /128 for each pod, whose gateway is 169.254.1.1 (the node answers ARP for it) and the host end's
    link-local address; all host ends have the same MAC address. (It also sets rp_filter to 1, as nodes do here anyway.)
    """

    pattern: str = "route:10.244.0.0/16"

    def prepare(self, node: Host, network: Network, mtu: int) -> None:
        """Nothing."""

    def join(self, node: Host, network: Network, pod: Host, number: int, mtu: int) -> str:
        """See :class:`Cni`. The pair is made in the pod, and its end then moved to the node."""
        device = f"cali{number:011x}"
        pod.ip(
            f"link add eth0 mtu {mtu} type veth peer name {device} mtu {mtu} address ee:ee:ee:ee:ee:ee",
            "link set eth0 up",
            f"link set {device} netns {node.name}",
        )
        node.sysctl(
            {
                f"ipv4/conf/{device}/route_localnet": 1,
                f"ipv4/conf/{device}/proxy_arp": 1,
                f"ipv4/neigh/{device}/proxy_delay": 0,
                f"ipv6/conf/{device}/proxy_ndp": 1,
            }
        )
        node.ip(
            f"link set {device} up",
            f"route add {pod.addresses.v4}/32 dev {device} scope link",
            f"route add {pod.addresses.v6}/128 dev {device}",
        )
        pod.ip(
            f"address add {pod.addresses.v4}/32 dev eth0",
            f"address add {pod.addresses.v6}/128 dev eth0 nodad",
            "route add 169.254.1.1 dev eth0 scope link",
            "route add default via 169.254.1.1 dev eth0",
            "route add default via fe80::ecee:eeff:feee:eeee dev eth0",
        )
        return device


def _make_veth(node: Host, pod: Host, device: str, mtu: int) -> str:
    """A pair that is made in the pod, with its other end in the node."""
    pod.ip(
        f"link add eth0 mtu {mtu} type veth peer name {device} mtu {mtu} netns {node.name}",
        "link set eth0 up",
    )
    node.ip(f"link set {device} up")
    return device


CNIS: dict[str, Cni] = {"ptp": Ptp(), "bridge": Bridge(), "bridge-hairpin": Bridge(hairpin=True), "calico": Calico()}
"""By the names that tests give them."""
