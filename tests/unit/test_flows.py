"""Flows from the entries of the flow tables, which are packed by hand."""

from __future__ import annotations

import pytest

from tcnat.flows import FlowFilter, count_flows, idle_seconds, live_front_ends, read_flows
from tcnat.layout import Direction, Family, FlowFlag, FlowState
from tcnat.model import Backend, FrontEndKey, Protocol, parse_address

from .fakes import fake_maps, raw_key
from .flow_entries import flow_entry

CLIENT, WEB, POD = "10.1.0.1:40000", "10.96.0.1:80", "10.0.0.1:8080"
NOW = 1000


def maps_with(*entries: tuple[bytes, bytes], table: str = "flows", family: Family = Family.IPV4):
    maps = fake_maps(family)
    maps[table].content.update(entries)
    return maps


def test_a_flow_tells_who_speaks_with_whom_and_for_how_long_nobody_did() -> None:
    [flow] = read_flows(Family.IPV4, maps_with(flow_entry(CLIENT, WEB, POD, seen=990, timeout=30, service=5)), NOW)
    assert flow.client == flow.source == Backend(parse_address("10.1.0.1"), 40000)
    assert flow.front_end == FrontEndKey(parse_address("10.96.0.1"), 80, Protocol.TCP)
    assert flow.backend == Backend(parse_address("10.0.0.1"), 8080)
    assert (flow.state, flow.idle, flow.timeout, flow.service) == (FlowState.OPEN, 10, 30, 5)
    assert (flow.backend_id, flow.generation, flow.table, flow.kind) == (7, 3, "flows", "service")


def test_ipv6_addresses_and_udp() -> None:
    entry = flow_entry("[fd00::9]:5000", "[fd00::1]:53", "[fd00:1::1]:53", protocol=Protocol.UDP, seen=NOW)
    maps = maps_with(entry, table="flows_new", family=Family.IPV6)
    [flow] = read_flows(Family.IPV6, maps, NOW)
    assert flow.front_end == FrontEndKey(parse_address("fd00::1"), 53, Protocol.UDP)
    assert flow.table == "flows_new"


def test_a_changed_source_port_and_what_makes_a_flow_special() -> None:
    changed = flow_entry(CLIENT, WEB, POD, source="10.1.0.1:33000", flags=FlowFlag.SOURCE, seen=NOW)
    hairpin = flow_entry("10.0.0.1:40000", WEB, POD, source="10.96.0.1:40000", flags=FlowFlag.HAIRPIN, seen=NOW)
    direct = flow_entry("10.1.0.2:1", POD, POD, flags=FlowFlag.DIRECT, service=0, seen=NOW)
    flows = {flow.kind: flow for flow in read_flows(Family.IPV4, maps_with(changed, hairpin, direct), NOW)}
    assert flows["service"].source == Backend(parse_address("10.1.0.1"), 33000)
    assert flows["hairpin"].source == Backend(parse_address("10.96.0.1"), 40000)
    assert flows["direct"].backend == Backend(parse_address("10.0.0.1"), 8080)


@pytest.mark.parametrize(("seen", "there"), [(NOW - 30, True), (NOW - 31, False)])
def test_a_flow_past_its_timeout_is_gone(seen: int, there: bool) -> None:
    maps = maps_with(flow_entry(CLIENT, WEB, POD, seen=seen, timeout=30))
    assert bool(list(read_flows(Family.IPV4, maps, NOW))) == there
    assert live_front_ends(Family.IPV4, maps, [raw_key(parse_address("10.96.0.1"), 80, 6)], NOW) == (
        {raw_key(parse_address("10.96.0.1"), 80, 6)} if there else set()
    )
    assert count_flows(Family.IPV4, maps["flows"], NOW) == (int(there), 1)


def test_reply_halves_are_no_flows_of_their_own() -> None:
    maps = maps_with(flow_entry(CLIENT, WEB, POD, seen=NOW, direction=Direction.REPLY))
    assert not list(read_flows(Family.IPV4, maps, NOW))
    assert count_flows(Family.IPV4, maps["flows"], NOW) == (0, 1)


def test_a_packet_after_now_was_asked_for_is_not_idle_for_136_years() -> None:
    assert idle_seconds(NOW + 1, NOW) == 0
    assert idle_seconds(2**32 - 5, 5) == 10  # seconds are counted modulo 2**32


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (FlowFilter(), 2),
        (FlowFilter(client=parse_address("10.1.0.1")), 1),
        (FlowFilter(front_end=parse_address("10.96.0.1")), 1),
        (FlowFilter(front_end=parse_address("10.96.0.1"), port=81), 0),
        (FlowFilter(backend=parse_address("10.0.0.1")), 2),
        (FlowFilter(protocol=Protocol.UDP), 1),
        (FlowFilter(state=FlowState.ANSWERED), 1),
        (FlowFilter(services={2}), 1),
        (FlowFilter(client=parse_address("10.1.0.1"), protocol=Protocol.UDP), 0),
    ],
)
def test_flows_can_be_asked_for_by_what_they_are(asked: FlowFilter, count: int) -> None:
    tcp = flow_entry(CLIENT, WEB, POD, seen=NOW)
    udp = flow_entry(
        "10.1.0.2:5", "10.96.0.10:53", POD, protocol=Protocol.UDP, state=FlowState.ANSWERED, seen=NOW, service=2
    )
    assert len(list(read_flows(Family.IPV4, maps_with(tcp, udp), NOW, asked))) == count
