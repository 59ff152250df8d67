"""Which devices are served: the patterns, and what follows from news of links."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.devices import Change, DeviceEvent, DeviceTable, Listed
from tcnat.errors import TcnatError
from tcnat.filters import Role
from tcnat.links import FilterLost, HostRoute, Link, LinkGone, ListingEnd
from tcnat.patterns import Patterns, role_of

ETHER, LOOPBACK = 1, 772
PATTERNS = Patterns(network=("eth0",), workload=("veth*", "bridge:cni*"))


def link(index: int, name: str, master: int = 0, type: int = ETHER) -> Link:
    return Link(index, name, type, "", master)


def told(table: DeviceTable, *messages) -> list[tuple[str, str, str]]:
    """(change, name, role) of every event."""
    events = [event for message in messages for event in table.take(message)]
    return [
        (str(event.change), event.link.name, str(event.role)) if isinstance(event, DeviceEvent) else ("listed", "", "")
        for event in events
    ]


@pytest.mark.parametrize(
    ("name", "master", "type", "role"),
    [
        pytest.param("eth0", "", ETHER, Role.NETWORK, id="an exact name faces the network"),
        pytest.param("eth01", "", ETHER, None, id="an exact name is not a prefix"),
        pytest.param("vethab", "", ETHER, Role.WORKLOAD, id="a shell pattern matches a name"),
        pytest.param("xveth", "", ETHER, None, id="a shell pattern matches the whole name"),
        pytest.param("VETH1", "", ETHER, None, id="case counts"),
        pytest.param("tap1", "cni0", ETHER, Role.WORKLOAD, id="a port of the bridge"),
        pytest.param("tap1", "docker0", ETHER, None, id="a port of another bridge"),
        pytest.param("cni0", "", ETHER, None, id="the bridge itself is not its port"),
        pytest.param("eth0", "cni0", ETHER, Role.NETWORK, id="in both it faces the network"),
        pytest.param("veth0", "", LOOPBACK, None, id="no pattern means a loopback"),
    ],
)
def test_role_of(name, master, type, role):
    assert role_of(link(2, name, type=type), PATTERNS, master) is role


def test_a_loopback_is_served_by_its_exact_name():
    assert role_of(link(1, "lo", type=LOOPBACK), Patterns(("lo",), ("*",))) is Role.NETWORK
    assert role_of(link(1, "lo", type=LOOPBACK), Patterns((), ("*",))) is None


@pytest.mark.parametrize(
    "patterns", [{"network": ("",)}, *({"workload": (each,)} for each in ("", "bridge:", "route:"))]
)
def test_a_pattern_that_means_nothing_is_refused(patterns):
    with pytest.raises(TcnatError, match="names no device"):
        Patterns(**patterns)


def test_a_network_device_is_named_exactly():
    with pytest.raises(TcnatError, match="--network-device eth\\*: give the exact name"):
        Patterns(network=("eth*",))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("brigde:cni0", "give NAME, bridge:NAME or route:CIDR"),
        ("route:10.244.1.0/16", "10.244.1.0/16 has host bits set"),
        ("route:cali*", "'cali*' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_a_workload_pattern_that_is_wrong_is_explained(pattern, words):
    with pytest.raises(TcnatError, match=re.escape(f"--workload-device {pattern}: ") + ".*" + re.escape(words)):
        Patterns(workload=("veth*", pattern))


def test_devices_come_and_go():
    table = DeviceTable(PATTERNS)
    assert told(table, link(2, "eth0"), link(3, "veth1"), link(4, "dummy0")) == [
        ("came", "eth0", "network"),
        ("came", "veth1", "workload"),
    ]
    assert told(table, LinkGone(3), LinkGone(4), LinkGone(77)) == [("gone", "veth1", "workload")]


def test_the_same_news_again_is_no_news():
    table = DeviceTable(PATTERNS)
    told(table, link(3, "veth1"))
    assert told(table, link(3, "veth1"), link(3, "veth1")) == []


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        pytest.param("tmp1", "veth1", [("came", "veth1", "workload")], id="renamed into a pattern"),
        pytest.param("veth1", "tmp1", [("left", "tmp1", "workload")], id="renamed out of it"),
        pytest.param("veth1", "veth2", [("came", "veth2", "workload")], id="renamed within it"),
        pytest.param("veth1", "eth0", [("came", "eth0", "network")], id="renamed into another role"),
    ],
)
def test_a_device_is_renamed(before, after, events):
    table = DeviceTable(PATTERNS)
    told(table, link(5, before))
    assert told(table, link(5, after)) == events


def test_an_index_is_used_again():
    table = DeviceTable(PATTERNS)
    told(table, link(5, "veth1"))
    assert told(table, LinkGone(5), link(5, "eth0")) == [("gone", "veth1", "workload"), ("came", "eth0", "network")]


def test_a_port_joins_and_leaves_a_bridge():
    table = DeviceTable(PATTERNS)
    told(table, link(4, "cni0"), link(5, "tap1"))
    assert told(table, link(5, "tap1", master=4)) == [("came", "tap1", "workload")]
    assert told(table, link(5, "tap1")) == [("left", "tap1", "workload")]


def test_a_port_is_listed_before_its_bridge():
    table = DeviceTable(PATTERNS)
    assert told(table, link(4, "tap1", master=9)) == []
    assert told(table, link(9, "cni0")) == [("came", "tap1", "workload")]


def test_a_bridge_is_renamed_or_goes_with_its_ports_still_there():
    table = DeviceTable(PATTERNS)
    told(table, link(9, "cni0"), link(4, "tap1", master=9))
    assert told(table, link(9, "br0")) == [("left", "tap1", "workload")]
    assert told(table, link(9, "cni1")) == [("came", "tap1", "workload")]
    assert told(table, LinkGone(9)) == [("left", "tap1", "workload")]


def test_a_listing_tells_of_all_once_more_and_of_what_is_gone():
    table = DeviceTable(PATTERNS)
    told(table, link(2, "eth0"), link(3, "veth1"), link(4, "veth2"))
    table.begin_listing()
    assert told(table, link(2, "eth0"), link(4, "veth2"), ListingEnd(whole=True)) == [
        ("came", "eth0", "network"),
        ("came", "veth2", "workload"),
        ("gone", "veth1", "workload"),
        ("listed", "", ""),
    ]


def test_a_listing_that_was_interrupted_ends_nothing():
    table = DeviceTable(PATTERNS)
    told(table, link(3, "veth1"))
    table.begin_listing()
    assert told(table, ListingEnd(whole=False)) == []
    table.begin_listing()
    assert told(table, link(3, "veth1"), ListingEnd(whole=True))[-1] == ("listed", "", "")


def test_a_device_that_comes_during_a_listing_is_not_gone_after_it():
    """News of it may come before or after the listing's own line of it."""
    table = DeviceTable(PATTERNS)
    table.begin_listing()
    events = told(table, link(2, "eth0"), link(7, "veth7"), ListingEnd(whole=True))
    assert ("gone", "veth7", "workload") not in events
    table.begin_listing()
    assert told(table, link(7, "veth7"), LinkGone(7), ListingEnd(whole=True))[1:] == [
        ("gone", "veth7", "workload"),
        ("gone", "eth0", "network"),
        ("listed", "", ""),
    ]


