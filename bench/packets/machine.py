"""A machine that runs eBPF in Python, to count what a packet really executes: instructions, helpers, look-ups by map.

It knows the instructions and helpers that tcnat's programs use for whole TCP and UDP packets, and nothing of tcnat. Its
maps are copies. A test compares its frames and verdicts with the kernel's. Instructions are those of the bytecode: what
the kernel makes of them (look-ups of arrays in place, two for one) is its own.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tcnat.bpf import Map
from tcnat.bytecode import ProgramCode
from tcnat.layout import MapType

from .helpers import HELPERS

WORD, HALF, BYTE, DOUBLE = 0x00, 0x08, 0x10, 0x18
_SIZES = {WORD: 4, HALF: 2, BYTE: 1, DOUBLE: 8}
_LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = 1, 2, 3, 4, 5, 6, 7
_LOAD_WIDE, _CALL, _EXIT, _ENDIAN = 0x18, 0x85, 0x95, 0xD0
_STACK, _CONTEXT = 512, 192
FOUR, EIGHT = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
MAP_REFERENCE = 1 << 60
LENGTH, PROTOCOL, IFINDEX, TC_INDEX, CLASSID = 0, 16, 40, 44, 72
"""Offsets in struct __sk_buff."""
HASHES = frozenset({MapType.HASH, MapType.LRU_HASH})


class TailCall(Exception):
    """A program goes on in another one."""

    def __init__(self, slot: int) -> None:
        super().__init__(slot)
        self.slot = slot


@dataclass(slots=True)
class Table:
    """A map's copy. Arrays get their elements when they are asked for."""

    name: str
    type: MapType
    value_size: int
    entries: dict[bytes, bytearray]

    @classmethod
    def of(cls, source: Map) -> Table:
        """What a map holds now; a per-CPU one begins with zeros."""
        entries = {}
        if source.type in HASHES:
            entries = {key: bytearray(value) for key, value in source.items()}
        elif source.type is MapType.ARRAY and source.max_entries <= 64:
            keys = (number.to_bytes(4, "little") for number in range(source.max_entries))
            entries = {key: bytearray(source.lookup(key) or b"") for key in keys}
        elif source.type is MapType.ARRAY:
            values, size = source.read_array(64), source.value_size
            entries = {at.to_bytes(4, "little"): bytearray(values[at * size : (at + 1) * size]) for at in range(64)}
        return cls(source.name, source.type, source.value_size, entries)

    def find(self, key: bytes) -> bytearray | None:
        """The value itself."""
        if self.type not in HASHES:
            self.entries.setdefault(key, bytearray(self.value_size))
        return self.entries.get(key)


@dataclass(slots=True)
class Trace:
    """What became of a packet, and what it took. ``calls``: helpers by name, with the sort of their map."""

    verdict: int = 0
    frame: bytes = b""
    instructions: int = 0
    programs: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def lookups(self, *kinds: str) -> int:
        """Look-ups in maps of these kinds ("hash", "array")."""
        return sum(count for name, count in self.calls.items() if name in [f"look-up, {kind}" for kind in kinds])


