"""The hosts of a lab and the wires between them."""

from __future__ import annotations

import itertools

from .addresses import CLIENT_NETWORK, Addresses, Network, backend_network, pod_network
from .site import FORWARDING, Host, Site, up

OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")
"""The features of a veth that ``ethtool -K`` can switch."""


class Lab(Site):
    """A client, a router and backends.

    ``pods`` = 0: the client is a pod VM, and the node too. Else the node is a host of its own with that many pods, of
    which the first is the client. ``mtu`` is that of all links; ``narrow``: the MTU of a link between two routers
    on the way to the backends. ``offloads``: whether the devices of client, pods, node and backends compute
    checksums and cut segments late; routers always do as they find it. ``name`` is for labs that outlive the process.
    """

    def __init__(
        self,
        *,
        backends: int = 3,
        pods: int = 0,
        narrow: int | None = None,
        mtu: int = 1500,
        offloads: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._offloads = offloads
        self._narrow = narrow
        self._mtu = mtu
        self._wanted = (backends, pods)
        self._far_networks = itertools.count(1)
        self._pod_networks = itertools.count(1)
        self.backends: list[Host] = []
        self.pods: list[Host] = []

    @property
    def served(self) -> tuple[str, str]:
        """The agent's option for the devices that it is to serve here."""
        return ("--workload-device", "pod*") if self.pods else ("--network-device", "eth0")

    def add_backend(self) -> Host:
        """Build one more backend behind the router."""
        backend = self.add_host(f"backend{len(self.backends) + 1}")
        self.backends.append(backend)
        return backend

    def add_host(self, role: str) -> Host:
        """Build a host behind the router that is neither backend nor node of the lab's."""
        return self._attach(self.far_router, role, backend_network(next(self._far_networks)))

    def add_node(self, role: str) -> tuple[Host, Host]:
        """Build a host behind the router that forwards, and a pod on it."""
        node = self.add_host(role)
        node.sysctl(FORWARDING)
        return node, self._add_pod(node, f"{role}-pod")

    def _build(self) -> None:
        backends, pods = self._wanted
        self.router = self._host("router", CLIENT_NETWORK.near)
        self.router.sysctl(FORWARDING)
        self.far_router = self.router if self._narrow is None else self._far_router(self._narrow)
        self.node = self._attach(self.router, "node" if pods else "client", CLIENT_NETWORK)
        if pods:
            self.node.sysctl(FORWARDING)
        for number in range(1, pods + 1):
            self.pods.append(self._add_pod(self.node, f"pod{number}"))
        self.client = self.pods[0] if pods else self.node
        for _ in range(backends):
            self.add_backend()

    def _add_pod(self, node: Host, role: str) -> Host:
        network = pod_network(next(self._pod_networks))
        pod = self._attach(node, role, network)
        self._route(self.router, network, node.addresses)
        return pod

    def _attach(self, gateway: Host, role: str, network: Network) -> Host:
        """A new host whose eth0 is wired to a device of the gateway's, named after the host's role.

        The gateway sends nothing back to where it came from, as a switch would not.
        """
        host = self._host(role, network.far)
        gateway.ip(f"link add {role} mtu {self._mtu} type veth peer name eth0 mtu {self._mtu} netns {host.name}")
        up(gateway, role, network.near)
        for version, network_range in (("-4", f"{network.v4}.0/24"), ("-6", f"{network.v6}::/64")):
            gateway.run("ip", version, "rule", "add", "iif", role, "to", network_range, "blackhole")
        up(host, "eth0", network.far)
        host.ip(f"route add default via {network.near.v4}", f"route add default via {network.near.v6}")
        if not self._offloads:
            off = dict.fromkeys(OFFLOADS, False)
            host.offloads("eth0", **off)
            if gateway is not self.router:
                gateway.offloads(role, **off)
        return host

    def _far_router(self, mtu: int) -> Host:
        between = Network("10.0.0", "fd00")
        far = self._attach(self.router, "far-router", between)
        far.sysctl(FORWARDING)
        self.router.ip(f"link set far-router mtu {mtu}")
        far.ip(f"link set eth0 mtu {mtu}")
        for number in range(1, 10):
            self._route(self.router, backend_network(number), between.far)
        return far

    def _route(self, host: Host, network: Network, via: Addresses) -> None:
        host.ip(f"route add {network.v4}.0/24 via {via.v4}", f"route add {network.v6}::/64 via {via.v6}")
