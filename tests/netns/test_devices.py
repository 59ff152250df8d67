"""Devices that come, go and change, in a real namespace."""

from __future__ import annotations

import os
import queue
import socket
from collections.abc import Callable, Iterator

import pytest

from tcnat.attach import Role
from tcnat.devices import Change, DeviceEvent, Event, Listed
from tcnat.links import Link, Overrun
from tcnat.monitor import DeviceMonitor
from tcnat.patterns import Patterns
from tcnat.watcher import DeviceWatcher
from tests.lab.commands import PATIENCE, wait_until
from tests.lab.namespace import Namespace
from tests.netns.filtering import veth_namespace

pytestmark = pytest.mark.root

PATTERNS = Patterns(network=("eth0",), workload=("veth*", "bridge:cni0"))
QUIET = 0.2
"""Seconds after which nothing more is expected."""


@pytest.fixture
def netns() -> Iterator[Namespace]:
    with veth_namespace("devices") as namespace:
        yield namespace


class Followed:
    """The events of a watcher, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Event] = queue.Queue()
        self.put = self._queue.put

    def until(self, last: Callable[[Event], bool]) -> list[Event]:
        events: list[Event] = []
        while not events or not last(events[-1]):
            events.append(self._queue.get(timeout=5 * PATIENCE))
        return events

    def listed(self) -> list[tuple[str, str]]:
        """(change, name) up to the end of a listing, without that end."""
        return _words(self.until(lambda event: isinstance(event, Listed))[:-1])

    def next(self, count: int) -> list[tuple[str, str]]:
        events = [self._queue.get(timeout=5 * PATIENCE) for _ in range(count)]
        return _words(events)

    def nothing(self) -> bool:
        try:
            return not self._queue.get(timeout=QUIET)
        except queue.Empty:
            return True


def _words(events: list[Event]) -> list[tuple[str, str]]:
    return [(str(e.change), e.link.name) if isinstance(e, DeviceEvent) else ("listed", "") for e in events]


@pytest.fixture
def followed(netns: Namespace) -> Iterator[Followed]:
    """A watcher's events after the first listing."""
    events = Followed()
    watcher = DeviceWatcher(PATTERNS, events.put, str(netns.path))
    watcher.start()
    assert set(events.listed()) == {("came", "eth0")}  # a change of its state may tell of it again
    yield events
    watcher.stop()


