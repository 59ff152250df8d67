"""Services come, change and go while packets are under way, and clients stay with one backend where they shall."""

from __future__ import annotations

from scapy.packet import Packet

from tcnat.layout import Choice, ServiceFlag
from tests.packets.answers import rst
from tests.packets.harness import Harness
from tests.packets.table import (
    Configure,
    Endpoints,
    Holds,
    Row,
    Sent,
    Services,
    Step,
    Wait,
    dropped,
    forwarded,
    play,
    sent_back,
    table,
    untouched,
)
from tests.packets.talks import from_web, opened, to_web, web_moves, web_one_leaves
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import (
    AFFINITY_SECONDS,
    OTHER_WEB,
    STICKY,
    TCP,
    WEB,
    WEB_ONE,
    WEB_TWO,
    Endpoint,
    FrontEnd,
)
from tests.reference.hashing import flow_hash
from tests.reference.tables import Ends

NEW_PORT = CLIENT_PORT + 1
NOBODY = ServiceFlag.FRONT_END | ServiceFlag.REJECT
NOT_HERE = ServiceFlag.FRONT_END | ServiceFlag.DROP
DRAINING = ServiceFlag.FRONT_END | ServiceFlag.DRAINING


def new_syn(w: Wire) -> Packet:
    """A SYN to web_vip that belongs to no flow."""
    return w.tcp(w.client, NEW_PORT, w.web_vip, 80, "S", seq=1000)


def goes_on(w: Wire) -> list[Step]:
    """The open connection works."""
    return [to_web(w, "PA", payload=b"x"), from_web(w, "PA", payload=b"y")]


def deleted(w: Wire) -> list[Step]:
    """While it drains its connections go on; when it is gone, its address is nobody's."""
    return [
        *opened(w),
        web_moves(w, WEB_ONE, flags=DRAINING),
        *goes_on(w),
        untouched("egress", new_syn(w)),
        Services(gone=((w.web_vip, 80, TCP),)),
        untouched("egress", w.tcp(w.client, CLIENT_PORT, w.web_vip, 80, "A")),
    ]


def recreated(w: Wire) -> list[Step]:
    """The same address again, other endpoints: open connections go on, new ones go to the new endpoints."""
    return [
        *opened(w),
        web_moves(w, WEB_ONE, flags=DRAINING),
        web_moves(w, WEB_TWO),
        *goes_on(w),
        to_web(w, "S", sport=NEW_PORT, backend=w.backend_two),
    ]


def changes_its_port(w: Wire) -> list[Step]:
    """Port 80 drains, port 81 serves."""
    given, expected = (
        w.tcp(w.client, NEW_PORT, address, port) for address, port in ((w.web_vip, 81), (w.backend_one, 8080))
    )
    return [
        *opened(w),
        web_moves(w, WEB_ONE, flags=DRAINING),
        Services((FrontEnd(w.web_vip, 81, TCP, (WEB_ONE,), WEB),)),
        *goes_on(w),
        forwarded(given, expected),
        untouched("egress", new_syn(w)),
    ]


def becomes_a_backend(w: Wire) -> list[Step]:
    """A front end's address turns into a backend's own: what was a Service's flow begins anew, straight."""
    syn = w.tcp(w.client, CLIENT_PORT, w.web_vip, 80)
    return [
        *opened(w),
        Services(
            (FrontEnd(w.other_web_vip, 80, TCP, (99,), OTHER_WEB),),
            gone=((w.web_vip, 80, TCP),),
        ),
        Endpoints((Endpoint(99, w.web_vip, 80),)),
        untouched("egress", syn),
        Holds("flows_new", 2),
    ]


def becomes_a_front_end(w: Wire) -> list[Step]:
    """A backend's own address turns into a front end: the flow straight to it begins anew, as a Service's."""
    straight = w.tcp(w.client, CLIENT_PORT, w.backend_one, 8080, "A")
    return [
        untouched("egress", straight),
        Services((FrontEnd(w.backend_one, 8080, TCP, (WEB_TWO,), WEB),)),
        forwarded(straight, w.tcp(w.client, CLIENT_PORT, w.backend_two, 8080, "A")),
    ]


def spreads(w: Wire) -> list[Step]:
    """Forty flows go to the slots that the hash names."""
    order = (WEB_ONE, WEB_TWO, WEB_TWO, WEB_ONE, WEB_ONE, WEB_TWO, WEB_ONE)
    address = {WEB_ONE: w.backend_one, WEB_TWO: w.backend_two}
    steps: list[Step] = [web_moves(w, *order)]
    chosen = set()
    for sport in range(40000, 40040):
        slot = flow_hash(Ends(w.client, w.web_vip, sport, 80), TCP) * len(order) >> 32
        chosen.add(slot)
        steps.append(to_web(w, "S", sport=sport, backend=address[order[slot]]))
    assert chosen == set(range(len(order)))
    return steps


