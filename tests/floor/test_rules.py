"""The checker finds each thing that it is there for, in programs made by hand; no root and no compiler are needed."""

from __future__ import annotations

import pytest

from .instructions import decode, encode
from .rules import MapShape, check

SHAPES = {
    "table": MapShape(type=2, key_size=4, value_size=16),
    "wide": MapShape(type=1, key_size=40, value_size=8),
    "tails": MapShape(type=3, key_size=4, value_size=4),
    "ring": MapShape(type=4, key_size=4, value_size=4),
}
CONTEXT, FRAME = 1, 10
EXIT = encode(0x95)


def move(register: int, number: int) -> bytes:
    return encode(0xB7, register, immediate=number)


def copy(register: int, other: int) -> bytes:
    return encode(0xBF, register, other)


def add(register: int, number: int) -> bytes:
    return encode(0x07, register, immediate=number)


def load(register: int, base: int, offset: int, opcode: int = 0x61) -> bytes:
    return encode(opcode, register, base, offset)


def store(base: int, offset: int, register: int, opcode: int = 0x63) -> bytes:
    return encode(opcode, base, register, offset)


def call(helper: int) -> bytes:
    return encode(0x85, immediate=helper)


def load_map(register: int = 1) -> bytes:
    return encode(0x18, register) + encode(0)


def stack_pointer(register: int, offset: int) -> bytes:
    return copy(register, FRAME) + add(register, offset)


LOOK_UP = move(2, 0) + store(FRAME, -4, 2) + load_map() + stack_pointer(2, -4) + call(1)
"""Leaves a pointer into the map's value in r0; the map is loaded by instruction 2."""
KEEP_CONTEXT = copy(6, CONTEXT)
RETURN = move(0, 0) + EXIT


def broken(code: bytes, *maps: tuple[int, str]) -> dict[str, list[int]]:
    """Rule -> the instructions that break it."""
    found: dict[str, list[int]] = {}
    for violation in check(code, dict(maps), SHAPES):
        found.setdefault(violation.rule, []).append(violation.at)
    return found


