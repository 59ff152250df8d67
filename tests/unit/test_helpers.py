"""What is called in the place of newer helpers, and where these come back."""

from __future__ import annotations

import struct

import pytest

from tcnat import helpers
from tcnat.assemble import passing
from tcnat.bytecode import ProgramCode, bytecode
from tcnat.helpers import REDIRECT, REDIRECT_PEER, STAND_INS, available_helpers, with_stand_ins
from tcnat.layout import Family

CALL, LOAD_WIDE, PSEUDO_CALL = 0x85, 0x18, 0x10


def instruction(code: int, registers: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, registers, 0, immediate)


def program(*calls: int) -> bytes:
    return b"".join([*(instruction(CALL, immediate=number) for number in calls), passing()])


def test_newer_helpers_are_called_where_they_are_there_alone() -> None:
    plain, newer = with_stand_ins(program(1, REDIRECT_PEER, REDIRECT))
    assert plain == program(1, REDIRECT, REDIRECT)
    assert newer == ((1, REDIRECT_PEER),)
    code = ProgramCode("made up", plain, (), newer)
    assert code.relocated({}) == plain
    assert code.relocated({}, {REDIRECT_PEER}) == program(1, REDIRECT_PEER, REDIRECT)


def test_what_only_looks_like_a_call_stays() -> None:
    """The second half of a wide load, and a call of another kind."""
    code = instruction(LOAD_WIDE) + instruction(CALL, immediate=REDIRECT_PEER)
    code += instruction(CALL, PSEUDO_CALL, REDIRECT_PEER)
    assert with_stand_ins(code) == (code, ())


@pytest.mark.parametrize("family", Family)
def test_the_programs_call_them(family: Family) -> None:
    """Or nothing here would be needed."""
    assert {number for each in bytecode(family).programs for _, number in each.newer} == set(STAND_INS)


def test_a_helper_that_no_kernel_has_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "STAND_INS", {9999: REDIRECT})
    assert available_helpers() == frozenset()
