"""bpf(2) by ctypes: maps and programs as objects, and nothing of what they mean.

Sources: bpf(2), include/uapi/linux/bpf.h. Works from Linux 4.9 on; what a kernel lacks (batch operations,
BPF_PROG_TEST_RUN, names) is found out by trying, and done without where that can be.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tcnat import memory
from tcnat.errors import TcnatError
from tcnat.layout import MapType, number_bytes

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

SCHED_CLS = 3
"""BPF_PROG_TYPE_SCHED_CLS."""
MAPPABLE = 1 << 10
"""BPF_F_MMAPABLE (5.5)."""
ANY, NOEXIST, EXIST = 0, 1, 2
"""Flags of :meth:`Map.update`."""
INSTRUCTION_SIZE = 8
BATCH = 4096
"""Entries that one batch call moves."""
ENOTSUPP = 524
"""The kernel's own, which errno has no name for."""
_NO_BATCHES = {errno.EINVAL, errno.ENOTSUP, ENOTSUPP}
"""Errors of a batch call where the kernel, or the type of map, has none."""
_LOG_SIZE = (1 << 24) - 1
_LICENSE = b"GPL\0"


class Command(IntEnum):
    """Commands of bpf(2)."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_TEST_RUN = 10
    MAP_LOOKUP_BATCH = 24
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27


class BpfError(TcnatError):
    """A bpf(2) call that failed; ``errno`` is the kernel's."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


class MapFull(BpfError):
    """A map that took no more entries; ``written`` entries of the call went in."""

    def __init__(self, message: str, written: int) -> None:
        super().__init__(message, errno.E2BIG)
        self.written = written


class VerifierError(BpfError):
    """A program that the kernel refused; ``log`` is what its verifier said."""

    def __init__(self, message: str, number: int, log: str) -> None:
        super().__init__(message, number)
        self.log = log


class _MapCreate(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _Element(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_uint64),  # the descriptor and its padding
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),  # of MAP_GET_NEXT_KEY: the next key
        ("flags", ctypes.c_uint64),
    )


