"""Devices that come, go and change, in a real namespace; the programs follow them."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tcnat.attach import Attacher, Role
from tcnat.devices import Change, DeviceEvent, Event, Listed
from tcnat.errors import TcnatError
from tcnat.keeper import DeviceKeeper
from tcnat.links import Link, Overrun
from tcnat.monitor import DeviceMonitor
from tcnat.netlink import Netlink
from tcnat.patterns import Patterns
from tcnat.watcher import DeviceWatcher
from tests.lab.commands import PATIENCE, wait_until
from tests.lab.namespace import Namespace
from tests.netns.filtering import Loaded, qdiscs, shown, tc, veth_namespace

pytestmark = pytest.mark.root

PATTERNS = Patterns(network=("eth0",), workload=("veth*", "bridge:cni0"))
MANY = 250
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


@pytest.fixture
def loaded() -> Loaded:
    return Loaded()


class Kept:
    """A keeper, and the posts that would wake the agent's loop."""

    def __init__(self, netns: Namespace, loaded: Loaded, patterns: Patterns = PATTERNS) -> None:
        self.posts: queue.Queue[bool] = queue.Queue()
        self.gate = threading.Lock()
        """Who has it holds up the watcher's thread."""
        self.keeper = DeviceKeeper(patterns, loaded.programs, self._post, str(netns.path))
        self._netns = str(netns.path)

    def turn(self) -> None:
        """Wait for a post, and do what the loop would."""
        self.posts.get(timeout=10 * PATIENCE)
        self.keeper.sync()

    def until(self, condition: Callable[[], bool]) -> None:
        """Do what the loop would, until the condition is met."""
        while not condition():
            self.turn()

    def carriers(self) -> dict[str, int]:
        """How many filters of tcnat's each device carries."""
        attacher = Attacher(self._netns)
        found = {each.device: len(each.filters) for each in attacher.find_ours()}
        attacher.close()
        return found

    def _post(self) -> None:
        with self.gate:
            self.posts.put(True)


@pytest.fixture
def kept(netns: Namespace, loaded: Loaded) -> Iterator[Kept]:
    kept = Kept(netns, loaded)
    kept.keeper.start()
    while not kept.posts.empty():
        kept.posts.get()
    yield kept
    kept.keeper.stop()


