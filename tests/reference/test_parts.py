"""The model's own parts, on cases that were worked out by hand."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from tests.reference.checksums import mend
from tests.reference.hashing import flow_hash, mix, words
from tests.reference.nat import Datapath, Verdict
from tests.reference.reading import Passed, read
from tests.reference.tables import SECOND, Backend, Ends, Limiter, Service, ServiceKey, Tables


def test_mix_is_a_permutation_with_a_fixed_point_at_zero() -> None:
    assert mix(0) == 0
    assert len({mix(value) for value in range(4096)}) == 4096


def test_mix_is_the_finalizer_of_murmur3() -> None:
    """fmix32(1), as its author's reference implementation has it."""
    assert mix(1) == 0x514E28B7


def test_addresses_are_hashed_as_big_endian_words() -> None:
    assert words("1.2.3.4") == [0x01020304]
    assert words("fd00::1:2") == [0xFD000000, 0, 0, 0x00010002]


def test_every_part_of_a_conversation_changes_its_hash() -> None:
    base = Ends("10.0.0.1", "10.0.0.2", 1, 2)
    others = [base._replace(source="10.0.0.3"), base._replace(source_port=2), base.turned()]
    assert len({flow_hash(each, 6) for each in (base, *others)} | {flow_hash(base, 17)}) == 5


@pytest.mark.parametrize(
    ("field", "was", "shall", "expected"),
    [
        (0x1000, 0x1000, 0x2000, 0x2000),
        (0x1001, 0x1000, 0x2000, 0x2001),
        (0xFFFE, 0xFFFE, 0x0000, 0x0000),
        (0xFFFF, 0x0000, 0x1234, 0x1234),
        (0x0001, 0x0002, 0x0000, 0xFFFE),
    ],
)
def test_mend_keeps_an_error(field: int, was: int, shall: int, expected: int) -> None:
    assert mend(field, was, shall) == expected


def test_the_limiter_fills_up_to_a_second() -> None:
    limiter = Limiter()
    assert [limiter.take(SECOND, 2) for _ in range(3)] == [True, True, False]
    assert [limiter.take(SECOND + SECOND // 2, 2) for _ in range(2)] == [True, False]
    assert [limiter.take(100 * SECOND, 2) for _ in range(3)] == [True, True, False]


def test_a_packet_is_put_together_as_it_was_taken_apart() -> None:
    frame = bytes(Ether() / IP(options=[b"\x94\x04\0\0"]) / TCP(options=[("MSS", 5)]) / b"payload") + b"padding"
    packet = read(frame, 4)
    assert bytes(packet) == frame
    assert (packet.payload, packet.padding) == (b"\x02\x04\x00\x05payload", b"padding")


def test_what_is_not_this_familys_is_not_read() -> None:
    with pytest.raises(Passed) as passed:
        read(bytes(Ether(type=0x86DD) / (b"\0" * 60)), 4)
    assert passed.value.reason is None


def test_a_datagram_there_and_back() -> None:
    tables = Tables(4)
    tables.services[ServiceKey("10.96.0.3", 53, 17)] = Service(frozenset({"FRONT_END"}), 0, 1, service=7)
    tables.slots[0] = 3
    tables.backends[3] = Backend("10.244.1.1", 5353, 1)
    datapath = Datapath(tables)
    question = datapath.egress(Ether() / IP(src="10.0.0.10", dst="10.96.0.3") / UDP(sport=9, dport=53) / b"?")
    assert (question.verdict, question.reason) == (Verdict.PASS, "FORWARDED")
    assert (question.packet[IP].dst, question.packet[UDP].dport) == ("10.244.1.1", 5353)
    answer = datapath.ingress(Ether() / IP(src="10.244.1.1", dst="10.0.0.10") / UDP(sport=5353, dport=9) / b"!")
    assert (answer.packet[IP].src, answer.packet[UDP].sport, answer.reason) == ("10.96.0.3", 53, "REVERSED")
    assert tables.service_counters == {7: [1, 43, 1, 43, 1]}
    again = datapath.egress(question.frame, question.tc_index)
    assert (again.verdict, again.frame, again.reason) == (Verdict.PASS, question.frame, None)
