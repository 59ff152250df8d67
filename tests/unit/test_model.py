"""Addresses and networks: text to bytes and back (rule 7)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.model import (
    Backend,
    FrontEndKey,
    Protocol,
    ServicePortName,
    format_address,
    is_loopback,
    parse_address,
    parse_network,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("10.0.0.1", "10.0.0.1", id="an IPv4 address"),
        pytest.param("010.000.000.001", "10.0.0.1", id="rule 7: leading zeros are decimal, not octal"),
        pytest.param("192.168.08.09", "192.168.8.9", id="rule 7: leading zeros before 8 and 9"),
        pytest.param("fd00:0:0:0:0:0:0:1", "fd00::1", id="an IPv6 address is shortened"),
        pytest.param("FD00::00A1", "fd00::a1", id="rule 7: leading zeros and capitals in IPv6"),
        pytest.param("::ffff:10.0.0.1", "10.0.0.1", id="an IPv4 address in IPv6 form is IPv4"),
        pytest.param("::ffff:010.0.0.1", "10.0.0.1", id="rule 7: the same with leading zeros"),
        pytest.param("64:ff9b::010.0.0.1", "64:ff9b::a00:1", id="rule 7: leading zeros in the tail of IPv6"),
    ],
)
def test_an_address_is_read(text: str, expected: str) -> None:
    assert format_address(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "localhost",
            "10.0.0",
            "10.0.0.0.1",
            "10.0.0.256",
            "10.0.0.-1",
            "10.0.0.1 ",
            "10.0.0.1\0",
            "a.b.c.d",
        ),
        *("10.0.0.1/8", "١٠.0.0.1", ":", "fd00::1::2", "fd00:12345::1", "fe80::1%eth0", "::ffff:10.0.0.256"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address"):
        parse_address(text)


@given(st.ip_addresses())
def test_an_address_survives_text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    packed = address.packed
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        packed = address.ipv4_mapped.packed
    assert parse_address(str(address)) == packed
    assert ipaddress.ip_address(format_address(packed)).packed == packed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("10.0.0.0/8", "10.0.0.0/8", id="a CIDR"),
        pytest.param(" 10.0.0.0/8\t", "10.0.0.0/8", id="rule 7: white space around a CIDR"),
        pytest.param("010.001.000.000/16", "10.1.0.0/16", id="rule 7: leading zeros in a CIDR"),
        pytest.param("10.1.2.3/16", "10.1.0.0/16", id="bits behind the prefix are cleared"),
        pytest.param("10.1.2.3/32", "10.1.2.3/32", id="a single address"),
        pytest.param("0.0.0.0/0", "0.0.0.0/0", id="all of IPv4"),
        pytest.param("fd00::1/64", "fd00::/64", id="an IPv6 CIDR"),
        pytest.param("::/0", "::/0", id="all of IPv6"),
    ],
)
def test_a_network_is_read(text: str, expected: str) -> None:
    assert str(parse_network(text)) == expected


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0.0/8/8"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a CIDR"):
        parse_network(text)


@given(st.ip_addresses(), st.ip_addresses(), st.data())
def test_a_network_holds_what_python_s_own_says(
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
    data: st.DataObject,
) -> None:
    prefix = data.draw(st.integers(0, base.max_prefixlen))
    near = data.draw(st.integers(0, (1 << (base.max_prefixlen - prefix)) - 1))
    theirs = ipaddress.ip_network(f"{base}/{prefix}", strict=False)
    if isinstance(theirs, ipaddress.IPv6Network) and theirs.network_address.ipv4_mapped is not None:
        return
    ours = parse_network(str(theirs))
    neighbour = theirs.network_address + near
    assert neighbour.packed in ours
    same_family = base.version == other.version
    assert (other.packed in ours) == (same_family and other in theirs)


def test_a_name_without_dots_and_an_odd_thing_are_in_no_network() -> None:
    assert "10.0.0.1" not in parse_network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.255.0.9", True), ("128.0.0.1", False), ("::1", True), ("::2", False)],
)
def test_loopback(address: str, expected: bool) -> None:
    assert is_loopback(parse_address(address)) is expected


def test_names_as_people_read_them() -> None:
    assert str(Backend(parse_address("10.0.0.1"), 80)) == "10.0.0.1:80"
    assert str(FrontEndKey(parse_address("fd00::1"), 53, Protocol.UDP)) == "[fd00::1]:53/UDP"
    assert FrontEndKey(parse_address("fd00::1"), 53, Protocol.UDP).family == 6
    assert str(ServicePortName("kube-system", "dns", "dns-tcp", Protocol.TCP)) == "kube-system/dns:dns-tcp"
    assert str(ServicePortName("default", "web", "", Protocol.TCP)) == "default/web"
