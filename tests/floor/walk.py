"""What each register can hold before each instruction: enough to know context, stack and map pointers and constants.

As programs have no loops, there is an order in which every instruction comes after all that lead to it, and one pass in
it is enough. A register holds a set of possible values; more than ``MOST`` of them are told as UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from .instructions import ALU, ALU64, CALL, EXIT, JUMP_ALWAYS, LD, LDX, LOAD_WIDE, MODE_MEM, ST, STX, Instruction
from .since import DATA, DATA_END, HELPERS

MOST = 64
_MASK = (1 << 64) - 1


class Kind(Enum):
    """What a value is."""

    UNKNOWN = auto()
    CONSTANT = auto()
    CONTEXT = auto()
    STACK = auto()
    MAP = auto()
    MAP_VALUE = auto()
    MAP_VALUE_FILLED = auto()
    """A map value pointer that lay on the stack: 4.9 has forgotten its bounds, and takes it only as it is."""
    MAP_VALUE_LOST = auto()
    """One that was moved and then spilled, or filled and then moved: to 4.9 it is no pointer to use any more."""
    PACKET = auto()
    PACKET_END = auto()


class Value(NamedTuple):
    """``number``: a constant (signed), or a pointer's offset from where it points to; None if it is not known.
    ``map``: of map and map value pointers, the map's name."""

    kind: Kind
    number: int | None = None
    map: str = ""


Values = frozenset[Value]
UNKNOWN: Values = frozenset({Value(Kind.UNKNOWN)})
NOTHING: Values = frozenset()
"""Of a register that holds nothing, such as an argument after a call."""


@dataclass(slots=True)
class State:
    """The eleven registers, and what stands in whole 8-byte stack slots (offset from the frame pointer -> values)."""

    registers: list[Values]
    stack: dict[int, Values] = field(default_factory=dict)

    def copy(self) -> State:
        """An independent copy."""
        return State(list(self.registers), dict(self.stack))

    def join(self, other: State) -> None:
        """Add what ``other`` can hold, where two ways meet."""
        self.registers = [_limit(mine | theirs) for mine, theirs in zip(self.registers, other.registers, strict=True)]
        both = self.stack.keys() & other.stack.keys()
        self.stack = {offset: _limit(self.stack[offset] | other.stack[offset]) for offset in both}


def start() -> State:
    """Before the first instruction: the context in r1, the frame pointer in r10."""
    registers = [NOTHING] * 11
    registers[1] = frozenset({Value(Kind.CONTEXT, 0)})
    registers[10] = frozenset({Value(Kind.STACK, 0)})
    return State(registers)


def walk(instructions: list[Instruction], maps: Mapping[int, str]) -> dict[int, State]:
    """Instruction index -> the state before it; what cannot be reached is left out.

    ``maps``: index of an instruction -> the map that it loads.
    """
    before: dict[int, State] = {0: start()}
    order, loops = trace(instructions)
    for instruction in order:
        after = before[instruction.index].copy()
        step(instruction, after, maps.get(instruction.index))
        for successor in successors(instruction):
            if (instruction.index, successor) in loops:
                continue
            if successor in before:
                before[successor].join(after)
            else:
                before[successor] = after.copy()
    return before


def trace(instructions: list[Instruction]) -> tuple[list[Instruction], set[tuple[int, int]]]:
    """The instructions that can be reached, each behind all that lead to it, and the steps that close a loop.

    It is what the kernel's ``check_cfg`` does: a jump back to where the walk has been and is done is no loop.
    """
    by_index = {instruction.index: instruction for instruction in instructions}
    done: list[Instruction] = []
    seen = {0} & by_index.keys()
    under_way: dict[int, list[int]] = {index: successors(by_index[index]) for index in seen}
    loops: set[tuple[int, int]] = set()
    while under_way:
        index, left = next(reversed(under_way.items()))
        if not left:
            del under_way[index]
            done.append(by_index[index])
            continue
        successor = left.pop()
        if successor in under_way:
            loops.add((index, successor))
        elif successor in by_index and successor not in seen:
            seen.add(successor)
            under_way[successor] = successors(by_index[successor])
    return done[::-1], loops


def successors(instruction: Instruction) -> list[int]:
    """Where it may go on."""
    if instruction.opcode == EXIT:
        return []
    if instruction.opcode == JUMP_ALWAYS:
        return [instruction.target]
    if instruction.is_jump:
        return [instruction.next, instruction.target]
    return [instruction.next]


def step(instruction: Instruction, state: State, loaded_map: str | None) -> None:
    """Change ``state`` to what it is behind the instruction."""
    registers = state.registers
    if instruction.opcode == LOAD_WIDE:
        wide = instruction.wide or 0
        value = Value(Kind.MAP, 0, loaded_map) if loaded_map else Value(Kind.CONSTANT, _signed(wide))
        registers[instruction.destination] = frozenset({value})
    elif instruction.group == LD:
        registers[0] = UNKNOWN
        registers[1:6] = [NOTHING] * 5
    elif instruction.group == LDX:
        registers[instruction.destination] = _load(instruction, state)
    elif instruction.group in (ST, STX):
        _store(instruction, state)
    elif instruction.group in (ALU, ALU64):
        registers[instruction.destination] = _compute(instruction, registers)
    elif instruction.opcode == CALL:
        _call(instruction, state)