def test_a_served_device_that_lost_a_filter_is_to_be_seen_to():
    table = DeviceTable(PATTERNS)
    told(table, link(2, "eth0"), link(3, "dummy0"))
    assert told(table, FilterLost(2), FilterLost(3), FilterLost(4)) == [("came", "eth0", "network")]
    told(table, link(2, "eth9"))
    assert told(table, FilterLost(2)) == []


def route(address: str, index: int, metric: int = 0, *, gone: bool = False) -> HostRoute:
    return HostRoute(ip_address(address), index, metric, gone)


ROUTED = Patterns(("eth0",), ("route:10.244.0.0/16", "route:fd44::/48"))


def test_a_device_is_meant_while_a_host_route_points_to_it():
    table = DeviceTable(ROUTED)
    assert told(table, link(2, "eth0"), link(7, "cali1"), route("10.9.0.1", 7)) == [("came", "eth0", "network")]
    assert told(table, route("10.244.1.5", 7)) == [("came", "cali1", "workload")]
    assert told(table, route("fd44::5", 7), route("10.244.1.5", 7, gone=True)) == []
    assert told(table, route("fd44::5", 7, gone=True)) == [("left", "cali1", "workload")]
    assert told(table, route("10.244.1.6", 2)) == []


def test_a_route_may_be_told_of_before_its_device():
    table = DeviceTable(ROUTED)
    assert told(table, route("10.244.1.5", 7), link(7, "cali1")) == [("came", "cali1", "workload")]