class Machine:
    """Programs that call each other, and their maps. ``tails``: the slot in the tail-call map of each program."""

    def __init__(self, programs: Mapping[str, ProgramCode], tails: Mapping[str, int], maps: Mapping[str, Map]) -> None:
        self._programs = programs
        self._by_slot = {slot: name for name, slot in tails.items()}
        self._names = list(maps)
        self._maps = maps
        self.tables: list[Table] = []
        self.now: int = 0
        """Nanoseconds; does not go on by itself."""

    def run(self, name: str, frame: bytes, classid: int = 0) -> Trace:
        """Run a frame through a program, on maps as they are in the kernel now. NotImplementedError for what the
        machine does not know."""
        self.tables = [Table.of(each) for each in self._maps.values()]
        self.trace = Trace()
        self.frame = bytearray(frame)
        self.memory: list[bytearray] = []
        self._at: dict[int, int] = {}
        self.context = bytearray(_CONTEXT)
        for offset, value in ((LENGTH, len(frame)), (IFINDEX, 1), (CLASSID, classid)):
            struct.pack_into("=I", self.context, offset, value)
        self.context[PROTOCOL : PROTOCOL + 2] = frame[12:14]
        while True:
            try:
                self.trace.verdict = self._execute(name)
                break
            except TailCall as call:
                name = self._by_slot[call.slot]
        self.trace.frame = bytes(self.frame)
        return self.trace

    def address(self, region: bytearray) -> int:
        """A pointer to the beginning of a piece of memory."""
        if id(region) not in self._at:
            self.memory.append(region)
            self._at[id(region)] = len(self.memory)
        return self._at[id(region)] << 32

    def read(self, pointer: int, size: int) -> bytes:
        """Bytes at a pointer. IndexError past the end."""
        region, offset = self._place(pointer, size)
        return bytes(region[offset : offset + size])

    def write(self, pointer: int, data: bytes) -> None:
        """Put bytes at a pointer. IndexError past the end."""
        region, offset = self._place(pointer, len(data))
        region[offset : offset + len(data)] = data

    def _place(self, pointer: int, size: int) -> tuple[bytearray, int]:
        region, offset = self.memory[(pointer >> 32) - 1], pointer & FOUR
        if offset + size > len(region):
            raise IndexError(f"{size} bytes at {offset} of {len(region)}")
        return region, offset

    def table(self, reference: int) -> Table:
        """The map that a register names."""
        return self.tables[reference - MAP_REFERENCE]

    def map_sizes(self, table: Table) -> tuple[int, int]:
        """Bytes of a key and of a value."""
        source = self._maps[table.name]
        return source.key_size, source.value_size

    def _execute(self, name: str) -> int:
        program = self._programs[name]
        self.trace.programs.append(name)
        maps = {index: MAP_REFERENCE + self._names.index(of) for index, of in program.relocations}
        decoded = list(struct.iter_unpack("=BBhi", program.instructions))
        registers = [0] * 11
        registers[1] = self.address(self.context)
        registers[10] = self.address(bytearray(_STACK)) + _STACK
        at = 0
        while True:
            code, both, offset, immediate = decoded[at]
            self.trace.instructions += 1
            destination, source = both & 15, both >> 4
            if code == _EXIT:
                return (registers[0] & FOUR ^ 0x80000000) - 0x80000000
            if code == _LOAD_WIDE:
                wide = immediate & FOUR | (decoded[at + 1][3] & FOUR) << 32
                registers[destination] = maps.get(at, wide)
                at += 2
                continue
            at += 1
            if code == _CALL:
                registers[0] = self._call(immediate, registers[1:6]) & EIGHT
            elif code & 7 in (_JMP, _JMP32):
                at += (
                    offset
                    if self._jumps(code, registers[destination], self._operand(code, source, immediate, registers))
                    else 0
                )
            elif code & 7 in (_ALU, _ALU64):
                registers[destination] = _compute(
                    code, registers[destination], self._operand(code, source, immediate, registers), immediate
                )
            else:
                self._move(code, destination, source, offset, immediate, registers)

    def _call(self, number: int, arguments: list[int]) -> int:
        if number not in HELPERS:
            raise NotImplementedError(f"helper {number}")
        name, function, takes_map = HELPERS[number]
        if takes_map:
            name = f"{name}, {'hash' if self.table(arguments[0]).type in HASHES else 'array'}"
        self.trace.calls[name] += 1
        return function(self, arguments)

    def _move(self, code: int, destination: int, source: int, offset: int, immediate: int, r: list[int]) -> None:
        """Loads and stores."""
        size = _SIZES[code & 0x18]
        if code & 7 == _LDX:
            r[destination] = int.from_bytes(self.read(r[source] + offset & EIGHT, size), "little")
            return
        value = r[source] if code & 7 == _STX else immediate & EIGHT
        self.write(r[destination] + offset & EIGHT, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    @staticmethod
    def _operand(code: int, source: int, immediate: int, registers: list[int]) -> int:
        return registers[source] if code & 8 else immediate & EIGHT

    @staticmethod
    def _jumps(code: int, left: int, right: int) -> bool:
        bits = 64 if code & 7 == _JMP else 32
        mask = (1 << bits) - 1
        left, right = left & mask, right & mask
        sign = 1 << bits - 1
        return _CONDITIONS[code >> 4](left, right, (left ^ sign) - sign, (right ^ sign) - sign)


_CONDITIONS: dict[int, Callable[[int, int, int, int], bool]] = {
    0x0: lambda a, b, c, d: True,
    0x1: lambda a, b, c, d: a == b,
    0x2: lambda a, b, c, d: a > b,
    0x3: lambda a, b, c, d: a >= b,
    0x4: lambda a, b, c, d: bool(a & b),
    0x5: lambda a, b, c, d: a != b,
    0x6: lambda a, b, c, d: c > d,
    0x7: lambda a, b, c, d: c >= d,
    0xA: lambda a, b, c, d: a < b,
    0xB: lambda a, b, c, d: a <= b,
    0xC: lambda a, b, c, d: c < d,
    0xD: lambda a, b, c, d: c <= d,
}
"""By the upper half of the code: of both operands, unsigned and signed."""

_OPERATIONS: dict[int, Callable[[int, int, int], int]] = {
    0x0: lambda a, b, bits: a + b,
    0x1: lambda a, b, bits: a - b,
    0x2: lambda a, b, bits: a * b,
    0x3: lambda a, b, bits: a // b if b else 0,
    0x4: lambda a, b, bits: a | b,
    0x5: lambda a, b, bits: a & b,
    0x6: lambda a, b, bits: a << (b & bits - 1),
    0x7: lambda a, b, bits: a >> (b & bits - 1),
    0x8: lambda a, b, bits: -a,
    0x9: lambda a, b, bits: a % b if b else a,
    0xA: lambda a, b, bits: a ^ b,
    0xB: lambda a, b, bits: b,
    0xC: lambda a, b, bits: (a ^ 1 << bits - 1) - (1 << bits - 1) >> (b & bits - 1),
}


def _compute(code: int, left: int, right: int, immediate: int) -> int:
    bits = 64 if code & 7 == _ALU64 else 32
    mask = (1 << bits) - 1
    if code & 0xF0 == _ENDIAN:
        size = immediate // 8
        return int.from_bytes((left & (1 << immediate) - 1).to_bytes(size, "little"), "big" if code & 8 else "little")
    return _OPERATIONS[code >> 4](left & mask, right & mask, bits) & mask