CHANGE_ROWS = [
    Row("a Service is deleted while connections are open", deleted),
    Row("a Service is re-created with the same address and other endpoints", recreated),
    Row("a Service changes its port", changes_its_port),
    Row(
        "a Service loses its last endpoint: open connections go on to it, new ones are rejected",
        lambda w: [
            *opened(w),
            web_one_leaves(w),
            web_moves(w, flags=NOBODY),
            *goes_on(w),
            sent_back(new_syn(w), rst(w, new_syn(w), "RA", 0, 1001), "REJECT_NO_ENDPOINT"),
        ],
    ),
    Row(
        "a Local policy loses its last endpoint here: open connections go on, new ones are dropped",
        lambda w: [
            *opened(w),
            web_moves(w, flags=NOT_HERE),
            *goes_on(w),
            dropped("egress", new_syn(w), "NO_LOCAL_ENDPOINT"),
        ],
    ),
    Row(
        "a front end with no slots rejects as one without endpoints",
        lambda w: [web_moves(w), sent_back(new_syn(w), rst(w, new_syn(w), "RA", 0, 1001), "REJECT_NO_ENDPOINT")],
    ),
    Row(
        "a draining Service's new clients are treated as the setting for unknown ports says",
        lambda w: [
            web_moves(w, WEB_ONE, flags=DRAINING),
            Configure(unknown_port=Choice.DROP),
            dropped("egress", new_syn(w), "UNKNOWN_PORT"),
            Configure(unknown_port=Choice.REJECT),
            sent_back(new_syn(w), rst(w, new_syn(w), "RA", 0, 1001), "REJECT_UNKNOWN_PORT"),
        ],
    ),
    Row("a front end becomes a backend's own address", becomes_a_backend),
    Row("a backend's own address becomes a front end", becomes_a_front_end),
    Row("new flows spread over the slots by the hash", spreads),
    Row(
        "a slot that names no backend: the packet is dropped",
        lambda w: [web_moves(w, 200), dropped("egress", new_syn(w), "BACKEND_MISSING"), Holds("flows_new", 0)],
    ),
    Row(
        "a slot past the table of backends: the packet is dropped",
        lambda w: [web_moves(w, 100000), dropped("egress", new_syn(w), "BACKEND_MISSING")],
    ),
]


def sticky(w: Wire, sport: int, backend: str, port: int = 80, client: str = "") -> Sent:
    """A client's SYN to sticky_vip, and where it goes."""
    client = client or w.client
    return forwarded(w.tcp(client, sport, w.sticky_vip, port), w.tcp(client, sport, backend, 8080))


def sticky_moves(w: Wire, *slots: int, port: int = 80, service: int = STICKY) -> Services:
    """sticky_vip gets other endpoints."""
    return Services((FrontEnd(w.sticky_vip, port, TCP, slots, service, AFFINITY_SECONDS),))


def remembered(w: Wire) -> list[Step]:
    """The client was at backend_one; others would now go to backend_two."""
    return [sticky_moves(w, WEB_ONE), sticky(w, 40000, w.backend_one), sticky_moves(w, WEB_TWO)]


AFFINITY_ROWS = [
    Row(
        "affinity is kept for the client's next connection", lambda w: [*remembered(w), sticky(w, 40001, w.backend_one)]
    ),
    Row(
        "affinity is one client's own",
        lambda w: [
            *remembered(w),
            sticky(w, 40001, w.backend_two, client=w.other_client),
            sticky(w, 40002, w.backend_one),
        ],
    ),
    Row(
        "affinity expires",
        lambda w: [*remembered(w), Wait(AFFINITY_SECONDS + 1), sticky(w, 40001, w.backend_two)],
    ),
    Row(
        "affinity is refreshed by each new connection",
        lambda w: [
            *remembered(w),
            Wait(AFFINITY_SECONDS),
            sticky(w, 40001, w.backend_one),
            Wait(AFFINITY_SECONDS),
            sticky(w, 40002, w.backend_one),
        ],
    ),
    Row(
        "affinity is not refreshed by the packets of an open connection",
        lambda w: [
            *remembered(w),
            Wait(50),
            sticky(w, 40000, w.backend_one),
            Wait(AFFINITY_SECONDS - 49),
            sticky(w, 40001, w.backend_two),
        ],
    ),
    Row(
        "affinity ends with its backend, and begins with the next",
        lambda w: [
            *remembered(w),
            web_one_leaves(w),
            sticky(w, 40001, w.backend_two),
            sticky_moves(w, WEB_ONE),
            sticky(w, 40002, w.backend_two),
        ],
    ),
    Row(
        "two ports of one Service keep a client each for themselves",
        lambda w: [
            *remembered(w),
            sticky_moves(w, WEB_TWO, port=81, service=20),
            sticky(w, 40001, w.backend_two, port=81),
            sticky(w, 40002, w.backend_one),
            sticky_moves(w, WEB_ONE, port=81, service=20),
            sticky(w, 40003, w.backend_two, port=81),
        ],
    ),
    Row(
        "without affinity nothing is remembered",
        lambda w: [to_web(w, "S", sport=41000), Holds("affinity", 0), *remembered(w), Holds("affinity", 1)],
    ),
]


@table(CHANGE_ROWS)
def test_changes(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(AFFINITY_ROWS)
def test_affinity(row: Row, harness: Harness) -> None:
    play(row, harness)