class _Batch(ctypes.Structure):
    _fields_ = (
        ("in_batch", ctypes.c_uint64),
        ("out_batch", ctypes.c_uint64),
        ("keys", ctypes.c_uint64),
        ("values", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("fd", ctypes.c_uint32),
        ("elem_flags", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _ProgLoad(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log", ctypes.c_uint64),
        ("kernel_version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _Object(ctypes.Structure):
    _fields_ = (("path", ctypes.c_uint64), ("fd", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class _TestRun(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("retval", ctypes.c_int32),
        ("size_in", ctypes.c_uint32),
        ("size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("context_size_in", ctypes.c_uint32),
        ("context_size_out", ctypes.c_uint32),
        ("context_in", ctypes.c_uint64),
        ("context_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_ulong)
_NUMBER = _SYSCALL_NUMBERS.get(platform.machine(), 321)


def _call(command: Command, attributes: ctypes.Structure, size: int | None = None) -> int:
    """The kernel's answer, or its errno as a negative number."""
    result: int = _syscall(_NUMBER, command, ctypes.addressof(attributes), size or ctypes.sizeof(attributes))
    return result if result >= 0 else -ctypes.get_errno()


def _failure(what: str, number: int) -> BpfError:
    if number == errno.EPERM:
        return BpfError(
            f"{what}: not permitted. Run as root, or with CAP_SYS_ADMIN (from Linux 5.8 on: CAP_BPF, CAP_PERFMON and "
            "CAP_NET_ADMIN), and with a memlock limit that can be raised (CAP_SYS_RESOURCE)",
            number,
        )
    return BpfError(f"{what}: {os.strerror(number)}", number)


class Map:
    """A map by its descriptor, which is closed with the object. Keys and values are ``bytes`` of the map's sizes."""

    def __init__(self, fd: int, type: MapType, key_size: int, value_size: int, max_entries: int, name: str) -> None:
        self.fd = fd
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.name = name
        self.percpu = type is MapType.PERCPU_ARRAY
        self._row = (value_size + 7) // 8 * 8 * possible_cpus() if self.percpu else value_size
        self._key = ctypes.create_string_buffer(key_size)
        self._value = ctypes.create_string_buffer(self._row)
        self._element = _Element(fd, ctypes.addressof(self._key), ctypes.addressof(self._value), 0)
        self._batches = type in {MapType.HASH, MapType.LRU_HASH, MapType.ARRAY}
        self._mappable = type is MapType.ARRAY and value_size == memory.NUMBER_SIZE

    @classmethod
    def create(
        cls,
        type: MapType,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int = 0,
        name: str = "",
        *,
        mappable: bool = False,
    ) -> Map:
        """A new map; BpfError with EINVAL where the kernel does not know the type. ``mappable``: an array map whose
        memory can be written, if the kernel has that."""
        fd = -errno.EINVAL
        if mappable:
            fd = _call(Command.MAP_CREATE, _MapCreate(type, key_size, value_size, max_entries, flags | MAPPABLE))
        if fd == -errno.EINVAL:
            fd = _call(Command.MAP_CREATE, _MapCreate(type, key_size, value_size, max_entries, flags))
        if fd < 0:
            raise _failure(f"map {name or type.name.lower()} with {max_entries} entries cannot be made", -fd)
        return cls(fd, type, key_size, value_size, max_entries, name)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        type: MapType,
        key_size: int,
        value_size: int | None,
        max_entries: int = 0,
        name: str = "",
    ) -> Map:
        """The map pinned at ``path``. Type and sizes are compared with what /proc says of the descriptor, which also
        gives the number of entries; BpfError with EINVAL if they differ. ``value_size`` None: whatever it is."""
        fd = _open_pin(path)
        facts = _descriptor_facts(fd)
        value_size = facts["value_size"] if value_size is None else value_size
        wanted = {"map_type": int(type), "key_size": key_size, "value_size": value_size}
        wrong = [
            f"{fact} {facts[fact]}, not {value}" for fact, value in wanted.items() if facts.get(fact, value) != value
        ]
        if wrong:
            os.close(fd)
            raise BpfError(f"{path} is another map than expected ({', '.join(wrong)})", errno.EINVAL)
        return cls(fd, type, key_size, value_size, facts.get("max_entries", max_entries), name)

    def duplicate(self) -> Map:
        """The same map by a descriptor and buffers of its own: one Map is for one thread at a time."""
        return Map(os.dup(self.fd), self.type, self.key_size, self.value_size, self.max_entries, self.name)

    def lookup(self, key: bytes) -> bytes | None:
        """The value, or None. Of a per-CPU map: every CPU's value, each padded to 8 bytes, joined."""
        self._key.raw = key
        result = _call(Command.MAP_LOOKUP_ELEM, self._element)
        if result < 0:
            if result == -errno.ENOENT:
                return None
            raise _failure(f"map {self.name}: look-up", -result)
        return self._value.raw

    def update(self, key: bytes, value: bytes, flags: int = ANY) -> None:
        """Write one entry; MapFull when there is no room, BpfError otherwise."""
        self._key.raw = key
        self._value.raw = value
        self._element.flags = flags
        result = _call(Command.MAP_UPDATE_ELEM, self._element)
        self._element.flags = 0
        if result < 0:
            raise self._update_failure(-result, 0)

    def _update_failure(self, number: int, written: int) -> BpfError:
        if number in {errno.E2BIG, errno.ENOSPC}:
            return MapFull(f"map {self.name} is full ({self.max_entries} entries)", written)
        return _failure(f"map {self.name}: update", number)

    def update_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Write entries in order, in batches where the kernel has them (5.6). MapFull tells how many went in."""
        for start in range(0, len(keys), BATCH):
            some, theirs = keys[start : start + BATCH], values[start : start + BATCH]
            if len(keys) > 1 and self._update_batch(b"".join(some), b"".join(theirs), start):
                continue
            for index, (key, value) in enumerate(zip(some, theirs, strict=True), start):
                try:
                    self.update(key, value)
                except MapFull as error:
                    raise MapFull(str(error), index) from None

    def update_array(self, first: int, values: bytes) -> None:
        """Write consecutive elements of an array map, joined in ``values``, from index ``first`` on."""
        if self._mappable:
            self.update_runs([(first, memory.padded(values))])
        else:
            self._update_elements(first, values)

    def update_runs(self, runs: Sequence[tuple[int, bytes]]) -> None:
        """Write runs of consecutive elements of an array map of 32-bit numbers, each from an index on, in rising
        order. The elements are joined, each padded to 8 bytes as in the map's memory."""
        size = memory.ELEMENT_SIZE
        if self._mappable and all(first + len(elements) // size <= self.max_entries for first, elements in runs):
            try:
                memory.write_elements(self.fd, runs)
                return
            except OSError:  # made without
                self._mappable = False
        for first, elements in runs:
            self._update_elements(first, memory.narrow(elements))

    def _update_elements(self, first: int, values: bytes) -> None:
        """Without mapping the map."""
        size = self.value_size
        for start in range(0, len(values) // size, BATCH):
            some = values[start * size : (start + BATCH) * size]
            indexes = array("I", range(first + start, first + start + len(some) // size))
            if not self._update_batch(indexes.tobytes(), some, start):
                for place, index in enumerate(indexes):
                    self.update(number_bytes(index), some[place * size : (place + 1) * size])

    @property
    def has_batches(self) -> bool:
        """Whether batch operations work on it, as far as they were tried."""
        return self._batches

    def _update_batch(self, keys: bytes, values: bytes, before: int) -> bool:
        """Write entries in one call; False where the kernel has no batches. ``before`` entries went in already."""
        if not self._batches:
            return False
        batch = _Batch(keys=_address(keys), values=_address(values), count=len(keys) // self.key_size, fd=self.fd)
        result = _call(Command.MAP_UPDATE_BATCH, batch)
        if result < 0 and not before and -result in _NO_BATCHES:
            self._batches = False
            return False
        if result < 0:
            raise self._update_failure(-result, before + batch.count)
        return True

    def delete(self, key: bytes) -> bool:
        """Remove an entry; False if there was none."""
        self._key.raw = key
        result = _call(Command.MAP_DELETE_ELEM, self._element, _Element.value.offset)  # the rest must be 0
        if result < 0 and result != -errno.ENOENT:
            raise _failure(f"map {self.name}: removal", -result)
        return result == 0

    def delete_many(self, keys: Sequence[bytes]) -> bool:
        """Remove entries that are all there, in batches where the kernel has them. False where one batch did not work
        out: then nobody knows which are gone."""
        if not self._batches or len(keys) < 2:
            return False
        for start in range(0, len(keys), BATCH):
            some = b"".join(keys[start : start + BATCH])
            count = len(some) // self.key_size
            if _call(Command.MAP_DELETE_BATCH, _Batch(keys=_address(some), count=count, fd=self.fd)) < 0:
                return False
        return True

    def keys(self) -> Iterator[bytes]:
        """Every key. Entries that come or go meanwhile may be missed or seen twice, as with any walk of a live map."""
        current = ctypes.create_string_buffer(self.key_size)
        following = ctypes.create_string_buffer(self.key_size)
        # Before 4.12 the first key cannot be asked for with no key: a key that is not there gives it, too.
        current.raw = b"\xff" * self.key_size
        step = _Element(self.fd, ctypes.addressof(current), ctypes.addressof(following), 0)
        while (result := _call(Command.MAP_GET_NEXT_KEY, step)) == 0:
            current.raw = following.raw
            yield following.raw
        if result != -errno.ENOENT:
            raise _failure(f"map {self.name}: walk", -result)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value, in batches where the kernel has them."""
        key_size, value_size = self.key_size, self.value_size
        for keys, values in self._read_batches():
            for index in range(len(keys) // key_size):
                yield (
                    keys[index * key_size : (index + 1) * key_size],
                    values[index * value_size : (index + 1) * value_size],
                )
        if not self._batches:
            for key in self.keys():
                value = self.lookup(key)
                if value is not None:
                    yield key, value

    def read_array(self, count: int) -> bytearray:
        """The first ``count`` elements of an array map, joined."""
        if self._mappable and count <= self.max_entries:
            try:
                return memory.read_numbers(self.fd, count)
            except OSError:
                self._mappable = False
        found = bytearray()
        for _, values in self._read_batches():
            found += values
            if len(found) >= count * self.value_size:
                break
        if not self._batches:
            found += self._read_elements(count)
        del found[count * self.value_size :]
        return found

    def _read_elements(self, count: int) -> bytes:
        """The first elements of an array map, one look-up for each."""
        size = self.value_size
        found = ctypes.create_string_buffer(size * count)
        index, address = ctypes.c_uint32(), ctypes.addressof(found)
        element = _Element(self.fd, ctypes.addressof(index), address, 0)
        for number in range(count):
            index.value, element.value = number, address + number * size
            result = _call(Command.MAP_LOOKUP_ELEM, element)
            if result < 0:
                raise _failure(f"map {self.name}: look-up", -result)
        return found.raw

    def _read_batches(self) -> Iterator[tuple[bytes, bytes]]:
        """Joined keys and values, some at a time. Nothing, and ``_batches`` is off, where the kernel has no batches."""
        size = BATCH
        position = ctypes.create_string_buffer(max(self.key_size, 8))
        started = False
        while self._batches:
            raw_keys = ctypes.create_string_buffer(self.key_size * size)
            raw_values = ctypes.create_string_buffer(self.value_size * size)
            batch = _Batch(
                in_batch=ctypes.addressof(position) if started else 0,
                out_batch=ctypes.addressof(position),
                keys=ctypes.addressof(raw_keys),
                values=ctypes.addressof(raw_values),
                count=size,
                fd=self.fd,
            )
            result = _call(Command.MAP_LOOKUP_BATCH, batch)
            if result == -errno.ENOSPC:  # one bucket holds more than fits
                size *= 2
                continue
            if result < 0 and result != -errno.ENOENT:
                if started:
                    raise _failure(f"map {self.name}: walk", -result)
                self._batches = False
                return
            started = True
            yield raw_keys.raw[: batch.count * self.key_size], raw_values.raw[: batch.count * self.value_size]
            if result == -errno.ENOENT:
                return

    def pin(self, path: Path | str) -> None:
        """Let the map outlive the process under ``path`` in a bpffs."""
        _pin(self.fd, path)

    def close(self) -> None:
        """Give the descriptor back; the map stays if it is pinned or in use."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class TestRun:
    """What BPF_PROG_TEST_RUN gave: the program's verdict (signed), the frame as it left, nanoseconds for a run."""

    __test__ = False

    verdict: int
    frame: bytes
    nanoseconds: int


class Program:
    """A loaded SCHED_CLS program by its descriptor, which is closed with the object."""

    def __init__(self, fd: int, name: str = "") -> None:
        self.fd = fd
        self.name = name
        self._out = ctypes.create_string_buffer(0)
        self._run = _TestRun(fd=fd)

    @classmethod
    def load(cls, instructions: bytes, name: str = "") -> Program:
        """Have the kernel verify and take the program; VerifierError with its log if it does not."""
        attributes = _load_attributes(instructions)
        # Names came with 4.15; older kernels refuse bytes that they do not know.
        fd = _call(Command.PROG_LOAD, attributes, _ProgLoad.name.offset)
        if fd < 0:
            raise cls._refusal(attributes, name, -fd)
        return cls(fd, name)

    @classmethod
    def _refusal(cls, attributes: _ProgLoad, name: str, number: int) -> BpfError:
        log = verifier_log(attributes)
        if number == errno.EPERM and not log:
            return _failure(f"program {name} cannot be loaded", number)
        last = " / ".join(line for line in log.splitlines()[-6:] if line.strip())
        return VerifierError(f"the kernel refused program {name}: {os.strerror(number)}: {last}", number, log)

    @classmethod
    def open(cls, path: Path | str, name: str = "") -> Program:
        """The program pinned at ``path``."""
        return cls(_open_pin(path), name)

    def test_run(self, frame: bytes, repeat: int = 1, flags: int = 0) -> TestRun:
        """Run the program over a frame (BPF_PROG_TEST_RUN, 4.12); BpfError where the kernel cannot. ``flags``:
        BPF_F_TEST_*, for kernels that know them."""
        room = len(frame) + 512
        if len(self._out) < room:
            self._out = ctypes.create_string_buffer(max(room, 4096))
            self._run.data_out = ctypes.addressof(self._out)
        run = self._run
        run.size_in, run.size_out, run.data_in, run.repeat = len(frame), len(self._out), frame, repeat
        run.flags = flags
        result = _call(Command.PROG_TEST_RUN, run, None if flags else _TestRun.context_size_in.offset)
        if result < 0:
            raise _failure(f"program {self.name}: test run", -result)
        return TestRun(run.retval, ctypes.string_at(self._out, run.size_out), run.duration)

    def pin(self, path: Path | str) -> None:
        """Let the program outlive the process under ``path`` in a bpffs."""
        _pin(self.fd, path)

    def close(self) -> None:
        """Give the descriptor back; the program stays if it is pinned or attached."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()


def verifier_log(attributes: _ProgLoad, level: int = 1) -> str:
    """Load once more with a log and give what the verifier wrote; the program is not kept."""
    log = ctypes.create_string_buffer(_LOG_SIZE)
    attributes.log_level, attributes.log_size, attributes.log = level, _LOG_SIZE, ctypes.addressof(log)
    fd = _call(Command.PROG_LOAD, attributes, _ProgLoad.name.offset)
    if fd >= 0:
        os.close(fd)
    return log.value.decode(errors="replace")


def verifier_statistics(instructions: bytes) -> str:
    """What the verifier says of a program that it takes, with log level 4 (statistics, 5.2) or 1 before."""
    attributes = _load_attributes(instructions)
    return verifier_log(attributes, 4) or verifier_log(attributes, 1)


def _load_attributes(instructions: bytes) -> _ProgLoad:
    """What a load of a program asks for; the caller keeps the instructions alive."""
    return _ProgLoad(
        type=SCHED_CLS,
        count=len(instructions) // INSTRUCTION_SIZE,
        instructions=_address(instructions),
        license=_address(_LICENSE),
    )


def possible_cpus() -> int:
    """How many values a per-CPU map has: the CPUs that could ever be there."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.replace(",", "-").rsplit("-", 1)[-1]) + 1


def raise_memlock() -> None:
    """Kernels before 5.11 count maps against RLIMIT_MEMLOCK: lift it as far as we may."""
    infinite = resource.RLIM_INFINITY
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (infinite, infinite))
    except (ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


def _address(data: bytes) -> int:
    """Where the bytes lie; the caller keeps them alive for the call."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _pin(fd: int, path: Path | str) -> None:
    raw = os.fsencode(path) + b"\0"
    result = _call(Command.OBJ_PIN, _Object(_address(raw), fd, 0), _Object.flags.offset)
    if result < 0:
        raise _failure(f"cannot pin {path} (is a bpffs mounted there?)", -result)


def _open_pin(path: Path | str) -> int:
    raw = os.fsencode(path) + b"\0"
    fd = _call(Command.OBJ_GET, _Object(_address(raw), 0, 0), _Object.flags.offset)
    if fd < 0:
        raise _failure(f"cannot open pin {path}", -fd)
    return fd


def _descriptor_facts(fd: int) -> dict[str, int]:
    """The numbers that /proc tells of a map's descriptor (from 4.9 on: map_type, key_size, value_size, max_entries)."""
    facts: dict[str, int] = {}
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        name, _, value = line.partition(":")
        try:
            facts[name] = int(value.strip(), 0)
        except ValueError:
            continue
    return facts
