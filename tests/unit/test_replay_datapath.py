"""The clock that follows a capture, and reasons told by counters; the kernel is played by the test."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tcnat.bpf import BpfError, TestRun
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.reasons import Reason, reasons
from tcnat.replay.datapath import Clock, KernelDatapath, Send
from tcnat.replay.runner import TestRunner as Runner
from tcnat.replay.runner import Through, choose
from tcnat.replay.side import Side
from tests.unit.replay_fates import REASONS

SECOND = 1_000_000_000
UNSPEC, SHOT, REDIRECT = -1, 2, 7
NOON = 1_700_000_000 * SECOND


@pytest.fixture(autouse=True)
def every_cpu() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


class Kernel:
    """Maps of one family, and a runner that counts and answers what the test says."""

    def __init__(self) -> None:
        self.counters = {reason.number: 0 for reason in reasons()}
        self.settings = struct.pack("=Q", 0) + b"other settings"
        self.writes = 0
        self.looked_at: list[int] = []
        self.next: tuple[Reason | None, int, bytes] = (None, UNSPEC, b"frame")
        counters = SimpleNamespace(lookup=self._look_up)
        settings = SimpleNamespace(lookup=lambda key: self.settings, update=self._write)
        self.loaded: Any = SimpleNamespace(maps={"counters": counters, "settings": settings})

    def _look_up(self, key: bytes) -> bytes:
        number = int.from_bytes(key, sys.byteorder)
        self.looked_at.append(number)
        return struct.pack("=QQQQ", self.counters[number], 1, 2, 3)  # two CPUs' packets and bytes

    def _write(self, key: bytes, value: bytes) -> None:
        self.settings = value
        self.writes += 1

    def way(self, side: Side, family: Family) -> Send:
        def send(frame: bytes) -> tuple[int, bytes]:
            reason, verdict, leaving = self.next
            if reason is not None:
                self.counters[reason.number] += 1
            self.looked_at.clear()
            return verdict, leaving

        return send

    def now(self) -> int:
        return int(struct.unpack_from("=Q", self.settings)[0])


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def datapath(kernel: Kernel) -> KernelDatapath:
    return KernelDatapath({Family.IPV4: kernel.loaded}, kernel)


def test_the_clock_follows_time_stamps_and_is_never_zero_and_never_goes_back() -> None:
    clock = Clock()
    start = clock.at(0)
    assert start > 0
    assert clock.at(5 * SECOND) == start + 5 * SECOND
    assert clock.at(2 * SECOND) == start + 5 * SECOND
    assert clock.at(5 * SECOND + 999_999) == start + 5 * SECOND
    assert clock.at(5 * SECOND + 1_000_001) == start + 5 * SECOND + 1_000_000


def test_the_clock_of_any_capture_fits_the_programs_seconds() -> None:
    for first in (0, NOON, 0xFFFF_FFFF * SECOND):
        assert Clock().at(first) == Clock().at(0)
    clock = Clock()
    clock.at(NOON)
    assert clock.at(0) == Clock().at(0)


def test_now_is_written_when_it_changes_and_the_other_settings_stay(kernel: Kernel, datapath: KernelDatapath) -> None:
    datapath.run(Side.EGRESS, Family.IPV4, b"frame", NOON, False)
    first = kernel.now()
    assert kernel.settings[8:] == b"other settings"
    datapath.run(Side.EGRESS, Family.IPV4, b"frame", NOON + 1000, False)
    assert kernel.writes == 1
    datapath.run(Side.EGRESS, Family.IPV4, b"frame", NOON + 60 * SECOND, False)
    assert kernel.now() == first + 60 * SECOND
    assert kernel.settings[8:] == b"other settings"


def told(datapath: KernelDatapath, side: Side = Side.EGRESS, *, plain: bool = False) -> Reason | None:
    _, reason, _ = datapath.run(side, Family.IPV4, b"frame", NOON, plain)
    return reason


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("reason", reasons(), ids=lambda reason: reason.name)
def test_the_reason_is_the_counter_that_moved(
    kernel: Kernel, datapath: KernelDatapath, reason: Reason, side: Side
) -> None:
    verdict = {"rewrite": UNSPEC, "answer": REDIRECT, "drop": SHOT, "pass": UNSPEC}[reason.verdict]
    leaving = b"frame" if reason.verdict == "pass" else b"other"
    kernel.next = (reason, verdict, leaving)
    for _ in range(2):
        ran = datapath.run(side, Family.IPV4, b"frame", NOON, False)
        assert ran == (None if verdict == SHOT else leaving, reason, verdict == REDIRECT)
    assert kernel.looked_at == [reason.number], "the second time, the first look is the right one"


@pytest.mark.parametrize(("side", "name"), [(Side.EGRESS, "forwarded"), (Side.INGRESS, "reversed")])
def test_the_usual_reason_of_a_plain_packet_costs_no_look_and_is_not_taken_for_a_later_ones(
    kernel: Kernel, datapath: KernelDatapath, side: Side, name: str
) -> None:
    kernel.next = (REASONS[name], UNSPEC, b"other")
    for _ in range(3):
        assert told(datapath, side, plain=True) == REASONS[name]
        assert kernel.looked_at == []
    kernel.next = (None, UNSPEC, b"frame")
    assert told(datapath, side, plain=True) is None
    assert told(datapath, side) is None
    kernel.next = (REASONS[name], UNSPEC, b"other")
    assert told(datapath, side) == REASONS[name]


def test_every_verdict_can_follow_every_other(kernel: Kernel, datapath: KernelDatapath) -> None:
    names = ["forwarded", "malformed_ip", "no_endpoint", "reject_no_endpoint", "reversed", "icmp_unknown_flow"]
    for first in names:
        for second in names:
            for name in (first, second):
                reason = REASONS[name]
                verdict = {"answer": REDIRECT, "drop": SHOT}.get(reason.verdict, UNSPEC)
                kernel.next = (reason, verdict, b"frame" if reason.verdict == "pass" else b"other")
                assert told(datapath) == reason
            kernel.next = (None, UNSPEC, b"frame")
            assert told(datapath) is None


@pytest.mark.parametrize(("side", "name"), [(Side.EGRESS, "forwarded"), (Side.INGRESS, "reversed")])
def test_a_plain_packet_straight_to_a_backend_costs_one_look(
    kernel: Kernel, datapath: KernelDatapath, side: Side, name: str
) -> None:
    kernel.next = (REASONS[name], UNSPEC, b"frame")
    assert told(datapath, side, plain=True) == REASONS[name]
    kernel.next = (None, UNSPEC, b"frame")
    assert told(datapath, side, plain=True) is None
    assert kernel.looked_at == [REASONS[name].number]


def test_a_hairpin_is_rewritten_and_sent_back(kernel: Kernel, datapath: KernelDatapath) -> None:
    kernel.next = (REASONS["forwarded"], REDIRECT, b"other")
    ran = datapath.run(Side.EGRESS, Family.IPV4, b"frame", NOON, True)
    assert ran == (b"other", REASONS["forwarded"], True)


def test_the_process_is_held_on_one_cpu(datapath: KernelDatapath) -> None:
    assert len(os.sched_getaffinity(0)) == 1


class FakeProgram:
    """A program whose test runs fail with an errno for frames longer than ``most``."""

    def __init__(self, most: int, number: int = errno.EINVAL) -> None:
        self.most = most
        self.number = number

    def test_run(self, frame: bytes) -> TestRun:
        if len(frame) > self.most:
            raise BpfError("test run", self.number)
        return TestRun(UNSPEC, b"ran " + frame, 0)


class FakeVeth:
    def way(self, side: Side, family: Family) -> Send:
        return lambda frame: (UNSPEC, b"veth " + frame)


def programs(program: FakeProgram) -> Any:
    return {(side, Family.IPV4): program for side in Side}


def test_frames_that_a_test_run_refuses_go_through_veth_pairs_that_are_made_once() -> None:
    made = []
    runner = Runner(programs(FakeProgram(8)), lambda: made.append(1) or FakeVeth())  # type: ignore[func-returns-value]
    assert runner.way(Side.EGRESS, Family.IPV4)(b"short") == (UNSPEC, b"ran short")
    assert made == []
    for _ in range(2):
        assert runner.way(Side.EGRESS, Family.IPV4)(b"a longer frame") == (UNSPEC, b"veth a longer frame")
    assert made == [1]


def test_other_failures_of_a_test_run_are_told() -> None:
    runner = Runner(programs(FakeProgram(8, errno.EPERM)), FakeVeth)
    with pytest.raises(BpfError):
        runner.way(Side.EGRESS, Family.IPV4)(b"a longer frame")


@pytest.mark.parametrize(
    ("most", "through", "kind"),
    [
        (9999, Through.AUTO, Runner),
        (9999, Through.TEST_RUN, Runner),
        (9999, Through.VETH, FakeVeth),
        (0, Through.AUTO, FakeVeth),
        (0, Through.VETH, FakeVeth),
    ],
)
@pytest.mark.parametrize("number", [errno.EINVAL, 524])
def test_the_runner_is_chosen_by_probe(most: int, through: Through, kind: type, number: int) -> None:
    make: Any = FakeVeth
    assert isinstance(choose(programs(FakeProgram(most, number)), through, make), kind)


def test_a_test_run_that_the_kernel_has_not_is_told() -> None:
    make: Any = FakeVeth
    with pytest.raises(TcnatError, match=r"no BPF_PROG_TEST_RUN .* try --through veth"):
        choose(programs(FakeProgram(0)), Through.TEST_RUN, make)
