"""What the programs are told of the devices, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tcnat import served
from tcnat.filters import Role
from tcnat.layout import Family
from tcnat.links import Address, Link
from tcnat.metrics import Metrics
from tcnat.nodemaps import NodeMaps, Pods
from tcnat.served import NoRedirector, Served

from .fakes import FakeMap, fake_maps

ETHERNET = 1
ETH0 = Link(2, "eth0", ETHERNET)
OURS = b"\x0a\x01\x00\x02"


class Kernel:
    """As :class:`tcnat.netlink.Netlink`, of a machine with two devices."""

    def links(self) -> list[Link]:
        return [Link(1, "lo", 772), ETH0, Link(3, "eth1", ETHERNET)]

    def addresses(self) -> list[Address]:
        return [Address(2, OURS, primary=True), Address(3, b"\xc0\x00\x02\x01", primary=True)]

    def close(self) -> None:
        """Nothing to close."""


class Devices:
    """As :class:`tcnat.handover.Handover`; notes what the programs know of devices when these get them."""

    def __init__(self, addresses: FakeMap) -> None:
        self.keeper = SimpleNamespace(served={ETH0.index: (ETH0, Role.NETWORK)}, restored=0, shared=(), guarded=())
        self.known: dict[bytes, bytes] = {}
        self._addresses = addresses

    def start(self) -> None:
        self.known = dict(self._addresses.content)


def test_the_first_flow_at_a_device_finds_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "Netlink", Kernel)
    maps: Any = fake_maps()
    nodes = {Family.IPV4: NodeMaps(Family.IPV4, maps, Pods(), turn_back=False)}
    devices: Any = Devices(maps["device_addresses"])
    Served(devices, Metrics(), nodes, NoRedirector([maps]), ("eth0",)).start()
    assert list(devices.known.values()) == [OURS]
    assert maps["device_addresses"].content == devices.known
