"""Who has which address in the lab."""

from __future__ import annotations

from dataclasses import dataclass

from tcnat.layout import Family


@dataclass(frozen=True, slots=True)
class Addresses:
    """An IPv4 and an IPv6 address of one host or Service."""

    v4: str
    v6: str

    def of(self, family: Family) -> str:
        """The address of that family."""
        return self.v4 if family is Family.IPV4 else self.v6

    def url(self, family: Family, port: int, path: str = "/") -> str:
        """``http://`` and so on, IPv6 in brackets."""
        return f"http://{self.v4}:{port}{path}" if family is Family.IPV4 else f"http://[{self.v6}]:{port}{path}"


@dataclass(frozen=True, slots=True)
class Network:
    """A /24 and a /64 between two hosts. The one nearer to the router has ``near``, the other ``far``."""

    v4: str
    v6: str

    @property
    def near(self) -> Addresses:
        """Address 1 of the network."""
        return self.host(1)

    @property
    def far(self) -> Addresses:
        """Address 2 of the network."""
        return self.host(2)

    @property
    def ranges(self) -> Addresses:
        """The networks themselves, in CIDR notation."""
        return Addresses(f"{self.v4}.0/24", f"{self.v6}::/64")

    def host(self, number: int) -> Addresses:
        """That address of the network."""
        return Addresses(f"{self.v4}.{number}", f"{self.v6}::{number:x}")


CLIENT_NETWORK = Network("10.1.0", "fd01")
"""Between the router and the client (or the node, where the lab has pods)."""


def backend_network(number: int) -> Network:
    """Between the router and a backend."""
    return Network(f"10.2.{number}", f"fd02:0:0:{number}")


def pod_network(number: int) -> Network:
    """Between the node and one of its pods."""
    return Network(f"10.3.{number}", f"fd03:0:0:{number}")


NODE_NETWORK = Network("10.10.0", "fd10")
"""Between the nodes of a cluster."""


def node_pod_network(number: int) -> Network:
    """Of the pods of a cluster's node (its podCIDRs)."""
    return Network(f"10.244.{number}", f"fd44:0:0:{number}")


SERVICE_NETWORK = Addresses("10.96.0.0/16", "fd96::/112")
"""Where all ClusterIPs lie."""


def service_addresses(number: int) -> Addresses:
    """The ClusterIPs of a Service; no host has a route to them but the default one."""
    return Addresses(f"10.96.{number >> 8}.{number & 255}", f"fd96::{number:x}")
