"""A node of two workloads, by devices of the tests' own: what tc_egress hands on at one comes out of the other."""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from pyroute2 import IPRoute
from scapy.packet import Packet

from tcnat import layout
from tcnat.bpf import Program
from tcnat.layout import NEIGHBOUR, Family
from tcnat.loader import Loaded
from tests.packets.device_runner import PATIENCE, WORKLOAD, Filters, in_private_network, redirect_to
from tests.packets.devices import ETH_P_ALL, ETHERTYPE, Veth
from tests.packets.harness import index
from tests.packets.names import ROUTER_MAC

NODE_MAC, POD_MACS = ROUTER_MAC, {"client": "02:00:00:00:00:01", "server": "02:00:00:00:00:03"}
"""The node's ends of both pairs have one address, the pods have their own."""


NO_FLAG = layout.Way(0)


class Way(Enum):
    """What became of a frame that a pod sent."""

    STACK = "passed to the node's own stack"
    HANDED_ON = "handed to the other pod"
    BACK = "sent back"
    GONE = "dropped"


@dataclass(slots=True)
class Node:
    """The pods ``client`` and ``server``, each with tc_egress on the node's end of its pair."""

    loaded: Loaded
    devices: dict[str, Veth]
    sink: Veth
    kept: list[Program]

    @classmethod
    def of(cls, loaded: Loaded) -> Node:
        """Make the devices, in a network namespace of their own, and the pods' ends in others."""

        def make(netlink: IPRoute) -> Node:
            devices = {name: Veth(netlink, name, NODE_MAC, elsewhere=True) for name in POD_MACS}
            sink = Veth(netlink, "sink")
            pass_on = Program.load(redirect_to(sink.index), "pass_on")
            for device in devices.values():
                netlink.tc("add", "clsact", device.index)
                where = Filters(netlink, device.index, at_egress=False)
                where.add(loaded.egress, ETHERTYPE[loaded.family], WORKLOAD)
                where.add(pass_on, ETH_P_ALL)
            return cls(loaded, devices, sink, [pass_on])

        return in_private_network(make)

    def knows(self, pod: str, address: str, way: layout.Way = NO_FLAG) -> None:
        """The programs are told that the pod has the address, and how it is reached."""
        mac, own = (bytes.fromhex(each.replace(":", "")) for each in (POD_MACS[pod], NODE_MAC))
        entry = NEIGHBOUR.codec(Family.IPV4).pack(self.devices[pod].index, mac, own, way)
        self.loaded.maps["neighbours"].update(ip_address(address).packed, entry)

    def allow(self, until: int) -> None:
        """Packets may be handed on up to that second."""
        self.loaded.maps["redirect_until"].update(index(0), index(until))

    def send(self, pod: str, frame: Packet) -> tuple[Way, bytes | None]:
        """A pod sends a frame."""
        own = self.devices[pod]
        (other,) = [device for name, device in self.devices.items() if name != pod]
        ways: dict[Way, Callable[[], list[bytes]]] = {
            Way.STACK: self.sink.sent,
            Way.HANDED_ON: other.sent,
            Way.BACK: own.sent,
        }
        for each in ways.values():
            each()
        own.send_in(bytes(frame))
        own.send_in(own.sentinel)
        deadline = time.monotonic() + PATIENCE
        seen: list[tuple[Way, bytes]] = []
        while time.monotonic() < deadline:
            seen += [(way, each) for way, drain in ways.items() for each in drain()]
            if (Way.STACK, own.sentinel) in seen:
                seen.remove((Way.STACK, own.sentinel))
                assert len(seen) <= 1, seen
                return seen[0] if seen else (Way.GONE, None)
            select.select([], [], [], 0.001)
        raise AssertionError(f"a frame was sent, but the one behind it did not arrive within {PATIENCE} s")

    def close(self) -> None:
        """Give the devices back, and have the programs forget them."""
        self.allow(0)
        neighbours = self.loaded.maps["neighbours"]
        for key in list(neighbours.keys()):
            neighbours.delete(key)
        for device in (*self.devices.values(), self.sink):
            device.close()


def hops(frame: Packet, family: int) -> int:
    """TTL or hop limit."""
    return int(struct.unpack_from("B", bytes(frame), 14 + (8 if family == 4 else 7))[0])
