"""Helpers of newer kernels that the programs call where they are there, and another in their place where not.

Such a pair takes the same arguments and gives the same verdicts: the number in the call is all that differs. Bytecode
is kept with the older one, so that it is every kernel's, and with a list of the calls that may be the newer one's.

Source: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno

from tcnat.assemble import calling
from tcnat.bpf import BpfError, Program
from tcnat.instructions import set_immediate, walk

REDIRECT, REDIRECT_PEER = 23, 155
STAND_INS = {REDIRECT_PEER: REDIRECT}
"""Number of a helper -> of the one that stands in for it: bpf_redirect_peer is of 5.10."""

Calls = tuple[tuple[int, int], ...]
"""(index of an instruction that calls, the helper's number)"""


def available_helpers() -> frozenset[int]:
    """Those helpers with a stand-in that this kernel lets the programs call."""
    return frozenset(number for number in STAND_INS if _is_there(number))


def with_stand_ins(code: bytes) -> tuple[bytes, Calls]:
    """The instructions with stand-ins called in the place of all newer helpers, and where those were called."""
    calls = tuple((each.number, each.calls) for each in walk(code) if each.calls in STAND_INS)
    changed = bytearray(code)
    for index, number in calls:
        set_immediate(changed, index, STAND_INS[number])
    return bytes(changed), calls


def _is_there(number: int) -> bool:
    try:
        Program.load(calling(number, 1, 0), "probe").close()
    except BpfError as error:
        if error.errno in {errno.EINVAL, errno.EACCES}:
            return False
        raise
    return True
