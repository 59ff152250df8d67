"""Which program a packet meets."""

from __future__ import annotations

import pytest

from tcnat.errors import TcnatError
from tcnat.model import parse_address
from tcnat.replay.side import ClientNetworks, SeenClients, Side, always, parse_network

CLIENT, OTHER, POD, SERVICE = (parse_address(a) for a in ("10.0.0.1", "10.0.0.2", "10.0.1.2", "10.96.0.10"))
CLIENT6, POD6 = (parse_address(a) for a in ("fd00::1", "fd00:1::2"))
EGRESS, INGRESS = (Side.EGRESS,), (Side.INGRESS,)


def test_a_direction_for_all() -> None:
    assert always(Side.INGRESS)(CLIENT, POD) == INGRESS
    assert always(Side.EGRESS)(POD, CLIENT) == EGRESS


@pytest.mark.parametrize(
    ("source", "destination", "sides"),
    [
        pytest.param(CLIENT, POD, EGRESS, id="from a client"),
        pytest.param(POD, CLIENT, INGRESS, id="to a client"),
        pytest.param(POD, SERVICE, (), id="neither"),
        pytest.param(CLIENT, OTHER, (*EGRESS, *INGRESS), id="from one client to another: out of one, into the other"),
        pytest.param(CLIENT6, POD6, EGRESS, id="from an IPv6 client"),
        pytest.param(POD6, CLIENT6, INGRESS, id="to an IPv6 client"),
        pytest.param(CLIENT[:2], b"", (), id="a frame that is cut off"),
    ],
)
def test_clients_by_network(source: bytes, destination: bytes, sides: tuple[Side, ...]) -> None:
    find = ClientNetworks([parse_network("10.0.0.0/24"), parse_network("fd00::1")])
    assert find(source, destination) == sides
    assert find(source, destination) == sides


def test_an_ipv4_network_holds_no_ipv6_address() -> None:
    assert ClientNetworks([parse_network("0.0.0.0/0")])(CLIENT6, POD6) == ()


def test_a_network_may_be_written_with_host_bits() -> None:
    assert ClientNetworks([parse_network("10.0.0.77/24")])(CLIENT, POD) == EGRESS


def test_what_is_no_network_is_told() -> None:
    with pytest.raises(TcnatError, match=r"--client 10\.0\.0\.300: "):
        parse_network("10.0.0.300")


def test_without_networks_who_sends_to_a_front_end_is_a_client_from_then_on() -> None:
    find = SeenClients([SERVICE])
    assert find(POD, CLIENT) == ()
    assert find(CLIENT, SERVICE) == EGRESS
    assert find(POD, CLIENT) == INGRESS
    assert find(CLIENT, POD) == EGRESS
    assert find(OTHER, POD) == ()