class TestWatcher:
    def test_what_is_there_is_told_of_first(self, netns):
        netns.ip("link add veth1 type veth peer name pod1", "link add cni0 type bridge", "link set pod1 master cni0")
        events = Followed()
        watcher = DeviceWatcher(PATTERNS, events.put, str(netns.path))
        watcher.start()
        assert sorted(events.listed()) == [("came", "eth0"), ("came", "pod1"), ("came", "veth1")]
        watcher.stop()

    def test_a_device_comes_is_renamed_and_goes(self, netns, followed):
        netns.ip("link add veth1 type veth peer name pod1")
        assert followed.next(1) == [("came", "veth1")]
        netns.ip("link set veth1 name other")
        assert followed.next(1) == [("left", "other")]
        netns.ip("link set other name veth2")
        assert followed.next(1) == [("came", "veth2")]
        netns.ip("link del veth2")
        assert followed.next(1) == [("gone", "veth2")]

    def test_state_and_addresses_are_no_news(self, netns, followed):
        netns.ip("link set eth0 down", "link set eth0 up", "address add 10.0.0.1/24 dev eth0", "link set eth0 mtu 1400")
        assert followed.nothing()

    def test_a_port_joins_and_leaves_a_bridge(self, netns, followed):
        """A bridge tells of both in its own address family, too, with a DELLINK that is not the device's end."""
        netns.ip("link add cni0 type bridge", "link set peer0 master cni0")
        assert followed.next(1) == [("came", "peer0")]
        netns.ip("link set peer0 nomaster")
        assert followed.next(1) == [("left", "peer0")]
        assert followed.nothing()

    def test_a_port_of_two_patterns_is_told_of_once(self, netns, followed):
        netns.ip("link add cni0 type bridge", "link add veth1 type veth peer name pod1", "link set veth1 master cni0")
        assert followed.next(1) == [("came", "veth1")]
        netns.ip("link set veth1 nomaster")
        assert followed.nothing()

    def test_a_bridge_goes(self, netns, followed):
        netns.ip("link add cni0 type bridge", "link set peer0 master cni0", "link del cni0")
        assert followed.next(2) == [("came", "peer0"), ("left", "peer0")]

    def test_a_device_moves_to_another_namespace(self, netns, followed):
        with veth_namespace("devices2") as other:
            netns.ip("link add veth1 type veth peer name pod1", f"link set veth1 netns {other.name}")
            assert followed.next(2) == [("came", "veth1"), ("gone", "veth1")]

    def test_an_index_is_used_again(self, netns, followed):
        netns.ip("link add veth1 index 500 type veth peer name pod1")
        netns.ip("link del veth1", "link add veth2 index 500 type veth peer name pod2")
        assert followed.next(3) == [("came", "veth1"), ("gone", "veth1"), ("came", "veth2")]

    def test_news_that_the_kernel_dropped_are_made_up_for(self, netns, monkeypatch):
        """A tiny receive buffer and a callback that holds the thread up, so that the kernel must drop."""
        held, go_on = queue.Queue(), queue.Queue()
        events = Followed()

        def hold_up(event: Event) -> None:
            events.put(event)
            if isinstance(event, DeviceEvent) and event.link.name == "veth0" and go_on.empty() and held.empty():
                held.put(True)
                go_on.get(timeout=20)

        overruns = []
        really = DeviceMonitor.read

        def count(monitor: DeviceMonitor):
            monitor._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            try:
                yield from really(monitor)
            except Overrun:
                overruns.append(True)
                raise

        monkeypatch.setattr(DeviceMonitor, "read", count)
        watcher = DeviceWatcher(PATTERNS, hold_up, str(netns.path))
        watcher.start()
        assert set(events.listed()) == {("came", "eth0")}  # a change of its state may tell of it again
        netns.ip("link add veth0 type veth peer name pod0")
        wait_until(lambda: not held.empty(), "the callback")
        netns.ip(*(f"link add veth{n} type veth peer name pod{n}" for n in range(1, 30)))
        netns.ip("link del veth0", "link del veth7")
        go_on.put(True)
        told = events.until(lambda event: isinstance(event, Listed))
        watcher.stop()
        assert overruns
        served: dict[str, Role] = {}
        for event in told[:-1]:
            if event.change is Change.CAME:
                served[event.link.name] = event.role
            else:
                served.pop(event.link.name)
        assert served.keys() == {"eth0", *(f"veth{n}" for n in range(1, 30) if n != 7)}

    def test_a_resync_tells_of_all_once_more(self, netns):
        events = Followed()
        watcher = DeviceWatcher(PATTERNS, events.put, str(netns.path))
        watcher.start()
        events.listed()
        watcher.resync()
        assert set(events.listed()) == {("came", "eth0")}  # a change of its state may tell of it again
        watcher.stop()

    def test_a_resync_in_the_midst_of_a_listing_loses_nothing(self, netns):
        netns.ip(*(f"link add veth{n} type veth peer name pod{n}" for n in range(60)))
        events, asked = Followed(), []

        def ask_once(event: Event) -> None:
            events.put(event)
            if not asked:
                asked.append(True)
                watcher.resync()

        watcher = DeviceWatcher(PATTERNS, ask_once, str(netns.path))
        watcher.start()
        told = events.listed()
        watcher.stop()
        assert {name for change, name in told if change == "came"} == {"eth0", *(f"veth{n}" for n in range(60))}
        assert {change for change, _ in told} == {"came"}

    def test_a_listing_is_received_in_one_go(self, netns):
        """What changes while it goes on would interrupt it."""
        netns.ip(*(f"link add veth{n} type veth peer name pod{n}" for n in range(60)))
        monitor = DeviceMonitor(str(netns.path), routes=True)
        monitor.request_listing()
        told = list(monitor.read())
        assert {message.name for message in told if isinstance(message, Link)} >= {f"veth{n}" for n in range(60)}
        monitor.close()

    def test_stop_ends_the_thread_and_its_descriptors(self, netns):
        before = _descriptors()
        watcher = DeviceWatcher(PATTERNS, Followed().put, str(netns.path))
        watcher.start()
        watcher.stop()
        assert _descriptors() == before


