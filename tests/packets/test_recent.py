"""Flows that are done, and go when enough others have been answered since; and those that do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tcnat.loader import has_lru
from tests.packets.harness import SMALL, Harness
from tests.packets.table import Holds, Row, Step, Wait, play, table
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_clashes import from_other_web, to_other_web
from tests.packets.test_sctp import from_peer, to_peer
from tests.packets.wire import CLIENT_PORT, Wire

PLACES = SMALL["recent"]
LATER = 20000
"""Source ports of conversations that come later, from here on."""
FLOWS = 1024
SHORT = FLOWS + FLOWS // 2
"""Short conversations: of two entries each, they are three times what a flow table of that size holds."""
BOTH_FAMILIES = pytest.mark.parametrize("family", [4, 6])


def asked(w: Wire, sport: int = CLIENT_PORT) -> list[Step]:
    """A question and its answer."""
    return [to_dns(w, sport=sport), from_dns(w, sport=sport)]


def others(w: Wire, count: int = PLACES, first: int = LATER) -> list[Step]:
    """As many conversations as the ring has places, or another number of them."""
    return [step for sport in range(first, first + count) for step in asked(w, sport)]


def closed(w: Wire) -> list[Step]:
    """A connection from its SYN to the last ACK."""
    return [*opened(w), to_web(w, "FA"), from_web(w, "FA"), to_web(w, "A")]


def holds(flows: int) -> Holds:
    """So many flows by now, of two halves each."""
    return Holds("flows", 2 * flows)


def taken_over(w: Wire) -> list[Step]:
    """Another conversation has the reply tuple of one that has ended."""
    return [
        *closed(w),
        Wait(2),
        to_other_web(w, "S", CLIENT_PORT, seq=1),
        from_other_web(w, "SA", CLIENT_PORT, seq=9, ack=2),
        to_other_web(w, "A", CLIENT_PORT, seq=2, ack=10),
        Holds("flows", 3),
        *others(w, PLACES - 1),
        holds(PLACES),
        from_other_web(w, "PA", CLIENT_PORT, payload=b"mine"),
    ]


DONE_ROWS = [
    Row(
        "a connection that has ended goes when a whole ring of others has been answered",
        lambda w: [*closed(w), Wait(2), *others(w, PLACES - 1), holds(PLACES), *others(w, 1, 30000), holds(PLACES)],
    ),
    Row(
        "one that was reset goes as well",
        lambda w: [*opened(w), to_web(w, "R", seq=1001), Wait(2), *others(w), holds(PLACES)],
    ),
    Row(
        "a question with its answer goes, if it is five seconds old",
        lambda w: [*asked(w), Wait(5), *others(w), holds(PLACES)],
    ),
    Row(
        "a conversation that is past its time-out goes, though it had lasted",
        lambda w: [*asked(w), Wait(1), *asked(w), Wait(181), *others(w), holds(PLACES)],
    ),
    Row("one whose reply tuple another has by now leaves that to it", taken_over),
]

STAYING_ROWS = [
    Row(
        "a connection that has just ended stays: a FIN may come again",
        lambda w: [*closed(w), Wait(1), *others(w), holds(PLACES + 1), from_web(w, "FA"), to_web(w, "A")],
    ),
    Row(
        "an open connection stays, idle for hours, and the backend may speak first",
        lambda w: [*opened(w), Wait(7200), *others(w), holds(PLACES + 1), from_web(w, "PA", payload=b"news")],
    ),
    Row(
        "one that only one side has closed stays",
        lambda w: [*opened(w), to_web(w, "FA"), Wait(60), *others(w), from_web(w, "PA", payload=b"the rest")],
    ),
    Row(
        "a question with its answer stays for a while: there may be another",
        lambda w: [*asked(w), Wait(4), *others(w), holds(PLACES + 1), from_dns(w)],
    ),
    Row(
        "datagrams that have come and gone for longer stay",
        lambda w: [*asked(w), Wait(1), *asked(w), Wait(60), *others(w), holds(PLACES + 1), from_dns(w)],
    ),
    Row(
        "an SCTP association stays",
        lambda w: [to_peer(w, init=True), from_peer(w), Wait(60), *others(w), holds(PLACES + 1), from_peer(w)],
    ),
    Row(
        "one that began anew under the same tuple stays",
        lambda w: [*closed(w), Wait(2), *opened(w), *others(w, PLACES - 1), holds(PLACES), from_web(w, "PA")],
    ),
]


@table(DONE_ROWS)
def test_what_is_done_makes_room(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(STAYING_ROWS)
def test_what_is_not_done_stays(row: Row, harness: Harness) -> None:
    play(row, harness)


@pytest.fixture(params=[True, False], ids=["LRU", "no LRU"])
def small(family: int, request: pytest.FixtureRequest) -> Iterator[Harness]:
    """A small flow table, and a ring for a quarter of it."""
    if request.param and not has_lru():
        pytest.skip("the kernel has no LRU maps (4.10)")
    made = Harness.load(family, {"flows": FLOWS, "recent": FLOWS // 4}, lru=request.param)
    made.reset()
    yield made
    made.close()


@BOTH_FAMILIES
def test_an_idle_connection_outlives_any_number_of_short_conversations(small: Harness, family: int) -> None:
    """And without LRU maps they do not fill the table, in which nothing is swept here."""
    w = Wire(family)
    steps = [*opened(w)]
    for start in range(0, SHORT, FLOWS // 8):
        steps += [*others(w, FLOWS // 8, 1024 + start), Wait(5)]
    steps.append(from_web(w, "PA", payload=b"news"))
    for step in steps:
        step.play(small)
    assert "FLOW_TABLE_FULL" not in small.counters()