class TestKeeper:
    def test_what_is_there_is_attached_to_at_the_start(self, netns, kept):
        assert [row[3] for row in shown(netns, "eth0", "egress")] == ["tcnat_egress"] * 2
        assert shown(netns, "peer0", "egress") == []

    def test_a_matching_veth_carries_the_programs(self, netns, kept):
        netns.ip("link add veth1 type veth peer name pod1")
        kept.turn()
        assert [row[3] for row in shown(netns, "veth1", "ingress")] == ["tcnat_egress"] * 2
        assert [row[3] for row in shown(netns, "veth1", "egress")] == ["tcnat_ingress"] * 2

    def test_many_pods_that_come_at_once_are_all_served_and_all_forgotten(self, netns, kept):
        names = [f"veth{n}" for n in range(MANY)]
        with veth_namespace("pods") as pods:
            netns.ip(*(f"link add {name} type veth peer name {name} netns {pods.name}" for name in names))
            kept.until(lambda: len(kept.keeper.served) == 1 + MANY)
            assert kept.carriers() == {"eth0": 4, **dict.fromkeys(names, 4)}
        kept.until(lambda: len(kept.keeper.served) == 1)
        assert kept.carriers() == {"eth0": 4}

    def test_devices_that_nothing_was_known_of_come_first(self, netns, kept, monkeypatch):
        order: list[str] = []
        monkeypatch.setattr(Attacher, "attach", lambda _, name, *rest: bool(order.append(name)))
        monkeypatch.setattr(Attacher, "attach_new", lambda _, link, *rest: not order.append(link.name))
        tc(netns, "qdisc del dev eth0 clsact")
        netns.ip("link add veth1 type veth peer name pod1")
        wait_until(lambda: kept.posts.qsize() >= 2, "news of both")
        kept.keeper.sync()
        assert order == ["veth1", "eth0"]

    def test_a_device_that_appears_while_all_are_looked_at_does_not_wait_for_the_end(self, netns, kept, monkeypatch):
        netns.ip(*(f"link add veth{n} type veth peer name pod{n}" for n in range(1, 6)))
        kept.until(lambda: len(kept.keeper.served) == 6)
        order: list[str] = []
        attach_new = Attacher.attach_new

        def appear(_: Attacher, name: str, *rest: object) -> bool:
            if not order:
                posts = kept.posts.qsize()
                netns.ip("link add veth9 type veth peer name pod9", "link del veth5")
                wait_until(lambda: kept.posts.qsize() >= posts + 2, "news of both")
            order.append(name)
            return False

        def note(attacher: Attacher, link: Link, *rest: Any) -> bool:
            order.append(link.name)
            return attach_new(attacher, link, *rest)

        monkeypatch.setattr(Attacher, "attach", appear)
        monkeypatch.setattr(Attacher, "attach_new", note)
        kept.keeper.resync()
        assert order[1] == "veth9"
        assert sorted(order) == ["eth0", "veth1", "veth2", "veth3", "veth4", "veth5", "veth9"]
        kept.until(lambda: len(kept.keeper.served) == 6)
        assert kept.carriers() == dict.fromkeys(["eth0", "veth1", "veth2", "veth3", "veth4", "veth9"], 4)

    def test_a_device_that_others_delete_in_the_midst_harms_no_other(self, netns, kept, monkeypatch):
        really = Netlink.send

        def unplug(netlink, what, prepared, device):
            if "veth2" in what:
                netns.ip("link del veth2")
            really(netlink, what, prepared, device)

        monkeypatch.setattr(Netlink, "send", unplug)
        netns.ip(*(f"link add veth{n} type veth peer name pod{n}" for n in (1, 2, 3)))
        kept.until(lambda: {link.name for link, _ in kept.keeper.served.values()} == {"eth0", "veth1", "veth3"})
        assert kept.carriers() == {"eth0": 4, "veth1": 4, "veth3": 4}
        assert kept.keeper.problems == ()

    def test_another_device_that_got_the_index_meanwhile_is_not_taken_for_the_first(self, netns, kept):
        netns.ip("link add veth1 index 500 type veth peer name pod1", "link del veth1")
        netns.ip("link add other index 500 type veth peer name pod1")
        netns.ip("link add veth2 type veth peer name pod2")
        kept.until(lambda: "veth2" in kept.carriers())
        assert kept.carriers() == {"eth0": 4, "veth2": 4}

    def test_a_device_that_moves_here_with_the_index_of_one_that_went(self, netns, kept):
        with veth_namespace("other") as other:
            other.ip("link add veth2 index 600 type veth peer name pod2")
            netns.ip("link add veth1 index 600 type veth peer name pod1")
            kept.until(lambda: "veth1" in kept.carriers())
            netns.ip("link del veth1")
            other.ip(f"link set veth2 netns {netns.name}")
            kept.until(lambda: "veth2" in kept.carriers())
            assert kept.carriers() == {"eth0": 4, "veth2": 4}

    def test_a_device_that_moves_away_and_back_is_served_again(self, netns, kept):
        with veth_namespace("other") as other:
            netns.ip("link add veth1 type veth peer name pod1", f"link set veth1 netns {other.name}")
            other.ip(f"link set veth1 netns {netns.name}")
            kept.until(lambda: "veth1" in kept.carriers())
            assert kept.carriers() == {"eth0": 4, "veth1": 4}

    def test_what_came_and_went_while_the_kernel_dropped_news_is_made_up_for(self, netns, loaded, monkeypatch, caplog):
        """A tiny receive buffer, and a thread that is held up until all has happened."""
        monkeypatch.setattr("tcnat.monitor._BUFFER", 1)
        caplog.set_level("INFO")
        kept = Kept(netns, loaded)
        netns.ip("link add veth1 type veth peer name pod1")
        kept.keeper.start()
        later = {f"veth{n}" for n in range(2, 40)}
        with kept.gate:
            netns.ip("link del veth1", *(f"link add {name} type veth peer name x{name}" for name in later))
        kept.until(lambda: {link.name for link, _ in kept.keeper.served.values()} == {"eth0", *later})
        assert kept.carriers() == dict.fromkeys({"eth0", *later}, 4)
        assert "listing them anew" in caplog.text
        kept.keeper.stop()

    def test_a_device_that_no_longer_matches_is_left_clean(self, netns, kept):
        netns.ip("link set eth0 down", "link set eth0 name other")
        kept.turn()
        assert qdiscs(netns, "other") == ["noop"] or "clsact" not in qdiscs(netns, "other")
        assert kept.keeper.served == {}

    def test_a_resync_mends_what_others_broke(self, netns, kept):
        tc(netns, "qdisc del dev eth0 clsact")
        kept.keeper.resync()
        assert len(shown(netns, "eth0", "egress")) == 2

    @pytest.mark.parametrize(
        "sabotage",
        ["qdisc del dev eth0 clsact", "filter del dev eth0 egress", "filter del dev eth0 ingress pref 1006"],
    )
    def test_what_others_take_away_is_put_back_at_once(self, netns, kept, sabotage):
        tc(netns, sabotage)
        kept.turn()
        assert len(shown(netns, "eth0", "egress")) == 2
        assert len(shown(netns, "eth0", "ingress")) == 2

    def test_filters_of_others_may_come_and_go(self, netns, kept):
        before = shown(netns, "eth0", "egress")
        tc(netns, "filter add dev eth0 egress pref 5 protocol ip u32 match u32 0 0 classid 1:7")
        tc(netns, "filter del dev eth0 egress pref 5 protocol ip")
        kept.turn()
        assert shown(netns, "eth0", "egress") == before

    def test_what_the_keeper_removes_itself_does_not_come_back(self, netns, kept):
        netns.ip("link set eth0 down", "link set eth0 name other")
        kept.turn()
        time.sleep(QUIET)
        kept.keeper.sync()
        assert "clsact" not in qdiscs(netns, "other")

    def test_new_programs_replace_the_old_everywhere(self, netns, kept):
        newer = Loaded()
        kept.keeper.replace(newer.programs)
        assert [row[4] for row in shown(netns, "eth0", "egress")] == [newer.egress4, newer.egress6]

    def test_a_device_that_cannot_be_served_is_named_and_tried_again(self, netns, kept):
        netns.ip("link add veth1 type veth peer name pod1")
        tc(netns, "qdisc add dev veth1 ingress")
        with pytest.raises(TcnatError, match="veth1 has an ingress qdisc"):
            kept.turn()
        assert [line[:5] for line in kept.keeper.problems] == ["veth1"]
        tc(netns, "qdisc del dev veth1 ingress")
        kept.keeper.resync()
        assert kept.keeper.problems == ()
        assert len(shown(netns, "veth1", "egress")) == 2

    def test_one_bad_device_does_not_hold_up_the_start(self, netns, loaded):
        netns.ip("link add veth1 type veth peer name pod1")
        tc(netns, "qdisc add dev veth1 ingress")
        kept = Kept(netns, loaded)
        kept.keeper.start()
        assert len(shown(netns, "eth0", "egress")) == 2
        kept.keeper.stop()

    def test_no_device_that_can_be_served_ends_the_start(self, netns, loaded):
        tc(netns, "qdisc add dev eth0 ingress")
        kept = Kept(netns, loaded)
        with pytest.raises(TcnatError, match="eth0 has an ingress qdisc"):
            kept.keeper.start()
        kept.keeper.stop()

    def test_a_device_that_is_not_there_yet_is_waited_for(self, netns, loaded, caplog):
        kept = Kept(netns, loaded, Patterns(network=("eth9",)))
        kept.keeper.start()
        assert "there is no network device eth9 yet" in caplog.text
        netns.ip("link add eth9 type veth peer name peer9")
        kept.turn()
        assert len(shown(netns, "eth9", "egress")) == 2
        kept.keeper.stop()

    def test_devices_of_an_earlier_configuration_are_left_clean(self, netns, loaded):
        earlier = Attacher(str(netns.path))
        earlier.attach("peer0", Role.NETWORK, loaded.programs)
        earlier.close()
        kept = Kept(netns, loaded)
        kept.keeper.start()
        assert "clsact" not in qdiscs(netns, "peer0")
        kept.keeper.stop()

    def test_where_those_cannot_be_listed_they_are_left_clean_later(self, netns, loaded, monkeypatch, caplog):
        earlier = Attacher(str(netns.path))
        earlier.attach("peer0", Role.NETWORK, loaded.programs)
        earlier.close()
        kept = Kept(netns, loaded)
        with monkeypatch.context() as patched:
            patched.setattr("tcnat.netlink.DUMP_TRIES", 0)  # as where devices come and go all the time
            kept.keeper.start()
        assert "they change faster than they can be listed" in caplog.text
        assert kept.carriers() == {"eth0": 4, "peer0": 4}
        kept.keeper.resync()
        assert kept.carriers() == {"eth0": 4}
        kept.keeper.stop()

    @pytest.mark.parametrize("detach", [False, True])
    def test_stop_leaves_the_programs_unless_told_to_detach(self, netns, loaded, detach):
        kept = Kept(netns, loaded)
        kept.keeper.start()
        kept.keeper.stop(detach=detach)
        assert ("clsact" in qdiscs(netns, "eth0")) is not detach

    def test_devices_that_come_and_go_quickly_harm_nothing(self, netns, kept):
        for n in range(20):
            netns.ip(f"link add veth{n} type veth peer name pod{n}", f"link del veth{n}")
        netns.ip("link add veth99 type veth peer name pod99")
        while not shown(netns, "veth99", "egress"):
            kept.turn()
        assert {link.name for link, _ in kept.keeper.served.values()} == {"eth0", "veth99"}
