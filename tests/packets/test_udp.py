"""UDP: a flow goes where its endpoint is, and no further."""

from __future__ import annotations

from scapy.packet import Packet

from tcnat.layout import Choice, ServiceFlag
from tests.packets.answers import port_unreachable
from tests.packets.harness import Harness
from tests.packets.table import (
    Configure,
    Counted,
    Holds,
    Lose,
    Row,
    Services,
    Wait,
    dropped,
    play,
    sent_back,
    table,
    untouched,
)
from tests.packets.talks import dns_moves, dns_one_leaves, from_dns, to_dns
from tests.packets.test_tcp import is_forward
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import DNS, DNS_TWO, UDP

NOBODY = ServiceFlag.FRONT_END | ServiceFlag.REJECT
NOT_HERE = ServiceFlag.FRONT_END | ServiceFlag.DROP
DRAINING = ServiceFlag.FRONT_END | ServiceFlag.DRAINING


def query(w: Wire) -> Packet:
    """The client's datagram to dns_vip."""
    return w.udp(w.client, CLIENT_PORT, w.dns_vip, 53)


ROWS = [
    Row(
        "a query goes to the backend, its answer comes from the Service, and makes the flow an answered one",
        lambda w: [to_dns(w), Holds("flows_new", 2), from_dns(w), Holds("flows", 2), Counted(DNS, 1, 1, 1)],
    ),
    Row(
        "an answer is known however long the questions went on without one",
        lambda w: [to_dns(w), *[Wait(25), to_dns(w)] * 3, Wait(25), from_dns(w)],
    ),
    Row(
        "a flow stays where it is when another endpoint comes", lambda w: [to_dns(w), dns_moves(w, DNS_TWO), to_dns(w)]
    ),
    Row(
        "UDP to an endpoint that is gone picks again with the next datagram",
        lambda w: [to_dns(w), from_dns(w), dns_moves(w, DNS_TWO), dns_one_leaves(w), to_dns(w, backend=w.backend_two)],
    ),
    Row(
        "after that the new endpoint's answers come from the Service and the old one's pass as they are",
        lambda w: [
            to_dns(w),
            from_dns(w),
            dns_moves(w, DNS_TWO),
            dns_one_leaves(w),
            to_dns(w, backend=w.backend_two),
            from_dns(w, backend=w.backend_two),
            untouched("ingress", w.udp(w.backend_one, 5353, w.client, CLIENT_PORT)),
            Holds("flows", 2),
        ],
    ),
    Row(
        "a Service that had no endpoint gets one: the next datagram goes there",
        lambda w: [
            dns_moves(w, flags=NOBODY),
            sent_back(query(w), port_unreachable(w, query(w)), "REJECT_NO_ENDPOINT"),
            dns_moves(w, DNS_TWO),
            to_dns(w, backend=w.backend_two),
        ],
    ),
    Row(
        "a Service that loses its last endpoint rejects datagrams of flows that it had",
        lambda w: [
            to_dns(w),
            from_dns(w),
            dns_moves(w, flags=NOBODY),
            sent_back(query(w), port_unreachable(w, query(w)), "REJECT_NO_ENDPOINT"),
        ],
    ),
    Row(
        "a Local policy that loses its last endpoint drops datagrams of flows that it had",
        lambda w: [to_dns(w), dns_moves(w, flags=NOT_HERE), dropped("egress", query(w), "NO_LOCAL_ENDPOINT")],
    ),
    Row(
        "a Service that is deleted takes its UDP flows along, though its endpoint serves another Service still",
        lambda w: [to_dns(w), from_dns(w), dns_moves(w, flags=DRAINING), untouched("egress", query(w))],
    ),
    Row(
        "a deleted Service's datagrams are treated as the setting for unknown ports says",
        lambda w: [
            to_dns(w),
            Services(gone=((w.dns_vip, 53, UDP),)),
            untouched("egress", query(w)),
            dns_moves(w, flags=DRAINING),
            Configure(unknown_port=Choice.DROP),
            dropped("egress", query(w), "UNKNOWN_PORT"),
        ],
    ),
    Row(
        "an unanswered flow lives for 30 s",
        lambda w: [
            to_dns(w),
            dns_moves(w, DNS_TWO),
            Wait(30),
            to_dns(w),
            Wait(31),
            to_dns(w, backend=w.backend_two),
        ],
    ),
    Row(
        "UDP idle past its time-out, 180 s for an answered flow: the answer is no longer ours, the next query is new",
        lambda w: [
            to_dns(w),
            from_dns(w),
            dns_moves(w, DNS_TWO),
            Wait(180),
            from_dns(w),
            Wait(181),
            untouched("ingress", w.udp(w.backend_one, 5353, w.client, CLIENT_PORT)),
            to_dns(w, backend=w.backend_two),
            Holds("flows", 0),
            Holds("flows_new", 2),
        ],
    ),
    Row(
        "a table under pressure loses the forward half: answers still come from the Service",
        lambda w: [to_dns(w), Lose(which=is_forward), from_dns(w), Wait(1), from_dns(w), to_dns(w), from_dns(w)],
    ),
    Row(
        "answers alone keep a flow",
        lambda w: [
            to_dns(w),
            dns_moves(w, DNS_TWO),
            *(each for _ in range(5) for each in (Wait(30), from_dns(w))),
            to_dns(w),
        ],
    ),
]


@table(ROWS)
def test_udp(row: Row, harness: Harness) -> None:
    play(row, harness)
