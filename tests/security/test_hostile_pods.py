"""A hostile pod's packets, claim by claim of docs/security.md. A row's sentence is the claim."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.packets.harness import Harness, on_one_cpu
from tests.packets.pieces import fragments
from tests.packets.runner import Verdict
from tests.packets.table import Holds, Row, Sent, Step, Wait, dropped, play, reversed_, table, untouched
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web, web_moves
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import WEB_TWO

pytestmark = pytest.mark.root

BOTH_FAMILIES = pytest.mark.parametrize("family", [4, 6])
LONG = b"0123456789abcdef" * 20
SMALL_TABLE = 64
"""Entries of a table that a hostile pod fills four times over."""


def far_reset(w: Wire) -> list[Step]:
    """Its sequence number is far from what the backend has acknowledged; the connection is idle for an hour then."""
    return [
        *opened(w),
        to_web(w, "PA", seq=1001, ack=5001, payload=b"data"),
        from_web(w, "A", seq=5001, ack=1005),
        web_moves(w, WEB_TWO),
        to_web(w, "R", seq=1005 + (1 << 24)),
        Wait(3500),
        to_web(w, "PA", seq=1005, ack=5001, payload=b"still"),
        from_web(w, "PA", payload=b"here"),
    ]


def near_reset_and_fin(w: Wire) -> list[Step]:
    """What they shorten is the time that an idle flow is remembered; forgotten, it comes back the same."""
    return [
        *opened(w),
        to_web(w, "FA", seq=7),
        Wait(3700),
        to_web(w, "PA", payload=b"still"),
        from_web(w, "PA", payload=b"here"),
        to_web(w, "R", seq=1001),
        Wait(11),
        to_web(w, "PA", payload=b"still"),
        from_web(w, "PA", payload=b"here"),
    ]


def spoofed_source(w: Wire) -> list[Step]:
    """The answer goes to the spoofed address; a packet of the spoofer's own port is another flow."""
    victim = w.other_client
    asked = Sent(
        "egress",
        w.udp(victim, 5000, w.dns_vip, 53),
        w.udp(victim, 5000, w.backend_one, 5353),
        Verdict.PASS,
        "FORWARDED",
    )
    answered = reversed_(w.udp(w.backend_one, 5353, victim, 5000), w.udp(w.dns_vip, 53, victim, 5000))
    to_the_spoofer = untouched("ingress", w.udp(w.backend_one, 5353, w.client, 5000))
    return [asked, answered, to_the_spoofer]


def forged_replies(w: Wire) -> list[Step]:
    """Each has one part of the flow's reply tuple wrong."""
    return [
        *opened(w),
        untouched("ingress", w.tcp(w.stranger, 8080, w.client, CLIENT_PORT, "PA")),
        untouched("ingress", w.tcp(w.backend_one, 8081, w.client, CLIENT_PORT, "PA")),
        untouched("ingress", w.tcp(w.backend_one, 8080, w.client, CLIENT_PORT + 1, "PA")),
        untouched("ingress", w.tcp(w.backend_two, 8080, w.client, CLIENT_PORT, "PA")),
        untouched("ingress", w.udp(w.backend_one, 8080, w.client, CLIENT_PORT)),
        Holds("flows", 2),
        from_web(w, "PA", payload=b"the real one"),
    ]


def forged_reply_from_the_service_address(w: Wire) -> list[Step]:
    return [*opened(w), untouched("ingress", w.tcp(w.web_vip, 80, w.client, CLIENT_PORT, "PA"))]


def error_about_nothing(w: Wire) -> list[Step]:
    """Quotes of packets that nobody sent."""
    quotes = (
        w.tcp(w.client, CLIENT_PORT + 1, w.backend_one, 8080, "PA"),
        w.tcp(w.client, CLIENT_PORT, w.backend_two, 8080, "PA"),
        w.tcp(w.client, CLIENT_PORT, w.stranger, 8080, "PA"),
        w.udp(w.client, CLIENT_PORT, w.backend_one, 8080),
    )
    errors = [w.error(kind, w.stranger, w.client, w.quoted(q)) for q in quotes for kind in ("unreachable", "too big")]
    return [*opened(w), *(untouched("ingress", each, "ICMP_UNKNOWN_FLOW") for each in errors), Holds("flows", 2)]


def error_about_a_flow(w: Wire) -> list[Step]:
    """It is told to the client, who judges it by its sequence number; the flow goes on where it was."""
    data = to_web(w, "PA", payload=b"data")
    forged = w.error("unreachable", w.stranger, w.client, w.quoted(data.becomes, 8))
    told = w.error("unreachable", w.stranger, w.client, w.quoted(data.packet, 8))
    return [
        *opened(w),
        web_moves(w, WEB_TWO),
        reversed_(forged, told, "ICMP_REVERSED"),
        Holds("flows", 2),
        to_web(w, "PA", payload=b"still"),
        from_web(w, "PA", payload=b"here"),
    ]


def later_fragment_of_another(w: Wire) -> list[Step]:
    """Same identification and protocol, another sender: another packet."""
    whole = w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, payload=LONG)
    first, *_ = fragments(whole, 64, 128)
    first_out, *_ = fragments(w.udp(w.client, CLIENT_PORT, w.backend_one, 5353, payload=LONG), 64, 128)
    _, hostile, _ = fragments(w.udp(w.other_client, CLIENT_PORT, w.dns_vip, 53, payload=LONG), 64, 128)
    return [
        Sent("egress", first, first_out, Verdict.PASS, "FORWARDED"),
        dropped("egress", hostile, "FRAGMENT_BEFORE_FIRST"),
    ]