GOOD: dict[str, tuple[bytes, tuple[tuple[int, str], ...]]] = {
    "the smallest program": (RETURN, ()),
    "4096 instructions": (move(0, 0) * 4095 + EXIT, ()),
    "a look-up, its value read where it is": (LOOK_UP + load(1, 0, 12) + RETURN, ((2, "table"),)),
    "a value's pointer moved and used at once": (LOOK_UP + add(0, 8) + load(1, 0, 0) + RETURN, ((2, "table"),)),
    "a value's pointer spilled, filled and used as it is": (
        LOOK_UP + store(FRAME, -16, 0, 0x7B) + load(3, FRAME, -16, 0x79) + load(1, 3, 12) + RETURN,
        ((2, "table"),),
    ),
    "a jump back that closes no loop": (
        encode(0x05, offset=2) + RETURN + encode(0x05, offset=-3),
        (),
    ),
    "the deepest stack": (move(2, 0) + store(FRAME, -512, 2, 0x7B) + RETURN, ()),
    "XADD": (LOOK_UP + move(1, 1) + encode(0xDB, 0, 1) + RETURN, ((2, "table"),)),
    "the old jumps": (move(2, 1) + encode(0x25, 2, offset=0, immediate=3) + encode(0x75, 2) + RETURN, ()),
    "fields of 4.9 read, and those that can be written, written": (
        load(2, CONTEXT, 0) + load(3, CONTEXT, 72) + store(CONTEXT, 44, 2) + store(CONTEXT, 48, 2) + RETURN,
        (),
    ),
    "a context pointer that lay on the stack": (
        store(FRAME, -8, CONTEXT, 0x7B) + load(3, FRAME, -8, 0x79) + load(2, 3, 76) + RETURN,
        (),
    ),
    "bytes loaded to the stack, of a size that two ways agree on": (
        move(4, 20) + encode(0x15, 2, offset=1) + move(4, 40) + move(2, 0) + stack_pointer(3, -40) + call(26) + RETURN,
        (),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_said_of(name: str) -> None:
    code, maps = GOOD[name]
    assert broken(code, *maps) == {}


BAD: dict[str, tuple[str, int, bytes, tuple[tuple[int, str], ...]]] = {
    "4097 instructions": ("size", 4097, move(0, 0) * 4096 + EXIT, ()),
    "a loop": ("backward jump", 1, move(0, 0) + encode(0x55, 0, offset=-2, immediate=9) + EXIT, ()),
    "an instruction that jumps to itself": ("backward jump", 0, encode(0x05, offset=-1) + RETURN, ()),
    "a loop in code that a jump back leads to": (
        "backward jump",
        4,
        encode(0x05, offset=2) + RETURN + encode(0x05, offset=0) + encode(0x15, 1, offset=-2) + encode(0x05, offset=-5),
        (),
    ),
    "a jump past the end": ("jump target", 0, encode(0x15, 1, offset=7) + RETURN, ()),
    "a jump into a 64-bit load": (
        "jump target",
        0,
        encode(0x15, 1, offset=1) + encode(0x18, 2) + encode(0) + RETURN,
        (),
    ),
    "a 32-bit jump": ("instruction", 1, move(2, 0) + encode(0x16, 2) + RETURN, ()),
    "a 32-bit jump always": ("instruction", 0, encode(0x06) + RETURN, ()),
    "a jump if less (4.14)": ("instruction", 1, move(2, 0) + encode(0xA5, 2) + RETURN, ()),
    "a jump if less or equal, by register": ("instruction", 1, move(2, 0) + encode(0xBD, 2, 2) + RETURN, ()),
    "a jump if signed less": ("instruction", 1, move(2, 0) + encode(0xC5, 2) + RETURN, ()),
    "a 32-bit arithmetic shift": ("instruction", 1, move(2, 0) + encode(0xC4, 2, immediate=3) + RETURN, ()),
    "a byte swap of the new kind": ("instruction", 1, move(2, 0) + encode(0xD7, 2, immediate=16) + RETURN, ()),
    "a signed division": ("instruction", 1, move(2, 8) + encode(0x37, 2, offset=1, immediate=2) + RETURN, ()),
    "a sign-extending move": ("instruction", 1, move(2, 8) + encode(0xBF, 2, 2, offset=8) + RETURN, ()),
    "a sign-extending load": ("instruction", 1, store(FRAME, -4, 1) + load(2, FRAME, -4, 0x81) + RETURN, ()),
    "an atomic exchange": (
        "atomic",
        8,
        LOOK_UP + move(1, 1) + encode(0xDB, 0, 1, immediate=0xE1) + RETURN,
        ((2, "table"),),
    ),
    "an atomic OR": ("atomic", 8, LOOK_UP + move(1, 1) + encode(0xC3, 0, 1, immediate=0x40) + RETURN, ((2, "table"),)),
    "a call of a function of one's own": ("call", 0, encode(0x85, source=1, immediate=1) + RETURN + RETURN, ()),
    "a call of a kernel function": ("call", 0, encode(0x85, source=2, immediate=99) + RETURN, ()),
    "a helper of 4.18": ("helper", 0, call(69) + RETURN, ()),
    "a helper that only tracing has": ("helper", 0, call(4) + RETURN, ()),
    "a helper that nobody knows": ("helper", 0, call(9999) + RETURN, ()),
    "the address of a constant table": ("constant data", 0, encode(0x18, 1, 2) + encode(0) + RETURN, ()),
    "a map that is not the project's": ("constant data", 0, load_map() + RETURN, ((0, ".rodata"),)),
    "a map without a name": ("constant data", 0, encode(0x18, 1, 1) + encode(0) + RETURN, ()),
    "a stack of 520 bytes": ("stack", 1, move(2, 0) + store(FRAME, -520, 2, 0x7B) + RETURN, ()),
    "a key that begins 516 bytes deep": (
        "argument",
        4,
        load_map() + stack_pointer(2, -516) + call(1) + RETURN,
        ((0, "table"),),
    ),
    "a key that reaches past the frame": (
        "argument",
        4,
        load_map() + stack_pointer(2, -8) + call(1) + RETURN,
        ((0, "wide"),),
    ),
    "a stack access that is not aligned": ("stack", 1, move(2, 0) + store(FRAME, -6, 2, 0x63) + RETURN, ()),
    "an index into the stack that is not constant": (
        "stack",
        4,
        load(3, CONTEXT, 0) + copy(2, FRAME) + encode(0x0F, 2, 3) + move(4, 0) + store(2, -8, 4, 0x7B) + RETURN,
        (),
    ),
    "a field of 4.14": ("context", 0, load(2, CONTEXT, 88) + RETURN, ()),
    "the time stamp (5.0)": ("context", 0, load(2, CONTEXT, 152, 0x79) + RETURN, ()),
    "a place that no field has": ("context", 0, load(2, CONTEXT, 400) + RETURN, ()),
    "one byte of a field": ("context", 0, load(2, CONTEXT, 16, 0x71) + RETURN, ()),
    "half of a field, by a context pointer that was copied": (
        "context",
        1,
        KEEP_CONTEXT + load(2, 6, 18, 0x69) + RETURN,
        (),
    ),
    "a field that cannot be written": ("context", 1, move(2, 0) + store(CONTEXT, 0, 2) + RETURN, ()),
    "a number written to the context": ("context", 0, encode(0x62, CONTEXT, 0, 8, 1) + RETURN, ()),
    "a context pointer that was moved": ("context", 2, KEEP_CONTEXT + add(6, 16) + load(2, 6, 0) + RETURN, ()),
    "a map's value as key": (
        "argument",
        10,
        LOOK_UP + load_map() + copy(2, 0) + call(1) + RETURN,
        ((2, "table"), (7, "table")),
    ),
    "a map's value as memory": (
        "argument",
        13,
        KEEP_CONTEXT + LOOK_UP + copy(1, 6) + move(2, 0) + copy(3, 0) + move(4, 4) + move(5, 0) + call(9) + RETURN,
        ((3, "table"),),
    ),
    "a size that is not constant": (
        "argument",
        4,
        load(4, CONTEXT, 0) + move(2, 0) + stack_pointer(3, -64) + call(26) + RETURN,
        (),
    ),
    "more bytes than there is stack": (
        "argument",
        4,
        move(4, 65) + move(2, 0) + stack_pointer(3, -64) + call(26) + RETURN,
        (),
    ),
    "an argument that holds nothing": ("argument", 1, call(5) + call(40) + RETURN, ()),
    "something else than the context": ("argument", 2, move(1, 0) + move(2, 0) + call(39) + RETURN, ()),
    "a flag of 4.10": (
        "argument",
        4,
        move(2, 0) + move(3, 0) + move(4, 0) + move(5, 0x40) + call(11) + RETURN,
        (),
    ),
    "a map of a type that cannot be looked up": (
        "argument",
        6,
        move(2, 0) + store(FRAME, -4, 2) + load_map() + stack_pointer(2, -4) + call(1) + RETURN,
        ((2, "tails"),),
    ),
    "a tail call through what is no prog array": (
        "argument",
        3,
        load_map(2) + move(3, 0) + call(12) + RETURN,
        ((0, "table"),),
    ),
    "a value's pointer spilled and then moved": (
        "map value",
        10,
        LOOK_UP + store(FRAME, -16, 0, 0x7B) + load(3, FRAME, -16, 0x79) + add(3, 8) + load(1, 3, 0) + RETURN,
        ((2, "table"),),
    ),
    "a value's pointer moved and then spilled": (
        "map value",
        10,
        LOOK_UP + add(0, 8) + store(FRAME, -16, 0, 0x7B) + load(3, FRAME, -16, 0x79) + load(1, 3, 0) + RETURN,
        ((2, "table"),),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_it_finds(name: str) -> None:
    rule, index, code, maps = BAD[name]
    assert index in broken(code, *maps).get(rule, [])


def test_the_size_that_one_way_makes_variable_is_found_where_ways_meet() -> None:
    code = move(4, 20) + encode(0x15, 2, offset=1) + load(4, CONTEXT, 0) + move(2, 0) + stack_pointer(3, -40) + call(26)
    assert broken(code + RETURN) == {"argument": [6]}


def test_code_that_nothing_leads_to_is_held_against_the_table_too() -> None:
    assert broken(RETURN + encode(0x16, 2) + RETURN) == {"instruction": [2]}


def test_half_a_64_bit_load_is_no_program() -> None:
    with pytest.raises(ValueError, match="half a 64-bit load"):
        decode(encode(0x18, 1))


def test_bytes_that_are_no_whole_instructions_are_no_program() -> None:
    with pytest.raises(ValueError, match="whole number"):
        decode(EXIT + b"\0")
