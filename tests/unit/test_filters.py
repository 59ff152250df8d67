"""Which filters a device is to have, and which are tcnat's, without a kernel."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tcnat import filters
from tcnat.errors import TcnatError
from tcnat.filters import DeviceFlag, Programs, Role, blocking, describe, device_flags, is_ours, same, wanted_filters
from tcnat.layout import Family
from tcnat.links import Filter, Hook, Link

ETH0 = Link(2, "eth0", 1)
IF_ARP = Path("/usr/include/linux/if_arp.h")


@pytest.fixture(autouse=True)
def ids(monkeypatch):
    """A program's id is its descriptor + 100."""
    monkeypatch.setattr(filters, "_program_id", lambda fd: fd + 100)


def wanted(role: Role = Role.NETWORK, programs: Programs | None = None) -> list[Filter]:
    return [one for one, _ in wanted_filters(ETH0, role, programs or Programs(3, 4, 5, 6))]


def test_replies_can_be_reversed_before_anything_asks_for_it():
    assert [one.name for one in wanted()] == ["tcnat_ingress"] * 2 + ["tcnat_egress"] * 2


def test_what_retires_reverses_replies_before_and_behind_the_new_programs():
    programs = Programs(3, 4, 5, 6, retiring4=7, retiring6=8)
    every = wanted(programs=programs)
    assert [(one.name, one.priority, one.program) for one in every[:2]] == [
        ("tcnat_ingress", 1005, 107),
        ("tcnat_ingress", 1007, 108),
    ]
    assert every[2:] == wanted()
    assert all(map(is_ours, every))
    assert describe(ETH0, every).complete


def test_each_filter_gets_its_own_program():
    programs = {(one.name, one.protocol): fd for one, fd in wanted_filters(ETH0, Role.NETWORK, Programs(3, 4, 5, 6))}
    assert programs == {
        ("tcnat_egress", 0x0800): 3,
        ("tcnat_ingress", 0x0800): 4,
        ("tcnat_egress", 0x86DD): 5,
        ("tcnat_ingress", 0x86DD): 6,
    }


def test_a_family_without_programs_has_no_filters():
    assert {one.protocol for one in wanted(programs=Programs(3, 4))} == {0x0800}


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("ARPHRD_ETHER", DeviceFlag(0)),
        ("ARPHRD_LOOPBACK", DeviceFlag(0)),
        ("ARPHRD_NONE", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_PPP", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_RAWIP", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_TUNNEL", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_TUNNEL6", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_SIT", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_IPGRE", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_IP6GRE", DeviceFlag.NO_LINK_HEADER),
        ("ARPHRD_INFINIBAND", None),
        ("ARPHRD_IEEE80211_RADIOTAP", None),
    ],
)
def test_link_layers_by_the_kernels_own_numbers(name, flags):
    found = re.search(rf"#define {name}\s+(0x[0-9A-Fa-f]+|\d+)", IF_ARP.read_text())
    link = Link(2, "x0", int(found[1], 0))
    if flags is None:
        with pytest.raises(TcnatError, match="x0 has link layer type"):
            device_flags(link, Role.NETWORK)
        return
    assert device_flags(link, Role.NETWORK) == flags
    assert device_flags(link, Role.WORKLOAD) == flags | DeviceFlag.WORKLOAD


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"handle": 1},
        {"priority": 1003},
        {"kind": "u32"},
        {"chain": 1},
    ],
)
def test_ours_by_all_of_name_handle_and_priority(change):
    ours = wanted()[0]
    assert is_ours(ours)
    assert not is_ours(dataclasses.replace(ours, **change))


@pytest.mark.parametrize(
    ("change", "blocks"),
    [
        pytest.param({"name": "theirs"}, True, id="another program's filter with our handle"),
        pytest.param({"name": "theirs", "handle": 1}, False, id="beside ours in one priority"),
        pytest.param({"kind": "u32", "name": ""}, True, id="another kind in our priority"),
        pytest.param({"protocol": 3}, True, id="another ethertype in our priority"),
        pytest.param({"kind": "u32", "priority": 7}, False, id="another priority"),
        pytest.param({"kind": "u32", "hook": Hook.EGRESS}, False, id="another hook"),
        pytest.param({"kind": "u32", "chain": 5}, False, id="another chain"),
        pytest.param({}, False, id="our own"),
    ],
)
def test_who_is_in_the_way(change, blocks):
    ours = wanted()[0]
    assert blocking(dataclasses.replace(ours, **change), ours) is blocks


def test_programs_are_compared_only_where_the_kernel_tells_them():
    ours = wanted()[0]
    assert same(ours, ours)
    assert not same(dataclasses.replace(ours, program=9), ours)
    assert same(dataclasses.replace(ours, program=0), ours)
    assert same(ours, dataclasses.replace(ours, program=0))
    assert not same(dataclasses.replace(ours, classid=1, program=0), ours)


class TestDescribe:
    def test_nothing_of_ours(self):
        assert describe(ETH0, [dataclasses.replace(wanted()[0], name="theirs")]) is None

    @pytest.mark.parametrize("role", Role)
    def test_complete(self, role):
        found = describe(ETH0, wanted(role))
        assert (found.role, found.complete, found.families) == (role, True, (Family.IPV4, Family.IPV6))

    def test_a_filter_is_missing(self):
        found = describe(ETH0, wanted()[:3])
        assert (found.role, found.complete) == (Role.NETWORK, False)

    def test_a_filter_at_the_wrong_hook(self):
        every = wanted()
        turned = [dataclasses.replace(every[0], hook=Hook.EGRESS), *every[1:]]
        assert describe(ETH0, turned).complete is False

    def test_a_filter_that_does_not_act(self):
        every = wanted()
        assert describe(ETH0, [dataclasses.replace(every[0], direct_action=False), *every[1:]]).complete is False

    def test_roles_that_contradict_each_other(self):
        found = describe(ETH0, [*wanted(Role.NETWORK)[:2], *wanted(Role.WORKLOAD)[2:]])
        assert (found.role, found.complete) == (None, False)

    def test_filters_of_others_that_run_before(self):
        first = Filter(2, Hook.INGRESS, 1, 3, 1, "bpf", name="cil_from_netdev")
        heading = dataclasses.replace(first, handle=0)
        later = dataclasses.replace(first, priority=49152)
        assert describe(ETH0, [heading, first, *wanted(), later]).earlier == (first,)
