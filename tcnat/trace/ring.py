"""Perf ring buffers by perf_event_open(2): one for each CPU, filled by bpf_perf_event_output.

Source: include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import select
import struct
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple, Self

from tcnat.bpf import BpfError, Map
from tcnat.layout import number_bytes

PAGES = 64
"""Pages of each CPU's buffer; a power of two."""
_SYSCALLS = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "ppc64le": 319, "s390x": 331}
_SOFTWARE, _BPF_OUTPUT, _SAMPLE_RAW = 1, 10, 1 << 10
_CLOSE_ON_EXEC = 8
_ENABLE = 0x2400
_LOST, _SAMPLE = 2, 9
_HEAD, _TAIL = 1024, 1032
"""Offsets of data_head and data_tail in the control page."""
_HEADER = struct.Struct("=IHH")


class Taken(NamedTuple):
    """What one look into a buffer gave: records in the order in which the CPU wrote them, and how many were lost."""

    cpu: int
    records: list[bytes]
    lost: int


class _Buffer:
    """One CPU's buffer."""

    def __init__(self, cpu: int, pages: int) -> None:
        self.cpu = cpu
        self.fd = _open_event(cpu)
        self._size = pages * mmap.PAGESIZE
        self._memory = mmap.mmap(self.fd, self._size + mmap.PAGESIZE)
        ioctl(self.fd, _ENABLE, 0)

    def take(self) -> Taken:
        """Everything that is there; the room is given back to the kernel."""
        head = int.from_bytes(self._memory[_HEAD : _HEAD + 8], "little")
        tail = int.from_bytes(self._memory[_TAIL : _TAIL + 8], "little")
        records: list[bytes] = []
        lost = 0
        while tail < head:
            kind, _, size = _HEADER.unpack(self._at(tail, _HEADER.size))
            body = self._at(tail + _HEADER.size, size - _HEADER.size)
            if kind == _SAMPLE:
                length = int.from_bytes(body[:4], "little")
                records.append(body[4 : 4 + length])
            elif kind == _LOST:
                lost += int.from_bytes(body[8:16], "little")
            tail += size
        self._memory[_TAIL : _TAIL + 8] = tail.to_bytes(8, "little")
        return Taken(self.cpu, records, lost)

    def _at(self, position: int, size: int) -> bytes:
        start = position % self._size
        first = min(size, self._size - start)
        data = self._memory[mmap.PAGESIZE + start : mmap.PAGESIZE + start + first]
        return data + self._memory[mmap.PAGESIZE : mmap.PAGESIZE + size - first]

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


class Ring:
    """The buffers of all CPUs that are online, put into an events map. A context manager."""

    def __init__(self, events: Map, pages: int = PAGES) -> None:
        self._events = events
        self._poll = select.poll()
        self._buffers: dict[int, _Buffer] = {}
        for cpu in online_cpus():
            buffer = _Buffer(cpu, pages)
            self._buffers[buffer.fd] = buffer
            self._poll.register(buffer.fd, select.POLLIN)
            events.update(number_bytes(cpu), number_bytes(buffer.fd))

    def descriptors(self) -> list[int]:
        """What to poll for reading."""
        return list(self._buffers)

    def take(self) -> Iterator[Taken]:
        """What every buffer holds now."""
        for buffer in self._buffers.values():
            yield buffer.take()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for buffer in self._buffers.values():
            self._events.delete(number_bytes(buffer.cpu))
            buffer.close()
        self._buffers.clear()


def online_cpus() -> list[int]:
    """The CPUs that run."""
    cpus: list[int] = []
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def _open_event(cpu: int) -> int:
    attributes = bytearray(112)
    struct.pack_into("=IIQQQ", attributes, 0, _SOFTWARE, len(attributes), _BPF_OUTPUT, 1, _SAMPLE_RAW)
    struct.pack_into("=I", attributes, 48, 1)  # wakeup_events
    raw = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(_SYSCALLS.get(platform.machine(), 298), raw, -1, cpu, -1, _CLOSE_ON_EXEC)
    if fd < 0:
        number = ctypes.get_errno()
        raise BpfError(f"no perf buffer on CPU {cpu}: {os.strerror(number)}; run as root (CAP_SYS_ADMIN)", number)
    return fd
