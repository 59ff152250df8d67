"""Maps that are dicts, and what the maps of a datapath say in plain words."""

from __future__ import annotations

import errno
import struct
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tcnat.bpf import BpfError, MapFull
from tcnat.layout import MAPS, Family, MapLayout, MapType, ServiceFlag
from tcnat.model import Backend, FrontEnd, FrontEndKey, Protocol, Verdict
from tcnat.resources import ServiceRef
from tcnat.translate import Unserved

CPUS = 2


class FakeMap:
    """As :class:`tcnat.bpf.Map`, of a dict. ``memory`` is how many more entries the kernel has memory for."""

    def __init__(self, layout: MapLayout, family: Family, entries: int = 0, kind: MapType | None = None) -> None:
        self.name = layout.name
        self.type = kind or layout.type
        self.key_size = layout.key_size(family)
        self.value_size = layout.value_size(family)
        self.max_entries = entries or layout.entries
        self.content: dict[bytes, bytes] = {}
        self.memory: int | None = None
        self.writes = 0
        self._is_array = self.type in {MapType.ARRAY, MapType.PERCPU_ARRAY}
        self._empty = bytes(self.value_size * (CPUS if self.type is MapType.PERCPU_ARRAY else 1))

    def lookup(self, key: bytes) -> bytes | None:
        if self._is_array and int.from_bytes(key, "little") < self.max_entries:
            return self.content.get(key, self._empty)
        return self.content.get(key)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        assert len(key) == self.key_size
        assert len(value) == len(self._empty)
        if self._is_array and int.from_bytes(key, "little") >= self.max_entries:
            raise MapFull(f"map {self.name} is full", 0)
        if key not in self.content and not self._is_array:
            if len(self.content) >= self.max_entries:
                raise MapFull(f"map {self.name} is full", 0)
            if self.memory is not None:
                if not self.memory:
                    raise BpfError(f"map {self.name}: update: no memory", errno.ENOMEM)
                self.memory -= 1
        self.content[key] = value
        self.writes += 1

    def update_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.update(key, value)

    def update_array(self, first: int, values: bytes) -> None:
        size = self.value_size
        for index in range(len(values) // size):
            self.update((first + index).to_bytes(4, "little"), values[index * size : (index + 1) * size])

    def update_runs(self, runs: Sequence[tuple[int, bytes]]) -> None:
        for first, elements in runs:
            self.update_array(first, b"".join(elements[at : at + 4] for at in range(0, len(elements), 8)))

    def read_array(self, count: int) -> bytes:
        return b"".join(self.lookup(index.to_bytes(4, "little")) or b"" for index in range(count))

    def delete(self, key: bytes) -> bool:
        self.writes += 1
        return self.content.pop(key, None) is not None

    def delete_many(self, keys: Sequence[bytes]) -> bool:
        return False

    def keys(self) -> Iterator[bytes]:
        yield from list(self.content)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        yield from list(self.content.items())


def fake_maps(family: Family = Family.IPV4, *, lru: bool = True, **entries: int) -> dict[str, FakeMap]:
    """A family's maps, small ones; ``entries`` sizes some of them."""
    return {
        name: FakeMap(layout, family, entries.get(name, min(layout.entries, 4096)), None if lru else layout.without_lru)
        for name, layout in MAPS.items()
    }


@dataclass
class Seen:
    """A front end as the packet programs see it."""

    flags: ServiceFlag
    service: int
    affinity: int
    shares: Counter[Backend] = field(default_factory=Counter)
    """Slots of each backend."""
    ids: dict[Backend, int] = field(default_factory=dict)


@dataclass
class Contents:
    """The services, slots and backends maps of a family, and what they say. Shares no code with tcnat but the flags."""

    family: Family
    services: Mapping[bytes, bytes]
    slots: array[int]
    """As far as any was written; those between that were not are 0, which is never a backend's."""
    backends: Mapping[int, bytes]

    def write_slots(self, base: int, elements: bytes) -> None:
        """Write consecutive slots, each padded to 8 bytes."""
        self.slots.extend([0] * (base - len(self.slots)))
        written = array("I", elements)[::2]
        self.slots[base : base + len(written)] = written

    @classmethod
    def of(cls, maps: Mapping[str, FakeMap], family: Family) -> Contents:
        """What fake maps hold."""
        found = cls(
            family,
            maps["services"].content,
            array("I"),
            {int.from_bytes(key, "little"): value for key, value in maps["backends"].content.items()},
        )
        for key, value in sorted((int.from_bytes(k, "little"), v) for k, v in maps["slots"].content.items()):
            found.write_slots(key, value + bytes(4))
        return found

    def backend(self, number: int) -> tuple[Backend, int]:
        """Address and port, and the generation, of a backend id."""
        size = self.family.address_size
        value = self.backends.get(number, bytes(size + 8))
        port = int.from_bytes(value[size : size + 2], "big")
        return Backend(value[:size], port), struct.unpack("=I", value[size + 4 :])[0]

    def flags(self, key: bytes) -> ServiceFlag:
        """The flags under a services key."""
        return ServiceFlag(struct.unpack("=5I", self.services[key])[4]) if key in self.services else ServiceFlag(0)

    def front_ends(self) -> dict[FrontEndKey, Seen]:
        """Every front end; AssertionError where one names what is not there."""
        found = {}
        for key, value in self.services.items():
            base, count, service, affinity, flags = struct.unpack("=5I", value)
            if not flags & ServiceFlag.FRONT_END:
                continue
            seen = Seen(ServiceFlag(flags), service, affinity)
            slots = self.slots[base : base + count]
            assert len(slots) == count, f"{key.hex()} names slots that were never written"
            for number, share in Counter(slots).items():
                backend, _ = self.backend(number)
                assert any(backend.address), f"{key.hex()} names backend {number}, which is empty"
                seen.shares[backend] += share
                seen.ids[backend] = number
            name = FrontEndKey(key[:-4], int.from_bytes(key[-4:-2], "big"), Protocol(key[-2]))
            found[name] = seen
        return found


def raw_key(address: bytes, port: int = 0, protocol: int = 0) -> bytes:
    """A services key, from scratch."""
    return address + struct.pack(">HBB", port, protocol, 0)


def helper_flags(wanted: Mapping[FrontEndKey, FrontEnd]) -> dict[bytes, ServiceFlag]:
    """What each services key must say besides being a front end, if exactly these are served."""
    flags: dict[bytes, ServiceFlag] = {}

    def mark(key: bytes, flag: ServiceFlag) -> None:
        flags[key] = flags.get(key, ServiceFlag(0)) | flag

    for key, front_end in wanted.items():
        mark(raw_key(key.address), ServiceFlag.SERVICE_ADDRESS)
        for backend in front_end.backends:
            mark(raw_key(backend.address), ServiceFlag.BACKEND_ADDRESS)
            mark(raw_key(backend.address, backend.port, key.protocol), ServiceFlag.DIRECT)
    return flags


def expected_flags(front_end: FrontEnd) -> ServiceFlag:
    """A front end's flags, without DIRECT."""
    more = {Verdict.REJECT: ServiceFlag.REJECT, Verdict.DROP: ServiceFlag.DROP}
    return ServiceFlag.FRONT_END | more.get(front_end.verdict, ServiceFlag(0))


@dataclass(slots=True)
class FakeSyncer:
    """What :func:`tcnat.notes.write_news` asks of a syncer."""

    unserved: dict[ServiceRef, tuple[Unserved, ...]] = field(default_factory=dict)
    news: bool = False
