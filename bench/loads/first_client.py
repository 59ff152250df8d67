"""The client of :mod:`bench.loads.first`, a program of its own: new sockets one after the other, each of them timed.

What it times is the system calls between which a packet goes there and comes back, and what Python does between a
clock's reading and the next: well below a microsecond. Opening and closing the socket is not in the times, but in the
rate and in the CPU time.
"""

from __future__ import annotations

import gc
import json
import socket
import struct
import sys
import time
from collections.abc import Callable

_PATIENCE = struct.pack("ll", 0, 900_000)
"""A timeval, until a packet counts as lost: a SYN is sent again after a second. Python's own time-outs would have it
ask the kernel a second time, whether the socket is ready.
"""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset, so that neither end keeps the ports for a while."""
_QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06whoami\x03lab\x00\x00\x10\x00\x01"
"""The TXT record of whoami.lab (RFC 1035)."""

Target = tuple[str, int]


def connect(target: Target) -> int:
    """Nanoseconds of one connect(). OSError where it fails."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        began = time.perf_counter_ns()
        one.connect(target)
        return time.perf_counter_ns() - began


def ask(target: Target) -> int:
    """Nanoseconds from the question to its answer. OSError where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        one.connect(target)
        began = time.perf_counter_ns()
        one.send(_QUESTION)
        one.recv(512)
        return time.perf_counter_ns() - began


def repeat(once: Callable[[Target], int], target: Target, seconds: float) -> tuple[list[int], int, int]:
    """Do it for so long: what each took, how long all took, both in nanoseconds, and how many failed."""
    taken, failed = [], 0
    gc.disable()
    began = time.perf_counter_ns()
    end = began + int(seconds * 1e9)
    while time.perf_counter_ns() < end:
        try:
            taken.append(once(target))
        except OSError:
            failed += 1
    return taken, time.perf_counter_ns() - began, failed


if __name__ == "__main__":
    protocol, address, port, seconds = sys.argv[1:]
    print(json.dumps(repeat({"TCP": connect, "UDP": ask}[protocol], (address, int(port)), float(seconds))))
