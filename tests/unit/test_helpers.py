"""What is called in the place of helpers that a kernel lacks."""

from __future__ import annotations

import struct

import pytest

from tcnat import helpers
from tcnat.assemble import passing
from tcnat.bpf import INSTRUCTION_SIZE
from tcnat.bytecode import bytecode
from tcnat.helpers import REDIRECT, REDIRECT_PEER, STAND_INS, lacking_helpers, with_stand_ins
from tcnat.layout import Family

CALL, LOAD_WIDE, PSEUDO_CALL = 0x85, 0x18, 0x10


def instruction(code: int, registers: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, registers, 0, immediate)


def test_only_calls_of_what_is_lacking_change() -> None:
    before = instruction(CALL, immediate=1), instruction(CALL, immediate=REDIRECT_PEER), passing()
    after = instruction(CALL, immediate=1), instruction(CALL, immediate=REDIRECT), passing()
    assert with_stand_ins(b"".join(before), {REDIRECT_PEER}) == b"".join(after)
    assert with_stand_ins(b"".join(before), ()) == b"".join(before)


def test_what_only_looks_like_a_call_stays() -> None:
    """The second half of a wide load, and a call of another kind."""
    code = instruction(LOAD_WIDE) + instruction(CALL, immediate=REDIRECT_PEER)
    code += instruction(CALL, PSEUDO_CALL, REDIRECT_PEER)
    assert with_stand_ins(code, {REDIRECT_PEER}) == code


@pytest.mark.parametrize("family", Family)
def test_programs_without_them_call_nothing_that_is_lacking(family: Family) -> None:
    """And they do call it where it is there, or nothing here would be needed."""
    called = dict.fromkeys(STAND_INS, 0)
    for program in bytecode(family).programs:
        assert len(program.instructions) % INSTRUCTION_SIZE == 0
        for number in STAND_INS:
            call = instruction(CALL, immediate=number)
            called[number] += program.instructions.count(call)
            assert call not in with_stand_ins(program.instructions, STAND_INS)
    assert all(called.values())


def test_a_helper_that_no_kernel_has_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "STAND_INS", {9999: REDIRECT})
    assert lacking_helpers() == {9999}
