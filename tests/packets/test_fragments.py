"""Fragments: the first tells the ports, the rest follow it, and nothing that is a Service's leaks past it."""

from __future__ import annotations

from dataclasses import replace

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.packets.harness import Harness
from tests.packets.pieces import fragment, fragments
from tests.packets.table import (
    IPV4_ONLY,
    IPV6_ONLY,
    Counted,
    Lose,
    Row,
    Sent,
    Step,
    Wait,
    dropped,
    forwarded,
    play,
    sent_back,
    table,
    untouched,
)
from tests.packets.talks import from_dns, from_web, to_dns, to_web
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import DNS

LONG = b"0123456789abcdef" * 20
REASONS = {"FORWARDED": "FRAGMENT_FORWARDED", "REVERSED": "FRAGMENT_REVERSED"}


def in_pieces(step: Sent, *cuts: int, number: int = 77) -> list[Sent]:
    """A packet's step as one step for each fragment; without cuts in three."""
    cuts = cuts or (64, 128)
    given = fragments(step.packet, *cuts, number=number)
    expected = fragments(step.becomes, *cuts, number=number)
    first, *rest = [replace(step, packet=g, becomes=e) for g, e in zip(given, expected, strict=True)]
    return [first, *(replace(each, reason=REASONS[step.reason]) for each in rest)]


def query(w: Wire, **fields: object) -> Sent:
    """A long datagram to dns_vip."""
    return to_dns(w, payload=LONG, **fields)


def answer(w: Wire, **fields: object) -> Sent:
    """A long answer from its backend."""
    return from_dns(w, payload=LONG, **fields)


def too_early(program: str, packet: Packet) -> Sent:
    """A later fragment that has no first one."""
    return dropped(program, packet, "FRAGMENT_BEFORE_FIRST")


def rest_before_first(w: Wire) -> list[Step]:
    first, *rest = in_pieces(query(w))
    return [*(too_early("egress", each.packet) for each in rest), first, *rest]


def reply_rest_before_first(w: Wire) -> list[Step]:
    first, *rest = in_pieces(answer(w))
    return [query(w), *(too_early("ingress", each.packet) for each in rest), first, *reversed(rest)]


def overlapping(w: Wire) -> list[Step]:
    """The second fragment repeats half of the first; nobody's matter but the receiver's."""
    step = query(w)
    first = in_pieces(step, 64)[0]
    data = bytes(Ether(bytes(step.packet)).payload.payload)[32:]
    again, expected = (fragment(Ether(bytes(each)), data, 4, more=False) for each in (step.packet, step.becomes))
    return [first, forwarded(again, expected, "FRAGMENT_FORWARDED")]


def too_short(w: Wire) -> list[Step]:
    """A first fragment that ends inside of the TCP header tells no ports."""
    step = to_web(w, "S", payload=LONG)
    pieces = fragments(step.packet, 16)
    return [untouched("egress", pieces[0], "MALFORMED_TRANSPORT"), too_early("egress", pieces[1])]


def id_again(w: Wire) -> list[Step]:
    """Two datagrams with one id, to two ports: the rest belongs to the first fragment that came last."""
    one, other = query(w), query(w, sport=CLIENT_PORT + 1)
    return [*in_pieces(one), *in_pieces(other), *in_pieces(one)]


def interleaved(w: Wire) -> list[Step]:
    """Two datagrams with two ids at the same time."""
    one, other = in_pieces(query(w), number=1), in_pieces(query(w, sport=CLIENT_PORT + 1), number=2)
    return [step for pair in zip(one, other, strict=True) for step in pair]


def protocols_share_id(w: Wire) -> list[Step]:
    """UDP and TCP with one id do not mix."""
    step = to_web(w, "PA", payload=LONG)
    datagram, segment = in_pieces(query(w)), in_pieces(replace(step, packet=step.packet, becomes=step.becomes))
    return [datagram[0], segment[0], *datagram[1:], *segment[1:]]


def flow_lost(w: Wire) -> list[Step]:
    first, *rest = in_pieces(query(w))
    return [first, Lose(), *(dropped("egress", each.packet, "FRAGMENT_FLOW_LOST") for each in rest)]


def reply_flow_lost(w: Wire) -> list[Step]:
    first, *rest = in_pieces(answer(w))
    return [query(w), first, Lose(), *(dropped("ingress", each.packet, "FRAGMENT_FLOW_LOST") for each in rest)]


def too_late(w: Wire) -> list[Step]:
    first, second, third = in_pieces(query(w))
    return [first, Wait(30), second, Wait(1), too_early("egress", third.packet)]


def all_pass(program: str, packet: Packet) -> list[Step]:
    """Every fragment of a packet passes untouched."""
    return [untouched(program, each) for each in fragments(packet, 64, 128)]


def rest_passes(program: str, packet: Packet) -> list[Step]:
    """A later fragment passes untouched without a first one."""
    return [untouched(program, fragments(packet, 64)[1])]


def nobody_home(w: Wire) -> list[Step]:
    first, rest = fragments(w.udp(w.client, CLIENT_PORT, w.empty_vip, 80, LONG), 64)
    return [dropped("egress", first, "NO_ENDPOINT"), too_early("egress", rest)]


