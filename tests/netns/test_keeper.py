"""The programs follow devices that come, go and change, in a real namespace."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tcnat.attach import Attacher, Role
from tcnat.errors import TcnatError
from tcnat.keeper import DeviceKeeper
from tcnat.links import Link
from tcnat.netlink import Netlink
from tcnat.patterns import Patterns
from tests.lab.commands import PATIENCE, wait_until
from tests.lab.namespace import Namespace
from tests.netns.filtering import Loaded, qdiscs, shown, tc, veth_namespace
from tests.netns.test_devices import PATTERNS, QUIET

pytestmark = pytest.mark.root

MANY = 250


@pytest.fixture
def netns() -> Iterator[Namespace]:
    with veth_namespace("keeper") as namespace:
        yield namespace


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
