"""Reading captures: formats, byte orders, stamps, and where a broken one breaks."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.errors import TcnatError
from tcnat.replay.capture import Block, Capture, CaptureError, Packet, Source
from tcnat.replay.formats import open_capture, read_capture
from tests.captures.files import (
    Port,
    Shot,
    block,
    interface,
    old_packet,
    packet,
    pcap,
    pcapng,
    section,
    simple_packet,
)

NOON = 1_700_000_000_123_456_789
TO_MICROSECONDS = 1_700_000_000_123_456_000
SHOTS = (Shot(NOON, b"first frame"), Shot(NOON + 1_000_000, b"cut off", 1500), Shot(NOON + 2_000_000, b""))


def capture_of(data: bytes) -> Capture:
    return read_capture(Source("x.pcap", io.BufferedReader(io.BytesIO(data))))


def packets_of(data: bytes) -> list[Packet]:
    return list(capture_of(data).packets())


def readable_part(data: bytes) -> tuple[list[Packet], CaptureError | None]:
    """The packets before the capture breaks, and how it does."""
    packets: list[Packet] = []
    try:
        packets.extend(capture_of(data).packets())
    except CaptureError as error:
        return packets, error
    return packets, None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("nano", "time"), [(False, TO_MICROSECONDS), (True, NOON)])
def test_pcap_of_both_byte_orders_and_resolutions(order: str, nano: bool, time: int) -> None:
    packets = packets_of(pcap(SHOTS, order, nano=nano, link_type=113))
    assert [(p.number, p.time, p.data, p.length, p.link_type) for p in packets] == [
        (1, time, b"first frame", 11, 113),
        (2, time + 1_000_000, b"cut off", 1500, 113),
        (3, time + 2_000_000, b"", 0, 113),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("port", "time"),
    [
        pytest.param(Port(), TO_MICROSECONDS, id="microseconds without an option"),
        pytest.param(Port(resolution=6), TO_MICROSECONDS, id="microseconds"),
        pytest.param(Port(resolution=9), NOON, id="nanoseconds"),
        pytest.param(Port(resolution=3), 1_700_000_000_123_000_000, id="milliseconds"),
        pytest.param(Port(resolution=0), 1_700_000_000_000_000_000, id="seconds"),
        pytest.param(Port(resolution=0x80 | 1), 1_700_000_000_000_000_000, id="halves of a second"),
        pytest.param(Port(resolution=9, offset=1_600_000_000), NOON, id="nanoseconds after an offset"),
    ],
)
def test_pcapng_stamps_of_any_resolution(order: str, port: Port, time: int) -> None:
    assert packets_of(pcapng(SHOTS[:1], [port], order))[0].time == time


def test_pcapng_with_several_interfaces_keeps_each_link_type_and_resolution() -> None:
    ports = [Port(1, 9), Port(101, 6), Port(276, 3)]
    shots = [Shot(NOON, b"abc", None, number) for number in (2, 0, 1)]
    packets = packets_of(pcapng(shots, ports))
    assert [(p.link_type, p.time) for p in packets] == [
        (276, 1_700_000_000_123_000_000),
        (1, NOON),
        (101, TO_MICROSECONDS),
    ]


def test_pcapng_sections_of_both_byte_orders_in_one_file_number_their_own_interfaces() -> None:
    data = pcapng(SHOTS[:1], [Port(1)], "<") + pcapng(SHOTS[:1], [Port(101)], ">")
    assert [(p.number, p.link_type, p.time, p.order) for p in packets_of(data)] == [
        (1, 1, TO_MICROSECONDS, "<"),
        (2, 101, TO_MICROSECONDS, ">"),
    ]


def test_pcapng_simple_and_obsolete_packets_are_read() -> None:
    port = Port(snap=6)
    data = section() + interface(port) + old_packet(SHOTS[0], port) + simple_packet(Shot(0, b"longer"[:6], 99))
    assert [(p.time, p.data, p.length) for p in packets_of(data)] == [
        (TO_MICROSECONDS, b"first frame", 11),
        (TO_MICROSECONDS, b"longer", 99),
    ]


@pytest.mark.parametrize("data", [pcap(SHOTS), pcap(SHOTS, ">", nano=True), pcapng(SHOTS), pcapng(SHOTS, order=">")])
def test_records_together_are_the_file(data: bytes) -> None:
    assert b"".join(item.record for item in capture_of(data)) == data


def test_the_length_of_a_section_is_made_unknown_and_blocks_not_to_be_copied_are_left_out() -> None:
    private = block("<", 0x40000BAD, b"\0\0\0\1private!")
    statistics = block("<", 5, struct.pack("<III", 0, 1, 2))
    data = section(length=4711) + interface(Port()) + private + statistics
    assert b"".join(item.record for item in capture_of(data)) == section() + interface(Port()) + statistics


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_rewritten_pcap_record_keeps_its_stamp(order: str) -> None:
    data = pcap(SHOTS, order)
    capture = capture_of(data)
    head, first, *_ = capture
    assert isinstance(first, Packet)
    encoded = head.record + capture.encode(first, b"another", 70)
    assert encoded == pcap([Shot(NOON, b"another", 70)], order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_rewritten_pcapng_block_keeps_interface_and_stamp_and_loses_its_options(order: str) -> None:
    ports = (Port(), Port(101, 9))
    shot = Shot(NOON, b"frame", None, 1)
    data = section(order) + b"".join(interface(p, order) for p in ports) + packet(shot, ports[1], order, comment="!")
    capture = capture_of(data)
    *_, last = capture
    assert isinstance(last, Packet)
    assert capture.encode(last, b"another", 70) == packet(Shot(NOON, b"another", 70, 1), ports[1], order)


def test_rewritten_simple_and_obsolete_packets_can_be_read_again() -> None:
    port = Port()
    begin = section() + interface(port)
    for record in (simple_packet(SHOTS[0]), old_packet(SHOTS[0], port)):
        capture = capture_of(begin + record)
        *_, last = capture
        assert isinstance(last, Packet)
        again = packets_of(begin + capture.encode(last, b"other", 5))
        assert [(p.data, p.length, p.time) for p in again] == [(b"other", 5, last.time)]


@pytest.mark.parametrize("whole", [pcap(SHOTS), pcapng(SHOTS), pcapng(SHOTS, order=">")], ids=["pcap", "ng", "ng be"])
def test_a_capture_cut_off_anywhere_gives_what_is_whole_and_the_offset(whole: bytes) -> None:
    ends = {0}
    packets_before: dict[int, int] = {}
    at = count = 0
    for item in capture_of(whole):
        at += len(item.record)
        count += isinstance(item, Packet)
        ends.add(at)
        packets_before[at] = count
    for length in range(1, len(whole)):
        packets, error = readable_part(whole[:length])
        begun = max(end for end in ends if end <= length)
        assert len(packets) == packets_before.get(begun, 0), length
        if length in ends:
            assert error is None, length
        else:
            assert error is not None, length
            assert begun <= error.offset <= length, length
            assert f"broken at byte {error.offset}: " in str(error), length
            assert error.exit_code == 2


def test_gzip_is_read_and_its_breaking_off_is_told_in_uncompressed_bytes() -> None:
    whole = pcap([Shot(NOON + n, bytes(range(256)) * 8) for n in range(200)])
    squeezed = gzip.compress(whole, 1)
    assert packets_of(squeezed) == packets_of(whole)
    packets, error = readable_part(squeezed[: len(squeezed) // 2])
    assert 0 < len(packets) < 200
    assert error is not None
    assert error.offset == 24 + len(packets) * (16 + 2048) or error.offset == 24 + len(packets) * (16 + 2048) + 16
    assert "gzip" in str(error)
    damaged = bytearray(squeezed)
    damaged[len(squeezed) // 2 : len(squeezed) // 2 + 8] = b"\xff" * 8
    assert readable_part(bytes(damaged))[1] is not None


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"", 0, "empty"),
        (b"\x7fELF" + bytes(60), 0, "neither pcap nor pcapng (it begins with 7f 45 4c 46)"),
        (b"\xd4\xc3", 0, "the file ends after 2 of the 4 bytes of the magic number"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 0, 0, 0, 0, 1), 4, "pcap version 3"),
        (pcap([]) + struct.pack("<IIII", 1, 2, 1 << 30, 60), 24, "packet 1 claims 1073741824 captured bytes"),
        (pcap(SHOTS[:1])[:-3], 40, "the file ends after 8 of the 11 bytes of packet 1"),
        (section()[:8] + b"\0\0\0\0" + section()[12:], 0, "byte-order magic"),
        (section() + struct.pack("<II", 6, 0xFFFFFFF0), 28, "a block cannot have 4294967280 bytes"),
        (section() + struct.pack("<II", 6, 8), 28, "a block cannot have 8 bytes"),
        (section() + interface(Port())[:-4] + b"\1\0\0\0", 28, "two lengths differ (20 and 1)"),
        (section() + packet(SHOTS[0], Port()), 28, "packet 1 is too short, or of an interface"),
        (section() + interface(Port()) + block("<", 6, b"\0" * 8), 48, "packet 1 is too short"),
        (
            section() + interface(Port()) + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 99, 99) + b"abcd"),
            48,
            "packet 1 claims 99 bytes where 4 are",
        ),
        (section() + block("<", 1, b""), 28, "an interface block that is too short"),
    ],
)
def test_what_is_broken_is_named_with_its_offset(data: bytes, offset: int, words: str) -> None:
    _, error = readable_part(data)
    assert error is not None
    assert error.offset == offset
    assert words in str(error)
    assert str(error).startswith(f"x.pcap: broken at byte {offset}: ")


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match=r"gone\.pcap: cannot be read: No such file") as caught:
        open_capture(tmp_path / "gone.pcap")
    assert caught.value.exit_code == 2


def test_blocks_are_not_packets() -> None:
    kinds = [type(item) for item in capture_of(pcapng(SHOTS))]
    assert kinds == [Block, Block, Packet, Packet, Packet]


@given(st.binary(max_size=200), st.sampled_from([pcap(SHOTS), pcapng(SHOTS)]), st.data())
def test_garbage_breaks_a_capture_and_nothing_else(garbage: bytes, whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole)))
    readable_part(garbage)
    readable_part(whole[:at] + garbage + whole[at + len(garbage) :])
