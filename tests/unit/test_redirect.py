"""What hinders the agent from handing packets on, as far as it can be told without a node."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tcnat import ipsec, netfilter
from tcnat.layout import Family
from tcnat.links import Link
from tcnat.redirect import RedirectChoice, can_be_passed, hindrance
from tcnat.routing import Routing


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
