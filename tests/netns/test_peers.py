"""Whether the kernel counts packets that go past a device where they arrive: a packet of tcnat's own tells."""

from __future__ import annotations

import os

import pytest

from tcnat import peers
from tcnat.assemble import passing
from tcnat.errors import TcnatError
from tcnat.helpers import REDIRECT_PEER, available_helpers
from tcnat.netns import OWN
from tcnat.peers import PeerChoice, hindrance

pytestmark = pytest.mark.root
has_helper = pytest.mark.usefixtures("helper")


@pytest.fixture(scope="module")
def helper() -> None:
    """For tests of what older kernels cannot do."""
    if REDIRECT_PEER not in available_helpers():
        pytest.skip("the kernel has no bpf_redirect_peer (5.10)")


@has_helper
def test_a_packet_that_does_not_arrive_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that arrives without being counted: the count is all that is looked at."""
    monkeypatch.setattr(peers, "giving", lambda *_: passing())
    monkeypatch.setattr(peers, "_PATIENCE", 0.05)
    assert not peers.counts_arrivals()
    assert hindrance(PeerChoice.AUTO) == "the kernel would not count them where they arrive"
    assert hindrance(PeerChoice.ON) == ""


@has_helper
def test_the_thread_comes_back_to_its_namespace() -> None:
    before = os.stat(OWN).st_ino
    peers.counts_arrivals()
    assert os.stat(OWN).st_ino == before


@has_helper
def test_what_cannot_be_told_hinders(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> bool:
        raise TcnatError("cannot make a network namespace: Operation not permitted")

    monkeypatch.setattr(peers, "counts_arrivals", refused)
    assert hindrance(PeerChoice.AUTO).endswith(": cannot make a network namespace: Operation not permitted")


def test_it_can_be_switched_off() -> None:
    assert hindrance(PeerChoice.OFF) == "it is switched off"


def test_a_kernel_without_the_helper_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "available_helpers", frozenset)
    for choice in (PeerChoice.AUTO, PeerChoice.ON):
        assert hindrance(choice) == "the kernel has no bpf_redirect_peer"