def hairpin(w: Wire) -> list[Step]:
    """A client's fragments to itself, and back, each sent back at once."""
    question = w.udp(w.client, CLIENT_PORT, w.self_vip, 53, LONG)
    arrives = w.frame(w.udp(w.self_vip, CLIENT_PORT, w.client, 5353, LONG).payload)
    reply = w.udp(w.client, 5353, w.self_vip, CLIENT_PORT, LONG)
    told = w.frame(w.udp(w.self_vip, 53, w.client, CLIENT_PORT, LONG).payload)
    return [
        *in_pieces(sent_back(question, arrives, "FORWARDED")),
        *in_pieces(sent_back(reply, told, "REVERSED"), number=78),
    ]


def a_reply_at_its_backend(w: Wire) -> list[Step]:
    """A backend's fragments on their way to a client of the same node, once there has been a hairpin: they come to the
    backend's device as packets from a client, after the client's device has seen the first."""
    first, *rest = in_pieces(answer(w))
    passing = [step for each in rest for step in (untouched("egress", each.packet), each)]
    return [*hairpin(w), query(w), untouched("egress", first.packet), first, *passing]


def atomic(w: Wire) -> list[Step]:
    """An IPv6 fragment header on a packet that is whole makes no fragment of it."""
    given, expected = (
        fragment(Ether(bytes(each)), bytes(Ether(bytes(each)).payload.payload), 0, more=False)
        for each in (to_dns(w).packet, to_dns(w).becomes)
    )
    return [forwarded(given, expected), *rest_is_unknown(w)]


def rest_is_unknown(w: Wire) -> list[Step]:
    return [too_early("egress", fragments(query(w).packet, 64)[1])]


ROWS = [
    Row("first, then the rest", lambda w: [*in_pieces(query(w)), Counted(DNS, 3, 0, 1)]),
    Row("a reply in fragments", lambda w: [query(w), *in_pieces(answer(w)), Counted(DNS, 1, 3, 1)]),
    Row("the rest in any order behind the first", lambda w: [in_pieces(query(w))[each] for each in (0, 2, 1)]),
    Row("the rest before the first is dropped, and taken behind it", rest_before_first),
    Row("a reply's rest before its first is dropped, and taken behind it", reply_rest_before_first),
    Row("fragments that overlap are sent on", overlapping),
    Row("a first fragment too short for its transport header passes, its rest is dropped", too_short),
    Row(
        "a first fragment may end in TCP's options",
        lambda w: in_pieces(to_web(w, "S", options=[("MSS", 1460), ("NOP", None)] * 4, payload=LONG), 24),
    ),
    Row("a first fragment of 8 bytes is enough for UDP", lambda w: in_pieces(query(w), 8)),
    Row(
        "TCP in fragments, both ways",
        lambda w: [*in_pieces(to_web(w, "PA", payload=LONG)), *in_pieces(from_web(w, "PA", payload=LONG))],
    ),
    Row("an id that is used again", id_again),
    Row("two datagrams at the same time", interleaved),
    Row("two protocols with one id", protocols_share_id, IPV4_ONLY),
    Row("a fragment whose flow is lost is dropped", flow_lost),
    Row("a reply's fragment whose flow is lost is dropped", reply_flow_lost),
    Row("a first fragment is remembered for 30 s", too_late),
    Row("UDP without a checksum in fragments", lambda w: in_pieces(query(w, chksum=0)), IPV4_ONLY),
    Row("a front end without endpoints: no fragment is answered, all are dropped", nobody_home),
    Row(
        "a port that the Service address does not have: the rest passes as the first did",
        lambda w: all_pass("egress", w.udp(w.client, 4, w.dns_vip, 54, LONG)),
    ),
    Row(
        "fragments to a stranger pass, in any order",
        lambda w: [
            *all_pass("egress", w.udp(w.client, 4, w.stranger, 53, LONG)),
            *rest_passes("egress", w.udp(w.client, 4, w.stranger, 54, LONG)),
        ],
    ),
    Row(
        "fragments from a stranger pass, in any order",
        lambda w: [
            *all_pass("ingress", w.udp(w.stranger, 53, w.client, 4, LONG)),
            *rest_passes("ingress", w.udp(w.stranger, 54, w.client, 4, LONG)),
        ],
    ),
    Row(
        "fragments straight to a backend, and its answer's, pass as they are",
        lambda w: [
            *all_pass("egress", w.udp(w.client, 4, w.backend_one, 5353, LONG)),
            *all_pass("ingress", w.udp(w.backend_one, 5353, w.client, 4, LONG)),
        ],
    ),
    Row(
        "a backend's fragments that are no answer pass behind their first, and not before it",
        lambda w: [
            too_early("ingress", fragments(w.udp(w.backend_one, 9, w.client, 4, LONG), 64)[1]),
            *all_pass("ingress", w.udp(w.backend_one, 9, w.client, 4, LONG)),
        ],
    ),
    Row("a hairpin in fragments, both ways", hairpin),
    Row("a reply in fragments is no hairpin's at its backend's device", a_reply_at_its_backend),
    Row("an IPv6 fragment header on a whole packet makes no fragment of it", atomic, IPV6_ONLY),
    Row(
        "SCTP in fragments",
        lambda w: in_pieces(
            forwarded(*(w.sctp(w.client, CLIENT_PORT, each, 3868, init=True) for each in (w.sctp_vip, w.backend_one))),
            16,
        ),
    ),
]


@table(ROWS)
def test_fragments(row: Row, harness: Harness) -> None:
    play(row, harness)