def _load(instruction: Instruction, state: State) -> Values:
    found: set[Value] = set()
    for base in state.registers[instruction.source]:
        at = None if base.number is None else base.number + instruction.offset
        if base.kind is Kind.CONTEXT and at == DATA:
            found.add(Value(Kind.PACKET, 0))
        elif base.kind is Kind.CONTEXT and at == DATA_END:
            found.add(Value(Kind.PACKET_END, 0))
        elif base.kind is Kind.STACK and at in state.stack and instruction.width == 8:
            found |= state.stack[at]
        else:
            found |= UNKNOWN
    return _limit(frozenset(found))


def _store(instruction: Instruction, state: State) -> None:
    bases = [base for base in state.registers[instruction.destination] if base.kind is Kind.STACK]
    for base in bases:
        if base.number is None:
            state.stack.clear()
            return
        at = base.number + instruction.offset
        forget(state, at, instruction.width)
        if instruction.mode == MODE_MEM and instruction.width == 8 and at % 8 == 0 and len(bases) == 1:
            stored = state.registers[instruction.source]
            if instruction.group == ST:
                stored = frozenset({Value(Kind.CONSTANT, instruction.immediate)})
            state.stack[at] = frozenset(map(_spilled, stored))


def _spilled(value: Value) -> Value:
    if value.kind is Kind.MAP_VALUE:
        return value._replace(kind=Kind.MAP_VALUE_LOST if value.number else Kind.MAP_VALUE_FILLED)
    return value


def forget(state: State, at: int, size: int) -> None:
    """The stack bytes from ``at`` on hold something else now."""
    for slot in [slot for slot in state.stack if slot < at + size and at < slot + 8]:
        del state.stack[slot]


def _call(instruction: Instruction, state: State) -> None:
    registers = state.registers
    helper = HELPERS.get(instruction.immediate)
    result = UNKNOWN
    if helper is not None:
        for number, argument in enumerate(helper.arguments, start=1):
            if argument == "buffer":
                _fill(state, registers[number], registers[number + 1])
        if helper.name == "map_lookup_elem":
            result = frozenset(Value(Kind.MAP_VALUE, 0, value.map) for value in registers[1]) or UNKNOWN
    registers[0] = result
    registers[1:6] = [NOTHING] * 5


def _fill(state: State, buffers: Values, sizes: Values) -> None:
    known = [size.number for size in sizes if size.number is not None]
    for buffer in buffers:
        if buffer.kind is Kind.STACK and buffer.number is not None:
            forget(state, buffer.number, max(known, default=512))


def _compute(instruction: Instruction, registers: list[Values]) -> Values:
    left = registers[instruction.destination]
    if instruction.by_register:
        right = registers[instruction.source]
    else:
        right = frozenset({Value(Kind.CONSTANT, instruction.immediate)})
    if instruction.operation == 0xB0:  # MOV
        return right if instruction.group == ALU64 else _limit(frozenset(map(_low_half, right)))
    if len(left) * len(right) > MOST:
        return UNKNOWN
    combine = _add_or_calculate if instruction.group == ALU64 else _calculate_low
    return _limit(frozenset(combine(instruction.operation, a, b) for a in left for b in right))


_CALCULATE: dict[int, Callable[[int, int], int]] = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 63),
    0x70: lambda a, b: (a & _MASK) >> (b & 63),
    0xA0: lambda a, b: a ^ b,
}


def _add_or_calculate(operation: int, a: Value, b: Value) -> Value:
    if a.kind is Kind.CONSTANT and b.kind is Kind.CONSTANT:
        return _calculate(operation, a, b)
    pointer, other = (b, a) if a.kind in (Kind.CONSTANT, Kind.UNKNOWN) and operation == 0x00 else (a, b)
    if operation not in (0x00, 0x10) or pointer.kind in (Kind.CONSTANT, Kind.UNKNOWN):
        return Value(Kind.UNKNOWN)
    if other.kind not in (Kind.CONSTANT, Kind.UNKNOWN):
        return Value(Kind.UNKNOWN)  # a difference of pointers
    if pointer.kind is Kind.MAP_VALUE_FILLED:
        pointer = pointer._replace(kind=Kind.MAP_VALUE_LOST)
    if pointer.number is None or other.number is None:
        return pointer._replace(number=None)
    return pointer._replace(number=pointer.number + (other.number if operation == 0x00 else -other.number))


def _calculate(operation: int, a: Value, b: Value) -> Value:
    calculate = _CALCULATE.get(operation)
    if calculate is None or a.number is None or b.number is None:
        return Value(Kind.UNKNOWN)
    return Value(Kind.CONSTANT, _signed(calculate(a.number, b.number) & _MASK))


def _calculate_low(operation: int, a: Value, b: Value) -> Value:
    if a.kind is not Kind.CONSTANT or b.kind is not Kind.CONSTANT:
        return Value(Kind.UNKNOWN)
    return _low_half(_calculate(operation, _low_half(a), _low_half(b)))


def _low_half(value: Value) -> Value:
    if value.kind is not Kind.CONSTANT or value.number is None:
        return Value(Kind.UNKNOWN)
    return Value(Kind.CONSTANT, value.number & 0xFFFFFFFF)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _limit(values: Iterable[Value]) -> Values:
    limited = frozenset(values)
    return limited if len(limited) <= MOST else UNKNOWN
