"""The flow hash against MurmurHash3 as published, and against a second reading of docs/datapath.md."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.hashing import flow_hash, mix, slot_of

WORDS = st.integers(0, 0xFFFFFFFF)
PORTS = st.integers(0, 0xFFFF)


def murmur3(data: bytes, seed: int) -> int:
    """MurmurHash3_x86_32 of whole words, written from Austin Appleby's description."""

    def rotated(value: int, by: int) -> int:
        return (value << by | value >> (32 - by)) & 0xFFFFFFFF

    state = seed
    for (block,) in struct.iter_unpack("<I", data):
        state ^= rotated(block * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
        state = (rotated(state, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    return mix(state ^ len(data))


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"", 0xFFFFFFFF, 0x81F16F39),
        (b"test", 0, 0xBA6BD213),
        (b"\x21\x43\x65\x87", 0, 0xF55B516B),
        (b"\xff\xff\xff\xff", 0, 0x76293B50),
    ],
)
def test_mix_is_the_finaliser_of_murmurhash3_by_its_published_vectors(data: bytes, seed: int, expected: int) -> None:
    assert murmur3(data, seed) == expected


@given(WORDS)
def test_mix_loses_nothing(word: int) -> None:
    """It can be undone step by step."""
    value = mix(word)
    value ^= value >> 16
    value = value * pow(0xC2B2AE35, -1, 1 << 32) % (1 << 32)
    value ^= value >> 13 ^ value >> 26
    value = value * pow(0x85EBCA6B, -1, 1 << 32) % (1 << 32)
    value ^= value >> 16
    assert value == word


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@given(data=st.data())
def test_flow_hash_follows_the_specification(family: socket.AddressFamily, data: st.DataObject) -> None:
    size = 4 if family == socket.AF_INET else 16
    source, destination = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    source_port, destination_port = data.draw(PORTS), data.draw(PORTS)
    protocol = data.draw(st.sampled_from([6, 17, 132]))

    state = 0x74636E61
    packed = source + destination + source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    for at in range(0, len(packed), 4):
        state = (mix(state ^ int.from_bytes(packed[at : at + 4], "big")) + 0x9E3779B9) % 2**32
    assert flow_hash(source, destination, source_port, destination_port, protocol) == mix(state ^ protocol)


def test_every_part_of_the_flow_counts() -> None:
    one, two = b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"
    flows = [
        (one, two, 1, 2, 6),
        (two, one, 1, 2, 6),
        (one, one, 1, 2, 6),
        (two, two, 1, 2, 6),
        (one, two, 2, 1, 6),
        (one, two, 1, 3, 6),
        (one, two, 3, 2, 6),
        (one, two, 1, 2, 17),
        (one, two, 1, 2, 132),
    ]
    assert len({flow_hash(*flow) for flow in flows}) == len(flows)


@given(WORDS, st.integers(1, 1 << 20))
def test_a_slot_is_the_hash_s_part_of_the_table(value: int, count: int) -> None:
    slot = slot_of(value, count)
    assert 0 <= slot < count
    assert slot == int((value * count) // 2**32)
