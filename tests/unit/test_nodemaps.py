"""What the programs are told of the node."""

from __future__ import annotations

import ipaddress
import logging
import sys

import pytest

from tcnat.layout import PODS, Family, Masquerade
from tcnat.links import Address, Link
from tcnat.nodemaps import NodeMaps, Pods
from tcnat.served import primary_addresses

from .fakes import FakeMap, fake_maps

CIDRS = ("10.244.0.0/16", "fd00:10:244::/56")
ONE, TWO, SIX = (ipaddress.ip_address(each).packed for each in ("10.244.1.1", "10.244.1.2", "fd00:10:244::1"))
ARPHRD_ETHER = 1


def node_maps(
    maps: dict[str, FakeMap],
    family: Family = Family.IPV4,
    *,
    turn_back: bool = True,
    cidrs: tuple[str, ...] = (),
    masquerade_all: bool = False,
) -> NodeMaps:
    return NodeMaps(family, maps, Pods.of(cidrs, masquerade_all=masquerade_all), turn_back=turn_back)  # type: ignore[arg-type]


def pods(maps: dict[str, FakeMap], family: Family = Family.IPV4) -> tuple[str, Masquerade, int]:
    network, mask, masquerade, overlay = PODS.codec(family).unpack(maps["pods"].lookup(bytes(4)) or b"")
    return f"{ipaddress.ip_address(network)}/{ipaddress.ip_address(mask)}", Masquerade(masquerade), overlay


def device(index: int) -> bytes:
    return index.to_bytes(4, sys.byteorder)


def test_local_addresses_follow_those_of_the_family() -> None:
    maps = fake_maps()
    it = node_maps(maps)
    assert it.write({ONE, TWO, SIX}) == 2
    assert set(maps["local_addresses"].content) == {ONE, TWO}
    assert it.write({TWO}) == 1
    assert set(maps["local_addresses"].content) == {TWO}
    assert it.write({TWO}) == 0


def test_a_new_agent_finds_what_the_last_one_wrote() -> None:
    maps = fake_maps()
    node_maps(maps).write({ONE, TWO})
    assert node_maps(maps).write({TWO, ONE}) == 0
    assert node_maps(maps).write({TWO}) == 1
    assert set(maps["local_addresses"].content) == {TWO}


def test_without_workloads_no_address_is_local() -> None:
    maps = fake_maps()
    node_maps(maps).write({ONE})
    node_maps(maps, turn_back=False).write({ONE})
    assert not maps["local_addresses"].content


def test_addresses_that_do_not_fit_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    maps = fake_maps(local_addresses=1)
    it = node_maps(maps)
    with caplog.at_level(logging.ERROR):
        it.write({ONE, TWO})
        it.write({ONE, TWO})
    assert caplog.messages == [
        "no room map=local_addresses entries=1: this node's own processes do not reach all Services"
    ]
    assert it.write({TWO}) == 2
    assert set(maps["local_addresses"].content) == {TWO}


@pytest.mark.parametrize(
    ("family", "network"),
    [(Family.IPV4, "10.244.0.0/255.255.0.0"), (Family.IPV6, "fd00:10:244::/ffff:ffff:ffff:ff00::")],
)
def test_sources_outside_of_the_pods_network_are_masqueraded(family: Family, network: str) -> None:
    maps = fake_maps(family)
    it = node_maps(maps, family, cidrs=CIDRS)
    assert it.write_devices({}, overlay=False) == 1
    assert pods(maps, family) == (network, Masquerade.OUTSIDE, 0)
    assert it.write_devices({}, overlay=True) == 1
    assert pods(maps, family) == (network, Masquerade.OUTSIDE, 1)
    assert it.write_devices({}, overlay=True) == 0


def test_all_sources() -> None:
    maps = fake_maps()
    node_maps(maps, masquerade_all=True).write_devices({}, overlay=True)
    assert pods(maps) == ("0.0.0.0/0.0.0.0", Masquerade.ALL, 0)


def test_nothing_is_known_of_a_family_without_a_network() -> None:
    maps = fake_maps(Family.IPV6)
    assert node_maps(maps, Family.IPV6, cidrs=CIDRS[:1]).write_devices({}, overlay=True) == 0
    assert pods(maps, Family.IPV6) == ("::/::", Masquerade.NONE, 0)


def test_masquerading_ends_with_its_setting() -> None:
    maps = fake_maps()
    node_maps(maps, masquerade_all=True).write_devices({}, overlay=False)
    assert node_maps(maps).write_devices({}, overlay=False) == 1
    assert pods(maps)[1] is Masquerade.NONE


def test_devices_addresses_follow() -> None:
    maps = fake_maps()
    it = node_maps(maps)
    assert it.write_devices({3: ONE, 4: TWO}, overlay=False) == 2
    assert it.write_devices({3: TWO}, overlay=False) == 2
    assert maps["device_addresses"].content == {device(3): TWO}


def test_two_networks_of_one_family_are_refused() -> None:
    with pytest.raises(ValueError, match="two IPv4 networks; give one of each family"):
        Pods.of(("10.0.0.0/9", "10.128.0.0/9"), masquerade_all=False)


def test_a_device_has_its_first_primary_address() -> None:
    links = [Link(3, "eth0", ARPHRD_ETHER), Link(4, "eth1", ARPHRD_ETHER)]
    addresses = [
        Address(2, ONE, primary=True),
        Address(3, SIX, primary=True),
        Address(3, TWO, primary=False),
        Address(3, ONE, primary=True),
        Address(3, TWO, primary=True),
    ]
    assert primary_addresses(addresses, links, Family.IPV4) == {3: ONE}
    assert primary_addresses(addresses, links, Family.IPV6) == {3: SIX}
