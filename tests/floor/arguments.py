"""What 4.9 believes of a helper's arguments (``check_func_arg``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .memory import stack_range_faults
from .since import MAPS_ONLY_FOR, ONLY_WITH, Helper
from .walk import NOTHING, Kind, State, Value, Values

if TYPE_CHECKING:
    from .rules import MapShape

Shapes = Mapping[str, "MapShape"]


def faults(helper: Helper, state: State, shapes: Shapes) -> Iterator[str]:
    """What is wrong with the arguments in r1 to r5."""
    maps = {value.map for value in state.registers[1] | state.registers[2] if value.kind is Kind.MAP}
    known = [shapes[name] for name in maps if name in shapes]
    for number, kind in enumerate(helper.arguments, start=1):
        values = state.registers[number]
        if values == NOTHING:
            yield f"r{number} holds nothing"
        elif kind == "context":
            yield from _context_faults(number, values)
        elif kind == "map":
            yield from _map_faults(helper, values, shapes)
        elif kind in ("key", "value"):
            bytes_there = max((shape.key_size if kind == "key" else shape.value_size for shape in known), default=1)
            yield from _memory_faults(kind, values, bytes_there)
        elif kind in ("memory", "buffer"):
            yield from _memory_faults(kind, values, _largest(state.registers[number + 1]))
        elif kind == "size" and any(value.kind is not Kind.CONSTANT for value in values):
            yield f"the size in r{number} is not constant"
    if helper.flags is not None:
        yield from _flag_faults(helper, state.registers[len(helper.arguments)])


def _context_faults(number: int, values: Values) -> Iterator[str]:
    if values != frozenset({Value(Kind.CONTEXT, 0)}):
        yield f"r{number} is not the context"


def _map_faults(helper: Helper, values: Values, shapes: Shapes) -> Iterator[str]:
    for value in values:
        if value.kind is not Kind.MAP:
            yield "what should be a map is none"
            continue
        shape = shapes.get(value.map)
        if shape is None:
            continue  # said by another rule
        if helper.name not in MAPS_ONLY_FOR.get(shape.type, {helper.name}):
            yield f"{value.map} is of a type that it does not take"
        if shape.type not in ONLY_WITH.get(helper.name, {shape.type}):
            yield f"{value.map} is of a type that it does not take"


def _memory_faults(what: str, values: Values, size: int) -> Iterator[str]:
    for value in values:
        if value.kind in (Kind.MAP_VALUE, Kind.MAP_VALUE_FILLED, Kind.MAP_VALUE_LOST):
            yield f"a map's value as {what}: 4.14 takes it as memory, 4.18 as key or value; copy it to the stack"
        elif value.kind is Kind.STACK:
            yield from stack_range_faults(value.number, size)
        elif value.kind not in (Kind.PACKET, Kind.CONSTANT):
            yield f"its {what} is neither on the stack nor in the packet"
        elif value.kind is Kind.CONSTANT and (value.number or what in ("key", "value")):
            yield f"its {what} is a number"


def _largest(sizes: Values) -> int:
    return max((size.number for size in sizes if size.kind is Kind.CONSTANT and size.number is not None), default=1)


def _flag_faults(helper: Helper, values: Values) -> Iterator[str]:
    assert helper.flags is not None
    for value in values:
        if value.kind is Kind.CONSTANT and value.number is not None and value.number & ~helper.flags:
            yield f"flags {value.number:#x}: 4.9 has {helper.flags:#x}"
