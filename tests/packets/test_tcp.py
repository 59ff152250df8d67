"""TCP: which flow a segment belongs to, and how connections open, end and are forgotten.

Where a flow goes shows whether it was kept: Services here get other endpoints after it began.
"""

from __future__ import annotations

from tests.packets.harness import Harness
from tests.packets.table import Counted, Holds, Lose, Row, Step, Wait, play, table
from tests.packets.talks import BACKEND_ISN, CLIENT_ISN, from_web, opened, to_web, web_moves, web_one_leaves
from tests.packets.wire import Wire
from tests.packets.world import WEB, WEB_TWO

WINDOW = 1 << 24
"""How far a RST may lie ahead of what the other side has acknowledged last."""


def moves(w: Wire) -> Step:
    """From now on new flows go to backend_two."""
    return web_moves(w, WEB_TWO)


def stays(w: Wire) -> list[Step]:
    """A client's SYN and a segment in mid-stream both go where the flow went before."""
    return [to_web(w, "S"), to_web(w, "PA", payload=b"x")]


def picks_afresh(w: Wire) -> list[Step]:
    """A client's SYN goes to another backend."""
    return [to_web(w, "S", backend=w.backend_two)]


def exchanged(w: Wire) -> list[Step]:
    """An open connection in which both sides have acknowledged something."""
    return [*opened(w), from_web(w, "A", seq=BACKEND_ISN + 1, ack=CLIENT_ISN + 1)]


def closed_by(w: Wire, *segments: Step) -> list[Step]:
    """After these segments of an open connection a SYN picks afresh."""
    return [*exchanged(w), *segments, moves(w), *picks_afresh(w)]


def open_after(w: Wire, *segments: Step) -> list[Step]:
    """After these segments of an open connection a SYN belongs to it still."""
    return [*exchanged(w), *segments, moves(w), *stays(w)]


def forgotten_after(w: Wire, seconds: int, *segments: Step) -> list[Step]:
    """The flow that these segments make lives for so long without a packet, and not a second longer."""
    return [
        *segments,
        moves(w),
        Wait(seconds),
        to_web(w, "A", seq=CLIENT_ISN + 1),
        Wait(seconds + 1),
        to_web(w, "A", backend=w.backend_two),
    ]


OPENING_ROWS = [
    Row(
        "a connection's segments go to its backend and come back from the Service",
        lambda w: [
            *exchanged(w),
            to_web(w, "PA", payload=b"GET /"),
            from_web(w, "PA", payload=b"OK"),
            Counted(WEB, 3, 3, 1),
        ],
    ),
    Row(
        "a SYN alone is not yet an answered flow",
        lambda w: [to_web(w, "S"), Holds("flows", 0), Holds("flows_new", 2)],
    ),
    Row(
        "a SYN-ACK alone is not yet an answered flow",
        lambda w: [*opened(w)[:2], Holds("flows", 0), Holds("flows_new", 2)],
    ),
    Row(
        "the client's acknowledgement of the backend's SYN makes it one",
        lambda w: [*opened(w), Holds("flows", 2), Holds("flows_new", 0)],
    ),
    Row(
        "an acknowledgement of something else than the backend's SYN does not",
        lambda w: [*opened(w)[:2], to_web(w, "A", seq=1001, ack=BACKEND_ISN), Holds("flows", 0), Holds("flows_new", 2)],
    ),
    Row("a SYN that is sent again goes to the same backend", lambda w: [to_web(w, "S"), moves(w), to_web(w, "S")]),
    Row(
        "a SYN that is sent again goes elsewhere when its endpoint has left",
        lambda w: [to_web(w, "S"), moves(w), web_one_leaves(w), *picks_afresh(w)],
    ),
    Row(
        "an open connection whose endpoint has left goes on to it, a new SYN does not",
        lambda w: [*opened(w), moves(w), web_one_leaves(w), to_web(w, "PA"), from_web(w, "A"), *picks_afresh(w)],
    ),
    Row(
        "a segment in mid-stream without a flow is picked up, and its answer makes a flow of it",
        lambda w: [to_web(w, "A"), Holds("flows", 0), from_web(w, "A"), Holds("flows", 2), moves(w), *stays(w)],
    ),
    Row(
        "a lone RST leaves nothing that a SYN could meet",
        lambda w: [to_web(w, "R"), moves(w), *picks_afresh(w)],
    ),
    Row(
        "TCP with zero flags is picked up like any segment in mid-stream",
        lambda w: [to_web(w, ""), from_web(w, "A"), Holds("flows", 2)],
    ),
]

