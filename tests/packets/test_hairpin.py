"""Hairpin: a client that is its own backend reaches itself through its Service, every time."""

from __future__ import annotations

from scapy.packet import Packet

from tests.packets.harness import Harness
from tests.packets.runner import Verdict
from tests.packets.table import Counted, Holds, Row, Sent, Step, play, sent_back, table, untouched
from tests.packets.test_clashes import other_port
from tests.packets.test_icmp_errors import unknown
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import OWN_DNS, OWN_WEB

TCP, UDP = 6, 17


def arriving(w: Wire, packet: Packet) -> Packet:
    """The IP packet in a frame that comes to the client."""
    return w.frame(packet.payload, from_client=False)


def asks(w: Wire, flags: str, sport: int = CLIENT_PORT, seen_as: int = 0, **fields: object) -> Sent:
    """The client's segment to its own Service: it comes back to it from the Service's address."""
    return sent_back(
        w.tcp(w.client, sport, w.self_vip, 80, flags, **fields),
        arriving(w, w.tcp(w.self_vip, seen_as or sport, w.client, 8080, flags, **fields)),
        "FORWARDED",
    )


def serves(w: Wire, flags: str, sport: int = CLIENT_PORT, seen_as: int = 0, **fields: object) -> Sent:
    """The client's answer as a backend: it comes back to it from the Service's port."""
    return sent_back(
        w.tcp(w.client, 8080, w.self_vip, seen_as or sport, flags, **fields),
        arriving(w, w.tcp(w.self_vip, 80, w.client, sport, flags, **fields)),
        "REVERSED",
    )


def talk(w: Wire, sport: int = CLIENT_PORT, seen_as: int = 0) -> list[Step]:
    """A connection to itself."""
    port = {"sport": sport, "seen_as": seen_as}
    return [
        asks(w, "S", **port, seq=1000),
        serves(w, "SA", **port, seq=5000, ack=1001),
        asks(w, "A", **port, seq=1001, ack=5001),
        asks(w, "PA", **port, seq=1001, ack=5001, payload=b"hello"),
        serves(w, "PA", **port, seq=5001, ack=1006, payload=b"me"),
    ]


def udp(w: Wire) -> list[Step]:
    question = w.udp(w.client, CLIENT_PORT, w.self_vip, 53)
    answer = w.udp(w.client, 5353, w.self_vip, CLIENT_PORT)
    return [
        sent_back(question, arriving(w, w.udp(w.self_vip, CLIENT_PORT, w.client, 5353)), "FORWARDED"),
        sent_back(answer, arriving(w, w.udp(w.self_vip, 53, w.client, CLIENT_PORT)), "REVERSED"),
        Counted(OWN_DNS, 1, 1, 1),
    ]


def from_a_service_port(w: Wire) -> list[Step]:
    """A source port that the Service has as a port of its own would make its answers look like a client's packets."""
    return talk(w, sport=80, seen_as=other_port(w.client, 80, w.self_vip, 80, TCP))


def port_unreachable(w: Wire) -> list[Step]:
    """Nobody listens on the client's port: its own error comes back to it, about what it had sent."""
    question = w.udp(w.client, CLIENT_PORT, w.self_vip, 53)
    seen = arriving(w, w.udp(w.self_vip, CLIENT_PORT, w.client, 5353))
    error = w.error("port unreachable", w.client, w.self_vip, w.quoted(seen))
    told = arriving(w, w.error("port unreachable", w.self_vip, w.client, w.quoted(question)))
    return [sent_back(question, seen, "FORWARDED"), sent_back(error, told, "ICMP_REVERSED")]


def error_about_answer(w: Wire) -> list[Step]:
    """The asking side does not want the answer: the serving side hears of it."""
    question = w.udp(w.client, CLIENT_PORT, w.self_vip, 53)
    answer = w.udp(w.client, 5353, w.self_vip, CLIENT_PORT)
    told = arriving(w, w.udp(w.self_vip, 53, w.client, CLIENT_PORT))
    error = w.error("port unreachable", w.client, w.self_vip, w.quoted(told))
    heard = arriving(w, w.error("port unreachable", w.self_vip, w.client, w.quoted(answer)))
    return [
        sent_back(question, arriving(w, w.udp(w.self_vip, CLIENT_PORT, w.client, 5353)), "FORWARDED"),
        sent_back(answer, told, "REVERSED"),
        sent_back(error, heard, "ICMP_FORWARDED"),
    ]


ROWS = [
    Row(
        "a pod that reaches itself through its own Service",
        lambda w: [*talk(w), Counted(OWN_WEB, 3, 2, 1), Holds("flows", 2)],
    ),
    Row("the same over UDP", udp),
    Row(
        "in forty tries it never fails",
        lambda w: [step for port in range(40000, 40040) for step in talk(w, sport=port)],
    ),
    Row("from a port that the Service has, too: another source port is taken", from_a_service_port),
    Row(
        "a port of the Service that no hairpin has passes as ever",
        lambda w: [*talk(w), untouched("egress", w.tcp(w.client, 8080, w.self_vip, 40001, "SA"))],
    ),
    Row(
        "another client's packets to that Service are no hairpin",
        lambda w: [
            *talk(w),
            Sent(
                "egress",
                w.tcp(w.other_client, CLIENT_PORT, w.self_vip, 80),
                w.frame(w.tcp(w.other_client, CLIENT_PORT, w.client, 8080).payload, from_client=True),
                Verdict.PASS,
                "FORWARDED",
            ),
        ],
    ),
    Row("its own port unreachable comes back to it", port_unreachable),
    Row("its error about an answer comes back to it", error_about_answer),
    Row(
        "an error about no hairpin passes as ever",
        lambda w: [
            *udp(w),
            unknown(
                "egress",
                w.error("port unreachable", w.client, w.self_vip, w.quoted(w.udp(w.self_vip, 9, w.client, 5353))),
            ),
        ],
    ),
]


@table(ROWS)
def test_hairpin(row: Row, harness: Harness) -> None:
    play(row, harness)
