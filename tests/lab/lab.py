"""The hosts of a lab and the wires between them."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from . import stale
from .addresses import CLIENT_NETWORK, Addresses, Network, backend_network, pod_network
from .commands import Program
from .namespace import Namespace

_numbers = itertools.count(1)

OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")
"""The features of a veth that ``ethtool -K`` can switch."""

_SYSCTLS = {
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/default/router_solicitations": 0,
}
_FORWARDING = {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1}


class Host(Namespace):
    """A namespace that has addresses; ``eth0`` is its way to the others."""

    def __init__(self, name: str, role: str, addresses: Addresses) -> None:
        super().__init__(name)
        self.role = role
        self.addresses = addresses

    def offloads(self, device: str, **features: int) -> None:
        """Switch features of a device: ``offloads("eth0", tx=False)``. Devices without one of them keep silent."""
        words = [word for name, on in features.items() for word in (name, "on" if on else "off")]
        self.run("ethtool", "-K", device, *words)


class Lab:
    """Build with ``with``; whatever happens inside, all of it is removed at the end, unless ``keep`` is called.

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
        self.name = name or stale.owned_name(next(_numbers))
        self.directory = stale.DIRECTORIES / self.name
        self.files = self.directory / "files"
        self.pins = stale.BPFFS / self.name
        self.kept = False
        self._offloads = offloads
        self._narrow = narrow
        self._mtu = mtu
        self._wanted = (backends, pods)
        self._cleanup = ExitStack()
        self.backends: list[Host] = []
        self.pods: list[Host] = []

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(stale.remove, self.name)
            self._build()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self.kept:
            return
        try:
            self._cleanup.close()
        finally:
            stale.remove(self.name)

    def keep(self) -> None:
        """Leave everything standing and running; ``stale.remove`` takes it away."""
        self.kept = True

    def start(self, host: Namespace, *args: str | Path, log: str) -> Program:
        """Start a program on a host; it is stopped when the lab ends. ``log`` is a file name in the lab's directory."""
        program = host.start(*args, log=self.directory / log)
        self._cleanup.callback(program.stop)
        return program

    def add_backend(self) -> Host:
        """Build one more backend behind the router."""
        number = len(self.backends) + 1
        backend = self._attach(self.far_router, f"backend{number}", backend_network(number))
        self.backends.append(backend)
        return backend

    def _build(self) -> None:
        backends, pods = self._wanted
        self.files.mkdir(parents=True)
        self.router = self._host("router", CLIENT_NETWORK.near)
        self.router.sysctl(_FORWARDING)
        self.far_router = self.router if self._narrow is None else self._far_router(self._narrow)
        self.node = self._attach(self.router, "node" if pods else "client", CLIENT_NETWORK)
        if pods:
            self.node.sysctl(_FORWARDING)
        for number in range(1, pods + 1):
            self.pods.append(self._attach(self.node, f"pod{number}", pod_network(number)))
            self._route(self.router, pod_network(number), CLIENT_NETWORK.far)
        self.client = self.pods[0] if pods else self.node
        for _ in range(backends):
            self.add_backend()

    def _host(self, role: str, addresses: Addresses) -> Host:
        host = Host(f"{self.name}-{role}", role, addresses)
        host.create()
        host.sysctl(_SYSCTLS)
        return host

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
        far.sysctl(_FORWARDING)
        self.router.ip(f"link set far-router mtu {mtu}")
        far.ip(f"link set eth0 mtu {mtu}")
        for number in range(1, 10):
            self._route(self.router, backend_network(number), between.far)
        return far

    def _route(self, host: Host, network: Network, via: Addresses) -> None:
        host.ip(f"route add {network.v4}.0/24 via {via.v4}", f"route add {network.v6}::/64 via {via.v6}")


def up(host: Namespace, device: str, addresses: Addresses) -> None:
    """Give a device of the host's its addresses (a /24 and a /64), and set it up."""
    host.ip(
        f"address add {addresses.v4}/24 dev {device}",
        f"address add {addresses.v6}/64 dev {device} nodad",
        f"link set {device} up",
    )
