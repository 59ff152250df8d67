"""A device that has summed the whole packet (CHECKSUM_COMPLETE): the sum is mended with it, or the kernel drops what it
takes for damaged. From Linux 6.17 on, BPF_PROG_TEST_RUN makes such packets and compares the sum afterwards.
"""

from __future__ import annotations

import ctypes
import errno

import pytest

from tcnat.bpf import Command, Program
from tests.packets.harness import Harness
from tests.packets.runner import Run, TestRunRunner, Verdict
from tests.packets.table import Step
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_hairpin import talk
from tests.packets.wire import Wire

pytestmark = pytest.mark.root

CHECKSUM_COMPLETE = 1 << 2
"""BPF_F_TEST_SKB_CHECKSUM_COMPLETE."""
SYSCALL = 321


class Attributes(ctypes.Structure):
    """What BPF_PROG_TEST_RUN is told, with its flags (include/uapi/linux/bpf.h)."""

    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("retval", ctypes.c_int32),
        ("size_in", ctypes.c_uint32),
        ("size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
    )


class CompleteRunner(TestRunRunner):
    """Runs packets whose whole sum is known; OSError (EBADMSG) where it is wrong afterwards."""

    def _run(self, program: Program, frame: bytes) -> Run:
        out = ctypes.create_string_buffer(4096)
        run = Attributes(
            fd=program.fd,
            size_in=len(frame),
            size_out=len(out),
            data_in=frame,
            data_out=ctypes.addressof(out),
            flags=CHECKSUM_COMPLETE,
        )
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(SYSCALL, Command.PROG_TEST_RUN, ctypes.byref(run), ctypes.sizeof(run)) < 0:
            number = ctypes.get_errno()
            if number == errno.EINVAL:
                pytest.skip("BPF_PROG_TEST_RUN makes no such packets in this kernel")
            raise OSError(number, "test run")
        verdict = Verdict(run.retval)
        return Run(verdict, None if verdict is Verdict.DROP else out.raw[: run.size_out])


@pytest.fixture
def whole_sums(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """The programs, which get packets with a whole sum."""
    if not isinstance(harness.runner, TestRunRunner):
        pytest.skip("only BPF_PROG_TEST_RUN makes such packets")
    harness.reset()
    monkeypatch.setattr(harness, "runner", CompleteRunner(harness.loaded))
    return harness


def conversations(w: Wire) -> dict[str, list[Step]]:
    """TCP, UDP and a hairpin's. Of UDP without a checksum the kernel does not ask the sum."""
    return {
        "a TCP connection": [*opened(w), to_web(w, "PA", payload=b"a"), from_web(w, "PA", payload=b"abc")],
        "a UDP conversation": [to_dns(w), from_dns(w), to_dns(w), from_dns(w)],
        "a hairpin": list(talk(w)),
    }


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", ["a TCP connection", "a UDP conversation", "a hairpin"])
def test_a_sum_of_the_whole_packet_stays_right(whole_sums: Harness, name: str) -> None:
    for step in conversations(Wire(whole_sums.family))[name]:
        step.play(whole_sums)