ROUTED = Patterns(("eth0",), ("route:10.244.0.0/16", "route:fd44::/48"))
NEAR, FAR = "10.244.1.5", "fd44::5"


class TestRoutes:
    """Devices that are meant because a host route points to them."""

    @pytest.fixture
    def followed(self, netns: Namespace) -> Iterator[Followed]:
        netns.ip("link add cali1 up type veth peer name pod1", "link add cali2 up type veth peer name pod2")
        events = Followed()
        watcher = DeviceWatcher(ROUTED, events.put, str(netns.path))
        watcher.start()
        assert set(events.listed()) == {("came", "eth0")}
        yield events
        watcher.stop()

    @pytest.mark.parametrize(
        "route",
        [
            pytest.param(f"{NEAR}/32 dev cali1 scope link", id="as Calico has it"),
            pytest.param(f"{NEAR}/32 dev cali1 scope host", id="as the ptp plugin has it"),
            pytest.param(f"{FAR}/128 dev cali1 metric 1024", id="IPv6"),
        ],
    )
    def test_the_route_comes_and_goes(self, netns, followed, route):
        netns.ip(f"route add {route}")
        assert followed.next(1) == [("came", "cali1")]
        netns.ip(f"route del {route}")
        assert followed.next(1) == [("left", "cali1")]
        assert followed.nothing()

    def test_routes_of_other_kinds_mean_nothing(self, netns, followed):
        netns.ip(
            "address add 10.244.1.9/32 dev cali1",
            "address add 10.9.0.1/24 dev cali1",
            "route add 10.244.1.5/32 via 10.9.0.2 dev cali1",
            "route add 10.244.2.0/24 dev cali1",
            "route add 10.10.1.5/32 dev cali1",
            "route add 10.244.1.6/32 dev cali1 table 100",
            "route add blackhole 10.244.1.7/32",
            "route add local 10.244.1.8/32 dev cali1 table main",
            "route add fd44::/64 dev cali1",
        )
        assert followed.nothing()

    def test_a_route_that_is_replaced_moves_to_the_other_device(self, netns, followed):
        netns.ip(f"route add {NEAR}/32 dev cali1")
        assert followed.next(1) == [("came", "cali1")]
        netns.ip(f"route replace {NEAR}/32 dev cali2")
        assert sorted(followed.next(2)) == [("came", "cali2"), ("left", "cali1")]

    @pytest.mark.parametrize("route", [f"{NEAR}/32", f"{FAR}/128"])
    def test_a_device_that_is_set_down_loses_its_routes(self, netns, followed, route):
        netns.ip(f"route add {route} dev cali1")
        assert followed.next(1) == [("came", "cali1")]
        netns.ip("link set cali1 down")
        assert followed.next(1) == [("left", "cali1")]
        netns.ip("link set cali1 up", f"route add {route} dev cali1")
        assert followed.next(1) == [("came", "cali1")]

    def test_a_device_goes_with_its_routes(self, netns, followed):
        netns.ip(f"route add {NEAR}/32 dev cali1", f"route add {FAR}/128 dev cali1", "link del cali1")
        told = followed.next(2)
        assert told[0] == ("came", "cali1")
        assert told[1][0] in {"gone", "left"}

    def test_what_is_there_is_found_by_its_routes(self, netns):
        netns.ip(
            *(f"link add cali{n} up type veth peer name pod{n}" for n in range(60)),
            *(f"route add 10.244.1.{n}/32 dev cali{n}" for n in range(0, 40)),
            *(f"route add fd44::{n}/128 dev cali{n}" for n in range(30, 60)),
        )
        events = Followed()
        watcher = DeviceWatcher(ROUTED, events.put, str(netns.path))
        watcher.start()
        assert {name for _, name in events.listed()} == {"eth0", *(f"cali{n}" for n in range(60))}
        watcher.resync()
        assert {name for _, name in events.listed()} == {"eth0", *(f"cali{n}" for n in range(60))}
        watcher.stop()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