def test_a_route_that_is_replaced_is_the_other_devices_now():
    table = DeviceTable(ROUTED)
    told(table, link(7, "cali1"), link(8, "cali2"), route("10.244.1.5", 7))
    events = told(table, route("10.244.1.5", 8))
    assert sorted(events) == [("came", "cali2", "workload"), ("left", "cali1", "workload")]
    assert told(table, route("10.244.1.5", 7, gone=True)) == []


def test_routes_of_two_metrics_are_two_routes():
    table = DeviceTable(ROUTED)
    told(table, link(7, "cali1"), link(8, "cali2"), route("10.244.1.5", 7))
    assert told(table, route("10.244.1.5", 8, 100)) == [("came", "cali2", "workload")]
    assert told(table, route("10.244.1.5", 8, 100, gone=True)) == [("left", "cali2", "workload")]


def test_a_device_that_is_down_has_no_routes():
    """The kernel does not tell of each."""
    table = DeviceTable(ROUTED)
    told(table, link(7, "cali1"), route("10.244.1.5", 7))
    down = Link(7, "cali1", ETHER, up=False)
    assert told(table, down) == [("left", "cali1", "workload")]
    assert told(table, link(7, "cali1")) == []
    assert told(table, route("10.244.1.5", 7)) == [("came", "cali1", "workload")]


def test_routes_do_not_outlive_their_device():
    table = DeviceTable(ROUTED)
    told(table, link(7, "cali1"), route("10.244.1.5", 7))
    assert told(table, LinkGone(7), link(7, "other")) == [("gone", "cali1", "workload")]


def test_a_route_that_is_not_listed_is_gone():
    table = DeviceTable(ROUTED)
    told(table, link(7, "cali1"), link(8, "cali2"), route("10.244.1.5", 7), route("10.244.1.6", 8))
    table.begin_listing()
    events = told(table, link(7, "cali1"), link(8, "cali2"), route("10.244.1.6", 8), ListingEnd(whole=True))
    assert events == [
        ("came", "cali1", "workload"),
        ("came", "cali2", "workload"),
        ("left", "cali1", "workload"),
        ("listed", "", ""),
    ]


ALL = Patterns(PATTERNS.network, (*PATTERNS.workload, "route:10.244.0.0/16"))
NAMES = st.sampled_from(["eth0", "veth1", "veth2", "tap1", "cni0", "lo0"])
INDICES = st.integers(1, 4)
ADDRESSES = st.sampled_from(["10.244.0.1", "10.244.0.2", "10.9.0.1"])
LINKS = st.builds(link, INDICES, NAMES, st.integers(0, 4))
ROUTES = st.builds(route, ADDRESSES, INDICES, gone=st.booleans())
NEWS = st.lists(st.one_of(LINKS, st.builds(LinkGone, INDICES), ROUTES), max_size=30)


@given(NEWS)
def test_whoever_follows_the_events_knows_what_the_patterns_say_of_the_links_that_are_there(news):
    table, there, routes, served = DeviceTable(ALL), {}, {}, {}
    for message in news:
        match message:
            case Link(index=index):
                there[index] = message
            case LinkGone(index=index):
                there.pop(index, None)
                routes = {address: device for address, device in routes.items() if device != index}
            case HostRoute(address=address, index=index, gone=False):
                routes[address] = index
            case HostRoute(address=address, index=index) if routes.get(address) == index:
                del routes[address]
        for event in table.take(message):
            assert not isinstance(event, Listed)
            if event.change is Change.CAME:
                served[event.link.index] = event.role
            else:
                del served[event.link.index]
        meant = {device for address, device in routes.items() if str(address).startswith("10.244.")}
        masters = {index: there[one.master].name for index, one in there.items() if one.master in there}
        roles = {
            index: role_of(one, ALL, masters.get(index, ""), routed=index in meant) for index, one in there.items()
        }
        assert served == {index: role for index, role in roles.items() if role}
