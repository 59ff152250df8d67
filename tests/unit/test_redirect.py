"""What hinders the agent from handing packets on, as far as it can be told without a node."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from tcnat import ipsec, netfilter, peers, redirect
from tcnat.bpf import Map
from tcnat.helpers import REDIRECT_PEER
from tcnat.layout import MAPS, Family, Way
from tcnat.links import Link, Neighbour
from tcnat.neighbours import way_in
from tcnat.peers import PeerChoice
from tcnat.redirect import RedirectChoice, Redirector, hindrance
from tcnat.routing import Routing
from tcnat.ways import ROUTES_LAST, can_be_passed

from .fakes import FakeMap


class PlainRules:
    """A node with no routing rules of its own."""

    def rule_priorities(self, family: Family) -> list[int]:
        """As every kernel has them."""
        return [0, 32766, 32767]


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    """Of a node that forwards."""
    (tmp_path / "ipv4").mkdir()
    (tmp_path / "ipv4/ip_forward").write_text("1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            OSError(errno.EPERM, os.strerror(errno.EPERM)), "Operation not permitted", id="the kernel's error"
        ),
        pytest.param(TimeoutError("timed out"), "timed out", id="a socket's time-out has no number"),
        pytest.param(TimeoutError(), "TimeoutError", id="an error that says nothing"),
    ],
)
@pytest.mark.parametrize(
    ("module", "what"), [(netfilter, "netfilter's rules"), (ipsec, "IPsec policies")], ids=["netfilter", "IPsec"]
)
def test_what_cannot_be_read_hinders_and_says_why(
    monkeypatch: pytest.MonkeyPatch, sysctls: Path, module: object, what: str, error: OSError, said: str
) -> None:
    def fails(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(netfilter, "hooked", lambda *_: [])
    monkeypatch.setattr(ipsec, "policies", lambda _: [])
    monkeypatch.setattr(module, "hooked" if module is netfilter else "policies", fails)
    found = hindrance(RedirectChoice.AUTO, Family.IPV4, cast(Routing, PlainRules()), sysctls=sysctls)
    assert found == f"{what} cannot be read: {said}"


POD = Link(7, "veth7", 1, "veth", qdisc="noqueue", peer_elsewhere=True)
"""A node's end of a pod's pair."""


def test_packets_can_go_past_a_pods_device() -> None:
    assert can_be_passed(POD)


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(replace(POD, peer_elsewhere=False), id="the kernel drops what is for this very namespace"),
        pytest.param(replace(POD, kind="tun"), id="a virtual machine's device has no other end"),
        pytest.param(replace(POD, qdisc="tbf"), id="a queueing discipline limits what goes to the pod"),
    ],
)
def test_devices_that_packets_have_to_pass(link: Link) -> None:
    assert not can_be_passed(link)


@dataclass
class KnownRouting(PlainRules):
    """A node whose neighbours are set by hand; all routes lead to device 7."""

    there: list[Neighbour] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    looked_at: int = 0

    def neighbours(self) -> list[Neighbour]:
        return list(self.there)

    def leads_straight_to(self, address: bytes) -> int:
        self.asked.append(address)
        return 7

    def link(self, device: int) -> Link:
        self.looked_at += 1
        return replace(POD, index=device)

    def mtu_of(self, name: str) -> int:
        return 1500

    def mac_of(self, name: str) -> bytes:
        return bytes.fromhex("020000000001")

    def close(self) -> None:
        pass


@dataclass
class Scene:
    """A redirector without a kernel."""

    redirector: Redirector
    routing: KnownRouting
    maps: dict[str, FakeMap]
    now: float = 100.0

    def entries(self) -> dict[bytes, Way]:
        return {key: way_in(value) for key, value in self.maps["neighbours"].items()}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """With one pod behind device 7, whose packets may go past it."""
    routing = KnownRouting(there=[Neighbour(b"\x0a\0\0\1", 7, b"\2\0\0\0\0\1")])
    monkeypatch.setattr(redirect, "Routing", lambda: routing)
    monkeypatch.setattr(redirect, "hindrance", lambda *_: "")
    monkeypatch.setattr(peers, "counts_arrivals", lambda: True)
    monkeypatch.setattr(peers, "available_helpers", lambda: {REDIRECT_PEER})
    maps = {name: FakeMap(MAPS[name], Family.IPV4) for name in ("neighbours", "redirect_until")}
    made = Scene(cast(Redirector, None), routing, maps)
    written = cast(Mapping[Family, Mapping[str, Map]], {Family.IPV4: maps})
    made.redirector = Redirector(RedirectChoice.AUTO, written, lambda: None, lambda: made.now, PeerChoice.AUTO)
    made.redirector.look_anew([POD], ())
    yield made
    made.redirector.stop()


def test_a_pod_is_reached_past_its_device(scene: Scene) -> None:
    assert scene.entries() == {b"\x0a\0\0\1": Way.PAST_DEVICE}


def test_neighbours_that_are_heard_of_again_are_not_asked_for_again(scene: Scene) -> None:
    """The kernel tells of each many times a minute, on a node with many pods all the time."""
    for _ in range(3):
        scene.redirector.follow()
        scene.redirector.look_anew([POD], (), afresh=False)
    assert (len(scene.routing.asked), scene.routing.looked_at) == (1, 1)
    assert set(scene.entries()) == {b"\x0a\0\0\1"}


@pytest.mark.parametrize("cause", ["another neighbour", "time", "a resync"])
def test_routes_are_asked_again(scene: Scene, cause: str) -> None:
    if cause == "another neighbour":
        scene.routing.there.append(Neighbour(b"\x0a\0\0\2", 7, b"\2\0\0\0\0\2"))
    scene.now += ROUTES_LAST if cause == "time" else 0
    if cause == "a resync":
        scene.redirector.look_anew([POD], ())
    else:
        scene.redirector.follow()
    assert scene.routing.asked.count(b"\x0a\0\0\1") == 2
    assert scene.routing.looked_at == (2 if cause == "a resync" else 1)
    assert set(scene.entries()) == {each.address for each in scene.routing.there}


def test_a_device_with_filters_of_others_on_its_way_out_is_passed(scene: Scene) -> None:
    scene.redirector.look_anew([POD], (), frozenset({7}), afresh=False)
    assert scene.entries() == {b"\x0a\0\0\1": Way(0)}
    scene.redirector.look_anew([POD], (), afresh=False)
    assert scene.entries() == {b"\x0a\0\0\1": Way.PAST_DEVICE}
