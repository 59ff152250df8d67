"""One packet's way through replay, past programs that the test plays itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, CookedLinux, Dot1Q, Ether
from scapy.packet import Packet as Scapy
from scapy.packet import Raw

from tcnat.layout import Family
from tcnat.model import parse_address
from tcnat.replay.capture import Packet
from tcnat.replay.engine import Engine, Ran, UnsupportedLinkType
from tcnat.replay.fate import Fate, Party
from tcnat.replay.side import FindSides, Side, always
from tests.unit.replay_fates import POD, REASONS, WEB, WEB_ADDRESS

CLIENT = "10.0.0.1"
SERVICE, BACKEND = "10.96.0.10", "10.0.1.2"
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
REQUEST = ETHER / IP(src=CLIENT, dst=SERVICE) / TCP(sport=4000, dport=80) / Raw(b"request" * 10)
SENT_ON = ETHER / IP(src=CLIENT, dst=BACKEND) / TCP(sport=4000, dport=8080) / Raw(b"request" * 10)
REPLY = ETHER / IP(src=BACKEND, dst=CLIENT) / TCP(sport=8080, dport=4000) / Raw(b"reply")
GIVEN_BACK = ETHER / IP(src=SERVICE, dst=CLIENT) / TCP(sport=80, dport=4000) / Raw(b"reply")

EGRESS = always(Side.EGRESS)
Play = Callable[[Side, bytes], Ran]


class Stage:
    """A datapath that does what the test says, and remembers what it was given."""

    def __init__(self, play: Play) -> None:
        self.calls: list[tuple[Side, Family, bytes, int, bool]] = []
        self._play = play

    def run(self, side: Side, family: Family, frame: bytes, time: int, plain: bool) -> Ran:
        self.calls.append((side, family, frame, time, plain))
        return self._play(side, frame)


def nothing(side: Side, frame: bytes) -> Ran:
    return (frame, None, False)


def becomes(packet: Scapy, reason: str, *, sent_back: bool = False) -> Play:
    return lambda side, frame: (bytes(packet), REASONS[reason], sent_back)


def replay(
    play: Play, data: bytes, *, length: int = 0, link_type: int = 1, sides: FindSides = EGRESS
) -> tuple[Fate, Stage]:
    stage = Stage(play)
    engine = Engine(stage, sides, {(WEB_ADDRESS.address, 80, 6): WEB})
    return engine.replay(Packet(7, 1234, link_type, data, length or len(data), data, "<")), stage


def test_a_request_is_sent_on_to_a_backend() -> None:
    fate, stage = replay(becomes(SENT_ON, "forwarded"), bytes(REQUEST))
    assert stage.calls == [(Side.EGRESS, Family.IPV4, bytes(REQUEST), 1234, True)]
    assert (fate.data, fate.length, fate.verdict, fate.side) == (bytes(SENT_ON), len(SENT_ON), "rewrite", Side.EGRESS)
    assert (fate.front_end, fate.backend, fate.service, fate.protocol) == (WEB_ADDRESS, POD, WEB, 6)


def test_a_reply_gets_the_front_end_back() -> None:
    fate, _ = replay(becomes(GIVEN_BACK, "reversed"), bytes(REPLY), sides=always(Side.INGRESS))
    assert (fate.front_end, fate.backend, fate.service) == (WEB_ADDRESS, POD, WEB)
    assert fate.data == bytes(GIVEN_BACK)


def test_what_goes_straight_to_a_backend_has_no_front_end() -> None:
    fate, _ = replay(becomes(SENT_ON, "forwarded"), bytes(SENT_ON))
    assert (fate.front_end, fate.backend, fate.service, fate.changed) == (None, POD, None, False)


def test_a_dropped_packet_does_not_leave() -> None:
    fate, _ = replay(lambda side, frame: (None, REASONS["no_local_endpoint"], False), bytes(REQUEST))
    assert (fate.data, fate.verdict, fate.front_end, fate.backend, fate.service) == (
        None,
        "drop",
        WEB_ADDRESS,
        None,
        WEB,
    )


def test_an_answer_goes_back_in_place_of_the_request() -> None:
    reset = ETHER / IP(src=SERVICE, dst=CLIENT) / TCP(sport=80, dport=4000, flags="RA")
    fate, _ = replay(becomes(reset, "reject_no_endpoint", sent_back=True), bytes(REQUEST))
    assert (fate.data, fate.length, fate.sent_back) == (bytes(reset), len(reset), True)
    assert (fate.verdict, fate.front_end, fate.service) == ("answer", WEB_ADDRESS, WEB)


def test_an_icmp_error_tells_front_end_and_backend_by_its_quote() -> None:
    def error(quoted: Scapy) -> Scapy:
        return ETHER / IP(src="10.0.9.9", dst=CLIENT) / ICMP(type=3, code=4) / quoted[IP]

    fate, _ = replay(becomes(error(REQUEST), "icmp_reversed"), bytes(error(SENT_ON)), sides=always(Side.INGRESS))
    assert (fate.front_end, fate.backend, fate.service) == (WEB_ADDRESS, POD, WEB)

    def complaint(source: str, quoted: Scapy) -> Scapy:
        return ETHER / IP(src=CLIENT, dst=source) / ICMP(type=3, code=3) / quoted[IP]

    fate, _ = replay(becomes(complaint(BACKEND, REPLY), "icmp_forwarded"), bytes(complaint(SERVICE, GIVEN_BACK)))
    assert (fate.front_end, fate.backend, fate.service) == (WEB_ADDRESS, POD, WEB)


def test_what_no_program_counts_is_untouched() -> None:
    fate, _ = replay(nothing, bytes(REQUEST))
    assert (fate.reason.name, fate.changed, fate.length) == ("untouched", False, len(REQUEST))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(ETHER / ARP(), "not_ip", id="ARP"),
        pytest.param(ETHER / Dot1Q(vlan=5) / REQUEST[IP], "not_ip", id="a VLAN tag"),
        pytest.param(Raw(bytes(9)), "not_ip", id="half an Ethernet header"),
    ],
)
def test_what_is_not_ip_meets_no_program(frame: Scapy, reason: str) -> None:
    fate, stage = replay(nothing, bytes(frame))
    assert (fate.reason.name, fate.changed, stage.calls) == (reason, False, [])


def test_what_is_not_a_clients_meets_no_program() -> None:
    fate, stage = replay(nothing, bytes(REQUEST), sides=lambda source, destination: ())
    assert (fate.reason.name, fate.side, fate.changed, stage.calls) == ("not_a_clients", None, False, [])


def test_between_two_clients_ingress_has_its_turn_when_egress_had_nothing_to_do() -> None:
    def only_ingress(side: Side, frame: bytes) -> Ran:
        return (bytes(GIVEN_BACK), REASONS["reversed"], False) if side is Side.INGRESS else (frame, None, False)

    def both(source: bytes, destination: bytes) -> tuple[Side, ...]:
        return Side.EGRESS, Side.INGRESS

    fate, stage = replay(only_ingress, bytes(REPLY), sides=both)
    assert [call[0] for call in stage.calls] == [Side.EGRESS, Side.INGRESS]
    assert (fate.side, fate.front_end) == (Side.INGRESS, WEB_ADDRESS)
    fate, stage = replay(becomes(SENT_ON, "forwarded"), bytes(REQUEST), sides=both)
    assert [call[0] for call in stage.calls] == [Side.EGRESS]


def test_a_frame_of_another_link_type_comes_back_with_its_own_header() -> None:
    cooked = CookedLinux(pkttype=4, lladdrtype=1, lladdrlen=6, src=b"\x02\0\0\0\0\x09\0\0")
    fate, stage = replay(becomes(SENT_ON, "forwarded"), bytes(cooked / REQUEST[IP]), link_type=113)
    assert stage.calls[0][2][12:] == bytes(REQUEST)[12:]
    assert fate.data == bytes(cooked / SENT_ON[IP])
    assert fate.length == len(cooked / SENT_ON[IP])
    fate, _ = replay(becomes(SENT_ON, "forwarded"), bytes(REQUEST[IP]), link_type=101)
    assert fate.data == bytes(SENT_ON[IP])


def test_a_packet_captured_in_part_is_filled_up_for_the_program_and_cut_again() -> None:
    whole, sent_on = bytes(REQUEST), bytes(SENT_ON)
    part = len(whole) - 60

    def play(side: Side, frame: bytes) -> Ran:
        return sent_on[:part] + bytes(60), REASONS["forwarded"], False

    fate, stage = replay(play, whole[:part], length=len(whole))
    assert stage.calls[0][2] == whole[:part] + bytes(60)
    assert (fate.data, fate.length) == (sent_on[:part], len(sent_on))


def test_an_answer_to_a_packet_captured_in_part_is_whole() -> None:
    reset = ETHER / IP(src=SERVICE, dst=CLIENT) / TCP(sport=80, dport=4000, flags="RA")
    fate, _ = replay(becomes(reset, "reject_no_endpoint"), bytes(REQUEST)[:60], length=len(REQUEST))
    assert (fate.data, fate.length) == (bytes(reset), len(reset))


def test_a_packet_without_all_of_its_headers_is_left_as_it_is() -> None:
    for length in range(14, 54):
        fate, stage = replay(nothing, bytes(REQUEST)[:length], length=len(REQUEST))
        assert (fate.reason.name, fate.changed, stage.calls) == ("cut_off", False, []), length
    assert replay(nothing, bytes(REQUEST)[:54], length=len(REQUEST))[0].reason.name == "untouched"


def test_a_length_that_no_device_takes_is_not_believed() -> None:
    fate, stage = replay(nothing, bytes(REQUEST), length=1 << 31)
    assert (fate.reason.name, fate.changed, stage.calls) == ("too_long", False, [])


def test_an_unknown_link_type_is_named() -> None:
    with pytest.raises(UnsupportedLinkType, match=r"packet 7 has link type 105; replay knows Ethernet \(1\), raw IP"):
        replay(nothing, bytes(REQUEST), link_type=105)


def test_ports_that_a_packet_does_not_tell_are_left_open() -> None:
    fragment = ETHER / IP(src=CLIENT, dst=SERVICE, frag=185, proto=17) / Raw(b"later")
    sent_on = ETHER / IP(src=CLIENT, dst=BACKEND, frag=185, proto=17) / Raw(b"later")
    fate, _ = replay(becomes(sent_on, "fragment_forwarded"), bytes(fragment))
    assert (fate.front_end, fate.backend) == (Party(parse_address(SERVICE), 0), Party(parse_address(BACKEND), 0))
    assert (str(fate.front_end), str(fate.backend), fate.service) == (SERVICE, BACKEND, None)


def test_malformed_packets_have_a_reason_and_no_parties() -> None:
    broken = ETHER / IP(src=CLIENT, dst=SERVICE, ihl=4) / UDP()
    fate, stage = replay(becomes(broken, "malformed_ip"), bytes(broken))
    assert (fate.verdict, fate.front_end, fate.changed, stage.calls[0][4]) == ("pass", None, False, False)
