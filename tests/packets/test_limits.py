"""Tables that are full, floods, and kernels without LRU maps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.packets.harness import Harness, on_one_cpu
from tests.packets.runner import Verdict
from tests.packets.table import Counted, Holds, Lose, Step, Wait, dropped, untouched
from tests.packets.talks import from_web, opened, to_web, web_moves
from tests.packets.test_tcp import is_reply
from tests.packets.wire import Wire
from tests.packets.world import WEB, WEB_TWO
from tests.stateful import frames

BOTH_FAMILIES = pytest.mark.parametrize("family", [4, 6])
NEW_FLOWS = 512
FLOOD = 8 * NEW_FLOWS
"""Spoofed SYNs: many times what the table of new flows holds."""


def without_lru(family: int) -> Iterator[Harness]:
    """Hash tables in place of LRU ones, as on 4.9, with room for four new flows' halves."""
    made = Harness.load(family, {"flows": 16, "flows_new": 8}, lru=False)
    yield made
    made.close()


def with_lru(family: int) -> Iterator[Harness]:
    """Small LRU tables."""
    made = Harness.load(family, {"flows": NEW_FLOWS, "flows_new": NEW_FLOWS})
    yield made
    made.close()


swept = pytest.fixture(without_lru, name="swept")
small = pytest.fixture(with_lru, name="small")


def play(harness: Harness, steps: list[Step]) -> None:
    """Steps, one after the other."""
    for step in steps:
        step.play(harness)


def flood(harness: Harness, w: Wire, count: int = FLOOD) -> dict[Verdict, int]:
    """SYNs from as many spoofed addresses to web_vip, and how many met with which verdict."""
    met = dict.fromkeys(Verdict, 0)
    destination = w.ip(w.client, w.web_vip).build()[-4 if w.family == 4 else -16 :]
    for number in range(count):
        source = (b"\xcb\x00" if w.family == 4 else b"\x20\x01\x0d\xb8" + bytes(10)) + number.to_bytes(2, "big")
        segment = frames.tcp((1024 + number % 60000, 80), number, 0, 2, b"")
        segment = frames.summed(source, destination, 6, segment, at=16)
        packet = frames.ip(w.family, source, destination, 6, segment)
        met[harness.egress(frames.ethernet(w.family, packet, from_client=True)).verdict] += 1
    return met


def is_open(w: Wire) -> list[Step]:
    """The open connection goes on to the backend that it had, though new ones would go elsewhere."""
    return [
        web_moves(w, WEB_TWO),
        to_web(w, "PA", payload=b"still"),
        from_web(w, "PA", payload=b"here"),
        Holds("flows", 2),
    ]


@BOTH_FAMILIES
def test_a_flood_of_syns_pushes_out_no_established_flow_and_new_connections_still_open(
    family: int, small: Harness
) -> None:
    w = Wire(family)
    small.reset()
    play(small, opened(w))
    assert flood(small, w) == {Verdict.PASS: FLOOD, Verdict.DROP: 0, Verdict.SEND_BACK: 0}
    assert len(small.entries("flows_new")) <= NEW_FLOWS
    play(small, [*is_open(w), *opened(w, sport=40001, backend=w.backend_two), Holds("flows", 4)])
    flood(small, w)
    play(small, [to_web(w, "A", sport=40001, backend=w.backend_two), to_web(w, "A")])


@BOTH_FAMILIES
def test_without_lru_new_flows_are_dropped_when_the_table_is_full_and_open_ones_go_on(
    family: int, swept: Harness
) -> None:
    w = Wire(family)
    swept.reset()
    play(swept, opened(w))
    assert flood(swept, w, 10) == {Verdict.PASS: 4, Verdict.DROP: 6, Verdict.SEND_BACK: 0}
    assert swept.counters()["FLOW_TABLE_FULL"][0] == 6
    full = dropped("egress", w.tcp(w.client, 40001, w.web_vip, 80), "FLOW_TABLE_FULL")
    play(swept, [full, Holds("flows_new", 8), *is_open(w), Counted(WEB, 7, 2, 5)])


@BOTH_FAMILIES
def test_without_lru_what_is_past_its_time_gives_way_to_the_same_flow(family: int, swept: Harness) -> None:
    w = Wire(family)
    swept.reset()
    assert flood(swept, w, 4)[Verdict.PASS] == 4
    play(swept, [Wait(61)])
    assert flood(swept, w, 4)[Verdict.PASS] == 4
    play(swept, [Holds("flows_new", 8)])


@BOTH_FAMILIES
def test_without_lru_a_flow_whose_reply_half_does_not_fit_is_not_begun(family: int) -> None:
    made = Harness.load(family, {"flows_new": 1}, lru=False)
    w = Wire(family)
    made.reset()
    play(made, [dropped("egress", w.tcp(w.client, 4, w.web_vip, 80), "FLOW_TABLE_FULL"), Holds("flows_new", 0)])
    made.close()


@BOTH_FAMILIES
def test_a_full_table_of_answered_flows_leaves_the_flow_where_it_is(family: int) -> None:
    """It works on there, also after an hour in which nobody spoke, which ones that are not answered do not last."""
    made = Harness.load(family, {"flows": 1}, lru=False)
    w = Wire(family)
    made.reset()
    play(made, [*opened(w), to_web(w, "PA", payload=b"x"), from_web(w, "A"), Holds("flows", 0), Holds("flows_new", 2)])
    for _ in range(2):
        play(made, [Wait(3600), from_web(w, "PA", payload=b"late"), to_web(w, "A")])
    made.close()


@BOTH_FAMILIES
def test_a_table_of_answered_flows_that_others_fill_leaves_the_flow_where_it_is(family: int) -> None:
    made = Harness.load(family, {"flows": 2}, lru=False)
    w = Wire(family)
    made.reset()
    play(made, [*opened(w), *opened(w, sport=40001), Holds("flows", 2), Holds("flows_new", 2)])
    play(made, [to_web(w, "PA", sport=40001), from_web(w, "PA", sport=40001), to_web(w, "A"), from_web(w, "A")])
    made.close()


@BOTH_FAMILIES
def test_without_lru_a_lost_reply_half_for_which_there_is_no_room_drops_the_packet(family: int) -> None:
    """No packet goes out whose answer would not be known."""
    made = Harness.load(family, {"flows_new": 4}, lru=False)
    w = Wire(family)
    made.reset()
    two = [to_web(w, "S"), to_web(w, "S", sport=40001)]
    play(made, [*two, Lose(which=is_reply), Holds("flows_new", 2), to_web(w, "S", sport=40002)])
    play(made, [dropped("egress", w.tcp(w.client, 40000, w.web_vip, 80), "FLOW_TABLE_FULL"), Holds("flows_new", 4)])
    made.close()


@BOTH_FAMILIES
def test_backends_packets_without_a_flow_are_looked_up_and_nothing_is_written(family: int, small: Harness) -> None:
    w = Wire(family)
    small.reset()
    with on_one_cpu():
        for port in range(1000, 1000 + NEW_FLOWS):
            untouched("ingress", w.tcp(w.backend_one, 8080, w.client, port, "SA")).play(small)
    assert not small.entries("flows")
    assert not small.entries("flows_new")
