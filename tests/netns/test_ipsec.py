"""IPsec policies, which packets that are handed on past the node's stack would get past."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tcnat import ipsec
from tcnat.layout import Family
from tcnat.redirect import RedirectChoice, hindrance
from tcnat.routing import Routing
from tests.lab.commands import CommandFailed
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace

SELECTORS = {
    Family.IPV4: "src 192.0.2.0/24 dst 198.51.100.0/24",
    Family.IPV6: "src 2001:db8:1::/48 dst 2001:db8:2::/48",
}


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Lab(backends=0) as lab:
        try:
            lab.node.run("ip", "xfrm", "policy")
        except CommandFailed as error:
            pytest.skip(f"this kernel has no IPsec policies: {error}")
        yield lab.node


def add(node: Namespace, family: Family, direction: str) -> None:
    node.run("ip", "xfrm", "policy", "add", *SELECTORS[family].split(), "dir", direction, "action", "block")


def found(node: Namespace, family: Family) -> list[str]:
    with node.entered():
        return ipsec.policies(family)


@pytest.mark.parametrize("direction", ["fwd", "out"])
def test_policies_for_forwarded_packets_of_a_family_are_found(node: Namespace, family: Family, direction: str) -> None:
    add(node, family, direction)
    other = next(each for each in Family if each is not family)
    assert found(node, family) == [direction]
    assert found(node, other) == []


def test_policies_for_what_the_node_itself_receives_are_none_of_them(node: Namespace, family: Family) -> None:
    assert found(node, family) == []
    add(node, family, "in")
    assert found(node, family) == []


def test_auto_leaves_packets_to_the_stack_because_of_them(node: Namespace, family: Family) -> None:
    node.sysctl({"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
    with node.entered():
        netlink = Routing()
        try:
            assert hindrance(RedirectChoice.AUTO, family, netlink) == ""
            add(node, family, "fwd")
            assert "there are IPsec policies (ip xfrm policy), direction fwd" in hindrance(
                RedirectChoice.AUTO, family, netlink
            )
            assert hindrance(RedirectChoice.ON, family, netlink) == ""
        finally:
            netlink.close()
