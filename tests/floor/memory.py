"""What 4.9 believes of a program's own loads and stores: to the stack, and to the context."""

from __future__ import annotations

from collections.abc import Iterator

from .instructions import LDX, MODE_ATOMIC, ST, STX, Instruction
from .since import FIELDS, FLOOR, MAX_STACK
from .walk import Kind, State, Value


def accesses(instruction: Instruction, state: State) -> Iterator[Value]:
    """The pointers that a load or store can go through, its own offset added."""
    if instruction.group not in (LDX, ST, STX):
        return
    register = instruction.source if instruction.group == LDX else instruction.destination
    for base in state.registers[register]:
        yield base if base.number is None else base._replace(number=base.number + instruction.offset)


def stack_faults(instruction: Instruction, state: State) -> Iterator[str]:
    """What is wrong with an access to the stack."""
    for value in accesses(instruction, state):
        if value.kind is Kind.STACK:
            yield from stack_range_faults(value.number, instruction.width)
            if value.number is not None and value.number % instruction.width:
                yield f"{instruction.width} bytes at {value.number} are not aligned"


def stack_range_faults(offset: int | None, size: int) -> Iterator[str]:
    """Whether ``size`` bytes from ``offset`` (from the frame pointer) on lie in the stack."""
    if offset is None:
        yield "the index into the stack is not constant"
    elif offset < -MAX_STACK:
        yield f"{-offset} bytes deep; there are {MAX_STACK}"
    elif offset + size > 0:
        yield f"{size} bytes at {offset} reach past the frame"


def context_faults(instruction: Instruction, state: State) -> Iterator[str]:
    """What is wrong with an access to ``__sk_buff``."""
    writes = instruction.group in (ST, STX)
    for value in accesses(instruction, state):
        if value.kind is not Kind.CONTEXT:
            continue
        if value.number != instruction.offset:
            yield "the context pointer was changed before this access"
        elif instruction.group == ST or instruction.mode == MODE_ATOMIC:
            yield "4.9 writes the context from a register only"
        else:
            yield from _field_faults(value.number, instruction.width, writes)


def _field_faults(offset: int, width: int, writes: bool) -> Iterator[str]:
    found = next((field for field in FIELDS if field.offset <= offset < field.offset + field.size), None)
    if found is None:
        yield f"__sk_buff of 4.9 has no field at {offset}"
    elif found.since > FLOOR:
        yield f"{found.name} is {found.since}"
    elif offset != found.offset or width != 4:
        yield f"{width} bytes at {offset}: 4.9 takes {found.name} whole, as 4 bytes"
    elif writes and not found.writable:
        yield f"{found.name} cannot be written"