def tiny_first_fragment(w: Wire) -> list[Step]:
    """The transport header does not fit into the first fragment: no port is guessed, and nothing follows it."""
    tiny, *rest = fragments(w.tcp(w.client, CLIENT_PORT, w.web_vip, 80, payload=LONG), 8, 128)
    return [
        untouched("egress", tiny, "MALFORMED_TRANSPORT"),
        *(dropped("egress", each, "FRAGMENT_BEFORE_FIRST") for each in rest),
        Holds("flows_new", 0),
        Holds("fragments", 0),
    ]


ROWS = (
    Row("a spoofed source gets its owner the answer, not the spoofer", spoofed_source),
    Row("a spoofed reset with a sequence number that is far off changes nothing", far_reset),
    Row("spoofed FINs and near resets move no flow while the endpoints stand", near_reset_and_fin),
    Row("a forged reply with any part of the tuple wrong is never told as the Service's", forged_replies),
    Row(
        "a packet that claims to be from the Service's own address is let alone", forged_reply_from_the_service_address
    ),
    Row("an ICMP error about no flow passes untouched and makes nothing", error_about_nothing),
    Row("an ICMP error about a flow is told in the client's terms and changes nothing", error_about_a_flow),
    Row("a later fragment does not borrow the ports of another sender's first one", later_fragment_of_another),
    Row("a first fragment without its transport header reaches no backend, nor does what follows", tiny_first_fragment),
)


@table(ROWS)
def test_claim(row: Row, harness: Harness) -> None:
    play(row, harness)


@pytest.fixture
def small(family: int) -> Iterator[Harness]:
    sizes = dict.fromkeys(("flows", "flows_new", "fragments"), SMALL_TABLE)
    made = Harness.load(family, sizes)
    yield made
    made.close()


@BOTH_FAMILIES
def test_a_client_that_fills_the_table_of_open_flows_moves_no_flow_of_others_while_the_endpoints_stand(
    family: int, small: Harness
) -> None:
    """LRU pushes the victim's entries out; consistent hashing brings them back the same."""
    w = Wire(family)
    small.reset()
    with on_one_cpu():
        for step in opened(w):
            step.play(small)
        hostile = 4 * SMALL_TABLE
        for number in range(hostile):
            sport = 20000 + number
            small.egress(bytes(w.tcp(w.other_client, sport, w.web_vip, 80)))
            small.ingress(bytes(w.tcp(w.backend_one, 8080, w.other_client, sport, "SA")))
        assert len(small.entries("flows")) <= SMALL_TABLE
        for step in (to_web(w, "PA", payload=b"still"), from_web(w, "PA", payload=b"here")):
            step.play(small)


@BOTH_FAMILIES
def test_a_flood_of_first_fragments_costs_others_a_packet_and_sends_none_to_the_wrong_place(
    family: int, small: Harness
) -> None:
    w = Wire(family)
    small.reset()
    first, later, _ = fragments(w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, payload=LONG), 64, 128)
    with on_one_cpu():
        assert small.egress(bytes(first)).verdict is Verdict.PASS
        for number in range(4 * SMALL_TABLE):
            flood, *_ = fragments(w.udp(w.other_client, 7, w.dns_vip, 53, payload=LONG), 64, 128, number=number)
            small.egress(bytes(flood))
        assert len(small.entries("fragments")) <= SMALL_TABLE
        dropped("egress", later, "FRAGMENT_BEFORE_FIRST").play(small)
        for step in (to_dns(w), from_dns(w)):
            step.play(small)


def destination(frame: bytes, family: int) -> str:
    """Whither a frame goes."""
    return str(Ether(frame)[IP if family == 4 else IPv6].dst)


@BOTH_FAMILIES
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_pods_packet_goes_where_it_was_sent_or_to_a_backend_and_nowhere_else(
    family: int, harness: Harness, data: st.DataObject
) -> None:
    w = Wire(family)
    harness.reset()
    addresses = [w.web_vip, w.dns_vip, w.sctp_vip, w.sticky_vip, w.empty_vip, w.local_vip, w.backend_one, w.stranger]
    backends = {endpoint.address for endpoint in harness.world.endpoints}
    sent = data.draw(st.sampled_from(addresses))
    port = data.draw(st.sampled_from([0, 53, 80, 443, 3868, 5353, 8080, 65535]))
    packet: Packet = data.draw(
        st.sampled_from(
            [
                w.tcp(w.client, 1, sent, port, data.draw(st.sampled_from(["S", "A", "R", "F", ""]))),
                w.udp(w.client, 1, sent, port, payload=data.draw(st.binary(max_size=64))),
                w.echo(w.client, sent),
                w.frame(w.ip(w.client, sent) / Raw(data.draw(st.binary(max_size=64))), from_client=True),
            ]
        )
    )
    run = harness.egress(bytes(packet))
    if run.verdict is Verdict.PASS and run.frame is not None:
        assert destination(run.frame, family) in {sent, *backends}
