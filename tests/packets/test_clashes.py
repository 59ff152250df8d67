"""One source port, several conversations: each gets its own answers.

Where a flow has to take another source port, the specification says which: the tests compute it from its text.
"""

from __future__ import annotations

from scapy.packet import Packet

from tests.packets.harness import Harness
from tests.packets.table import (
    Holds,
    Lose,
    Row,
    Sent,
    Step,
    Wait,
    dropped,
    forwarded,
    play,
    reversed_,
    table,
    untouched,
)
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_icmp_errors import about, about_reply
from tests.packets.test_tcp import is_reply
from tests.packets.wire import CLIENT_PORT, Wire
from tests.reference.hashing import flow_hash, mix
from tests.reference.tables import Ends

TCP, UDP = 6, 17


def other_port(source: str, sport: int, destination: str, dport: int, protocol: int, tries: int = 1) -> int:
    """The source port that a flow takes at its n-th try."""
    start = flow_hash(Ends(source, destination, sport, dport), protocol)
    return 0x8000 | mix(start + tries & 0xFFFFFFFF) & 0x7FFF


def to_other_web(w: Wire, flags: str, sport: int, **fields: object) -> Sent:
    """The client's segment to other_web_vip, from CLIENT_PORT, which becomes ``sport``."""
    return forwarded(
        w.tcp(w.client, CLIENT_PORT, w.other_web_vip, 80, flags, **fields),
        w.tcp(w.client, sport, w.backend_one, 8080, flags, **fields),
    )


def from_other_web(w: Wire, flags: str, sport: int, **fields: object) -> Sent:
    """Its answer."""
    return reversed_(
        w.tcp(w.backend_one, 8080, w.client, sport, flags, **fields),
        w.tcp(w.other_web_vip, 80, w.client, CLIENT_PORT, flags, **fields),
    )


def web_port(w: Wire, tries: int = 1) -> int:
    """What CLIENT_PORT becomes towards other_web_vip."""
    return other_port(w.client, CLIENT_PORT, w.other_web_vip, 80, TCP, tries)


def two_services(w: Wire) -> list[Step]:
    port = web_port(w)
    return [
        *opened(w),
        to_other_web(w, "S", port, seq=1),
        from_other_web(w, "SA", port, seq=9, ack=2),
        to_other_web(w, "A", port, seq=2, ack=10),
        Holds("flows", 4),
        to_web(w, "PA", payload=b"one"),
        to_other_web(w, "PA", port, payload=b"two"),
        from_other_web(w, "PA", port, payload=b"second"),
        from_web(w, "PA", payload=b"first"),
    ]


def two_datagrams(w: Wire) -> list[Step]:
    port = other_port(w.client, CLIENT_PORT, w.other_dns_vip, 53, UDP)
    question, sent = w.udp(w.client, CLIENT_PORT, w.other_dns_vip, 53), w.udp(w.client, port, w.backend_one, 5353)
    answer, told = w.udp(w.backend_one, 5353, w.client, port), w.udp(w.other_dns_vip, 53, w.client, CLIENT_PORT)
    return [to_dns(w), forwarded(question, sent), reversed_(answer, told), from_dns(w), forwarded(question, sent)]


def straight(w: Wire, flags: str, sport: int = CLIENT_PORT) -> Packet:
    """The client's segment to web_vip's backend itself."""
    return w.tcp(w.client, sport, w.backend_one, 8080, flags)


def straight_answer(w: Wire, flags: str, sport: int = CLIENT_PORT) -> Packet:
    """The backend's answer to that."""
    return w.tcp(w.backend_one, 8080, w.client, sport, flags)


def service_first(w: Wire) -> list[Step]:
    """The Service's flow has the tuple; the one straight to the backend gets another port, and gives it back."""
    port = other_port(w.client, CLIENT_PORT, w.backend_one, 8080, TCP)
    return [
        *opened(w),
        forwarded(straight(w, "S"), straight(w, "S", port)),
        reversed_(straight_answer(w, "SA", port), straight_answer(w, "SA")),
        from_web(w, "A"),
        to_web(w, "A"),
        forwarded(straight(w, "A"), straight(w, "A", port)),
    ]


def backend_first(w: Wire) -> list[Step]:
    """The flow straight to the backend has the tuple, and its packets pass; the Service's gets another port."""
    port = other_port(w.client, CLIENT_PORT, w.web_vip, 80, TCP)
    sent = forwarded(w.tcp(w.client, CLIENT_PORT, w.web_vip, 80, "S"), straight(w, "S", port))
    answered = reversed_(straight_answer(w, "SA", port), w.tcp(w.web_vip, 80, w.client, CLIENT_PORT, "SA"))
    return [
        untouched("egress", straight(w, "S")),
        sent,
        answered,
        untouched("ingress", straight_answer(w, "SA")),
        untouched("egress", straight(w, "A")),
    ]


