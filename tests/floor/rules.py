"""A program held against the floor: each rule yields what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from . import arguments, memory
from .instructions import (
    ALU,
    ALU64,
    CALL,
    EXIT,
    JMP,
    JMP32,
    LD,
    LDX,
    LOAD_WIDE,
    MODE_ABS,
    MODE_ATOMIC,
    MODE_IND,
    MODE_MEM,
    ST,
    STX,
    XADD,
    Instruction,
    decode,
    slots,
)
from .since import HELPERS, MAX_INSTRUCTIONS, NEWER_HELPERS, OPERATIONS, PSEUDO_CALLS, PSEUDO_LOADS
from .walk import Kind, State, trace, walk


class MapShape(NamedTuple):
    """What a rule has to know of a map: its type's number, and bytes of key and value."""

    type: int
    key_size: int
    value_size: int


class Violation(NamedTuple):
    """A rule that is broken, at which instruction, and how."""

    rule: str
    at: int
    text: str

    def __str__(self) -> str:
        return f"{self.rule}, instruction {self.at}: {self.text}"


@dataclass(frozen=True, slots=True)
class Program:
    """A decoded program, what is known before each of its instructions, and the maps it uses."""

    instructions: list[Instruction]
    states: dict[int, State]
    relocations: Mapping[int, str]
    shapes: Mapping[str, MapShape]


def check(code: bytes, relocations: Mapping[int, str], shapes: Mapping[str, MapShape]) -> list[Violation]:
    """Everything in which the program is too new, or too large, for the floor. ``relocations``: index -> map name."""
    instructions = decode(code)
    program = Program(instructions, walk(instructions, relocations), relocations, shapes)
    return [violation for rule in RULES for violation in rule(program)]


def size(program: Program) -> Iterator[Violation]:
    """At most 4096 instructions (5.2 lifted that)."""
    count = slots(program.instructions)
    if count > MAX_INSTRUCTIONS:
        yield Violation("size", count, f"{count} instructions; kernels before 5.2 take {MAX_INSTRUCTIONS}")


def jumps(program: Program) -> Iterator[Violation]:
    """None back into what leads to it, for loops are 5.3, and all to where an instruction begins.

    A jump to an earlier place that closes no loop is taken, as ``check_cfg`` takes it: LLVM lays out code that several
    ways end in wherever it likes.
    """
    starts = {instruction.index for instruction in program.instructions}
    for instruction in program.instructions:
        if instruction.is_jump and instruction.target not in starts:
            yield Violation("jump target", instruction.index, f"{instruction.target} is no instruction")
    for index, target in sorted(trace(program.instructions)[1]):
        yield Violation("backward jump", index, f"to {target}, a loop: those are 5.3")


def operations(program: Program) -> Iterator[Violation]:
    """Arithmetic and jumps that 4.9 has."""
    for instruction in program.instructions:
        if instruction.group not in (ALU, ALU64, JMP, JMP32) or instruction.opcode in (CALL, EXIT):
            continue
        newer = OPERATIONS.get((instruction.group, instruction.operation))
        if newer is not None:
            yield Violation("instruction", instruction.index, f"{newer[0]} is {newer[1]}")
        elif instruction.group in (ALU, ALU64) and instruction.offset:
            yield Violation("instruction", instruction.index, "signed division or sign-extending move is 6.6")


def loads_and_stores(program: Program) -> Iterator[Violation]:
    """Plain ones, the old packet loads, and XADD."""
    known = {
        LD: (MODE_ABS, MODE_IND),
        LDX: (MODE_MEM,),
        ST: (MODE_MEM,),
        STX: (MODE_MEM, MODE_ATOMIC),
    }
    for instruction in program.instructions:
        modes = known.get(instruction.group)
        if modes is None or instruction.opcode == LOAD_WIDE:
            continue
        if instruction.mode not in modes:
            yield Violation(
                "instruction", instruction.index, f"opcode {instruction.opcode:#x}: no such load or store in 4.9"
            )
        elif instruction.mode == MODE_ATOMIC and (instruction.opcode not in XADD or instruction.immediate):
            yield Violation("atomic", instruction.index, "atomics other than adding (XADD) are 5.12")


def constant_data(program: Program) -> Iterator[Violation]:
    """64-bit loads are of numbers and of the project's own maps; constant tables in .rodata are not for old kernels."""
    for instruction in program.instructions:
        if instruction.opcode != LOAD_WIDE:
            continue
        name = program.relocations.get(instruction.index)
        if instruction.source in PSEUDO_LOADS:
            what, since = PSEUDO_LOADS[instruction.source]
            yield Violation("constant data", instruction.index, f"{what} is {since}")
        elif name is not None and name not in program.shapes:
            yield Violation("constant data", instruction.index, f"{name!r} is none of the project's maps")
        elif name is None and instruction.source:
            yield Violation("constant data", instruction.index, "a map that nothing tells the name of")


def calls(program: Program) -> Iterator[Violation]:
    """Helpers that a SCHED_CLS program of 4.9 may call, and no functions."""
    for instruction in program.instructions:
        if instruction.opcode != CALL:
            continue
        if instruction.source:
            what, since = PSEUDO_CALLS.get(instruction.source, ("unknown kind of call", "not in 4.9"))
            yield Violation("call", instruction.index, f"{what} is {since}")
        elif instruction.immediate not in HELPERS:
            name, since = NEWER_HELPERS.get(instruction.immediate, (f"helper {instruction.immediate}", "not in 4.9"))
            yield Violation("helper", instruction.index, f"{name} is {since}")


def helper_arguments(program: Program) -> Iterator[Violation]:
    """What 4.9 believes of a helper's arguments."""
    for instruction in program.instructions:
        helper = HELPERS.get(instruction.immediate)
        state = program.states.get(instruction.index)
        if instruction.opcode != CALL or instruction.source or helper is None or state is None:
            continue
        for text in arguments.faults(helper, state, program.shapes):
            yield Violation("argument", instruction.index, f"{helper.name}: {text}")


def stack(program: Program) -> Iterator[Violation]:
    """At most 512 bytes, aligned, no index that is not constant."""
    for instruction in program.instructions:
        state = program.states.get(instruction.index)
        if state is not None:
            for text in memory.stack_faults(instruction, state):
                yield Violation("stack", instruction.index, text)


def context(program: Program) -> Iterator[Violation]:
    """Only the fields of ``__sk_buff`` that 4.9 has, four bytes at a time, by the context pointer itself."""
    for instruction in program.instructions:
        state = program.states.get(instruction.index)
        if state is not None:
            for text in memory.context_faults(instruction, state):
                yield Violation("context", instruction.index, text)


def map_values(program: Program) -> Iterator[Violation]:
    """4.9 follows a pointer into a map's value through the stack only as long as nothing is added to it."""
    for instruction in program.instructions:
        state = program.states.get(instruction.index)
        lost = [] if state is None else memory.accesses(instruction, state)
        for name in sorted({value.map for value in lost if value.kind is Kind.MAP_VALUE_LOST}):
            text = f"a pointer into {name} was moved and spilled, or spilled and moved; look it up again"
            yield Violation("map value", instruction.index, text)


RULES: tuple[Callable[[Program], Iterator[Violation]], ...] = (
    size,
    jumps,
    operations,
    loads_and_stores,
    constant_data,
    calls,
    helper_arguments,
    stack,
    context,
    map_values,
)