CLOSING_ROWS = [
    Row("a SYN on an open connection stays with it", open_after),
    Row("a FIN from the client alone leaves it half open", lambda w: open_after(w, to_web(w, "FA"))),
    Row("a FIN from the backend alone leaves it half open", lambda w: open_after(w, from_web(w, "FA"))),
    Row("two FINs from one side close nothing", lambda w: open_after(w, to_web(w, "FA"), to_web(w, "FA"))),
    Row(
        "FINs from the client and then the backend close it",
        lambda w: closed_by(w, to_web(w, "FA"), from_web(w, "FA")),
    ),
    Row(
        "FINs from the backend and then the client close it",
        lambda w: closed_by(w, from_web(w, "FA"), to_web(w, "FA")),
    ),
    Row(
        "a simultaneous close: FINs cross, and the last acknowledgements still arrive",
        lambda w: [
            *exchanged(w),
            to_web(w, "FA", seq=1001, ack=5001),
            from_web(w, "FA", seq=5001, ack=1001),
            to_web(w, "A", seq=1002, ack=5002),
            from_web(w, "A", seq=5002, ack=1002),
            moves(w),
            *picks_afresh(w),
        ],
    ),
    Row(
        "a half-closed connection goes on for almost an hour without a packet",
        lambda w: [*exchanged(w), to_web(w, "FA"), moves(w), Wait(3600), from_web(w, "PA"), Wait(3600), to_web(w, "A")],
    ),
    Row(
        "a RST from the client closes it",
        lambda w: closed_by(w, to_web(w, "R", seq=CLIENT_ISN + 1)),
    ),
    Row(
        "a RST from the backend closes it",
        lambda w: closed_by(w, from_web(w, "R", seq=BACKEND_ISN + 1)),
    ),
    Row(
        "a RST at the end of the window still closes it",
        lambda w: closed_by(w, to_web(w, "R", seq=CLIENT_ISN + WINDOW)),
    ),
    Row(
        "a RST outside the window, from the client's side, is sent on and changes nothing",
        lambda w: open_after(w, to_web(w, "R", seq=CLIENT_ISN + 1 + WINDOW)),
    ),
    Row(
        "a RST before the window, from the backend's side, is sent on and changes nothing",
        lambda w: open_after(w, from_web(w, "R", seq=BACKEND_ISN)),
    ),
    Row(
        "a RST with ACK refuses a connection while it opens, whatever its numbers",
        lambda w: [to_web(w, "S"), from_web(w, "RA", seq=0, ack=CLIENT_ISN + 1), moves(w), *picks_afresh(w)],
    ),
    Row(
        "after a close the client's late segments still go to the old backend",
        lambda w: [*exchanged(w), to_web(w, "R", seq=CLIENT_ISN + 1), moves(w), to_web(w, "A")],
    ),
    Row(
        "a client that reuses its port at once, after a close, gets its own answers",
        lambda w: [
            *closed_by(w, to_web(w, "FA"), from_web(w, "FA")),
            from_web(w, "SA", backend=w.backend_two, seq=BACKEND_ISN),
            to_web(w, "A", backend=w.backend_two, ack=BACKEND_ISN + 1),
            Holds("flows", 2),
            Holds("flows_new", 0),
        ],
    ),
]

TIME_ROWS = [
    Row("a SYN without an answer is forgotten after 60 s", lambda w: forgotten_after(w, 60, to_web(w, "S"))),
    Row("a SYN-ACK without an answer is forgotten after 60 s", lambda w: forgotten_after(w, 60, *opened(w)[:2])),
    Row("what was picked up in mid-stream is forgotten after 60 s", lambda w: forgotten_after(w, 60, to_web(w, "A"))),
    Row("an open connection may be idle for 24 hours", lambda w: forgotten_after(w, 86400, *opened(w))),
    Row("a half-closed one for an hour", lambda w: forgotten_after(w, 3600, *opened(w), to_web(w, "FA"))),
    Row(
        "one closed by both sides for two minutes",
        lambda w: forgotten_after(w, 120, *opened(w), to_web(w, "FA"), from_web(w, "FA")),
    ),
    Row("one that was reset for ten seconds", lambda w: forgotten_after(w, 10, *opened(w), to_web(w, "R"))),
    Row(
        "idle established TCP: packets every ten hours keep it for days, from either side",
        lambda w: [
            *opened(w),
            moves(w),
            *(step for _ in range(4) for step in (Wait(36000), from_web(w, "A"), Wait(36000), to_web(w, "A"))),
        ],
    ),
]


def is_reply(key: bytes) -> bool:
    """Whether a flow key is a reply's."""
    return key[-3] == 1


def is_forward(key: bytes) -> bool:
    """Whether a flow key is a client's."""
    return key[-3] == 0


PRESSURE_ROWS = [
    Row(
        "a table under pressure loses the reply half: the next second's first forward packet mends it",
        lambda w: [
            *exchanged(w),
            Lose(which=is_reply),
            to_web(w, "PA"),
            Holds("flows", 1),
            Wait(1),
            to_web(w, "PA"),
            from_web(w, "PA"),
            Holds("flows", 2),
        ],
    ),
    Row(
        "a table under pressure loses the reply half: a forward packet that changes the state mends it at once",
        lambda w: [*exchanged(w), Lose(which=is_reply), to_web(w, "FA"), from_web(w, "PA"), Holds("flows", 2)],
    ),
    Row(
        "a table under pressure loses the reply half of a flow that opens: the next forward packet mends it",
        lambda w: [to_web(w, "S"), Lose(which=is_reply), to_web(w, "S"), *opened(w)[1:], Holds("flows", 2)],
    ),
    Row(
        "a table under pressure loses the forward half: the same backend is chosen again, and replies were never lost",
        lambda w: [*exchanged(w), Lose(which=is_forward), from_web(w, "PA"), to_web(w, "PA"), from_web(w, "PA")],
    ),
    Row(
        "a table under pressure loses the forward half, and only replies come, for days",
        lambda w: [
            *exchanged(w),
            Lose(which=is_forward),
            *(step for _ in range(3) for step in (Wait(80000), from_web(w, "PA"))),
            from_web(w, "R"),
            from_web(w, "PA"),
            to_web(w, "PA"),
            from_web(w, "R", seq=BACKEND_ISN),
        ],
    ),
    Row(
        "both halves lost: the same backend is chosen again while the endpoints stand",
        lambda w: [*exchanged(w), Lose(), to_web(w, "PA"), from_web(w, "PA"), Holds("flows", 2)],
    ),
]


@table(OPENING_ROWS)
def test_opening(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(CLOSING_ROWS)
def test_closing(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(TIME_ROWS)
def test_time(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(PRESSURE_ROWS)
def test_pressure(row: Row, harness: Harness) -> None:
    play(row, harness)