def closed(w: Wire) -> list[Step]:
    """A connection to web_vip from begin to end."""
    return [*opened(w), to_web(w, "FA", ack=5001), from_web(w, "FA", seq=5001, ack=1002), to_web(w, "A", ack=5002)]


def ended(w: Wire) -> list[Step]:
    """Two seconds after its end its port is free for another conversation with the backend, and nobody's before."""
    port = web_port(w)
    return [
        *closed(w),
        Wait(1),
        to_other_web(w, "S", port, seq=1),
        from_other_web(w, "RA", port, ack=2),
        Wait(3),
        to_other_web(w, "S", CLIENT_PORT, seq=1),
        from_other_web(w, "SA", CLIENT_PORT, seq=9, ack=2),
        to_other_web(w, "A", CLIENT_PORT, seq=2, ack=10),
    ]


def half_closed(w: Wire) -> list[Step]:
    """One that has ended on one side alone keeps it."""
    return [*opened(w), to_web(w, "FA", ack=5001), Wait(60), to_other_web(w, "S", web_port(w), seq=1)]


def taken(w: Wire, tries: int) -> list[Step]:
    """Flows straight to the backend that have the client's own port and what the first tries would choose."""
    ports = [CLIENT_PORT, *(web_port(w, each) for each in range(1, tries + 1))]
    return [untouched("egress", straight(w, "S", port)) for port in ports]


def is_dropped(w: Wire) -> Sent:
    return dropped("egress", w.tcp(w.client, CLIENT_PORT, w.other_web_vip, 80, "S"), "NO_SOURCE_PORT")


def errors(w: Wire) -> list[Step]:
    """Errors about a flow whose source port was changed give the client its own port back."""
    port = web_port(w)
    sent, got = to_other_web(w, "A", port), from_other_web(w, "A", port)
    return [*opened(w), to_other_web(w, "S", port), about(w, sent, length=20), got, about_reply(w, got, length=20)]


def reply_half_is_taken(w: Wire) -> list[Step]:
    """A flow's reply half was lost, and its place taken: its next second begins anew, with another source port."""
    port = other_port(w.client, CLIENT_PORT, w.web_vip, 80, TCP)
    segment = w.tcp(w.client, CLIENT_PORT, w.web_vip, 80, "PA")
    return [
        *opened(w),
        Lose(which=is_reply),
        untouched("egress", straight(w, "S")),
        Wait(1),
        forwarded(segment, straight(w, "PA", port)),
        untouched("ingress", straight_answer(w, "SA")),
    ]


ROWS = [
    Row("the same source port to two Services that share a backend", two_services),
    Row("the same source port to two UDP Services that share a backend", two_datagrams),
    Row("the same source port to a Service and straight to its backend, the Service first", service_first),
    Row("the same source port to a Service and straight to its backend, the backend first", backend_first),
    Row("a connection that has ended gives its port up, but not at once", ended),
    Row("one that is half closed does not", half_closed),
    Row("errors about a flow with another source port", errors),
    Row(
        "seven other ports are taken: the eighth is tried",
        lambda w: [*taken(w, 7), to_other_web(w, "S", web_port(w, 8))],
    ),
    Row("all eight are taken: the packet is dropped", lambda w: [*taken(w, 8), is_dropped(w), Holds("flows_new", 18)]),
    Row(
        "a port that is past its time is free again",
        lambda w: [*taken(w, 8), is_dropped(w), Wait(61), to_other_web(w, "S", CLIENT_PORT), Holds("flows_new", 19)],
    ),
    Row("a reply half that was lost and whose place is taken", reply_half_is_taken),
    Row(
        "two clients with one source port do not clash",
        lambda w: [
            to_web(w, "S"),
            forwarded(
                w.tcp(w.other_client, CLIENT_PORT, w.other_web_vip, 80),
                w.tcp(w.other_client, CLIENT_PORT, w.backend_one, 8080),
            ),
        ],
    ),
    Row(
        "two protocols with one source port do not clash",
        lambda w: [to_web(w, "S"), to_dns(w), from_dns(w), from_web(w, "SA")],
    ),
]


@table(ROWS)
def test_clashes(row: Row, harness: Harness) -> None:
    play(row, harness)
