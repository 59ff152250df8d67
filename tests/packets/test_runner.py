"""Which runner is taken, and that both of them tell the same."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tcnat.bpf import BpfError, Program
from tests.packets import test_tcp
from tests.packets.device_runner import DeviceRunner
from tests.packets.harness import Harness
from tests.packets.runner import SWITCH, Runner, TestRunRunner, has_test_run, runner_for
from tests.packets.table import play
from tests.packets.wire import Wire


class WithoutTestRun(Program):
    """A program on a kernel that has no BPF_PROG_TEST_RUN."""

    def test_run(self, frame: bytes, repeat: int = 1) -> None:  # type: ignore[override]
        """The kernel does not know the command."""
        raise BpfError("test run", errno.EINVAL)

    def close(self) -> None:
        """The descriptor is another object's."""


@pytest.fixture
def family() -> int:
    return 4


@pytest.fixture
def both(harness: Harness) -> Iterator[list[Harness]]:
    """The same programs behind either runner."""
    runners: list[Runner] = [TestRunRunner(harness.loaded), DeviceRunner.on_veth(harness.loaded)]
    yield [Harness(harness.loaded, runner) for runner in runners]
    for runner in runners:
        runner.close()


def test_the_environment_chooses(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "veth")
    runner = runner_for(harness.loaded)
    assert isinstance(runner, DeviceRunner)
    runner.close()
    monkeypatch.setenv(SWITCH, "test_run")
    assert isinstance(runner_for(harness.loaded), TestRunRunner)
    monkeypatch.setenv(SWITCH, "carrier pigeon")
    with pytest.raises(ValueError, match="say test_run or veth"):
        runner_for(harness.loaded)


def test_a_kernel_without_test_runs_gets_devices(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    lacking = replace(harness.loaded, egress=WithoutTestRun(harness.loaded.egress.fd))
    assert not has_test_run(lacking)
    runner = runner_for(lacking)
    assert isinstance(runner, DeviceRunner)
    runner.close()


def test_both_run_the_same_rows(both: list[Harness]) -> None:
    for row in test_tcp.CLOSING_ROWS:
        for harness in both:
            play(row, harness)


def test_both_tell_the_same_of_every_verdict(both: list[Harness]) -> None:
    w = Wire(4)
    frames = [
        w.tcp(w.client, 40000, each, 80) for each in (w.web_vip, w.empty_vip, w.local_vip, w.stranger, w.self_vip)
    ]
    told = []
    for harness in both:
        harness.reset()
        told.append([harness.egress(bytes(frame)) for frame in frames])
    assert told[0] == told[1]
    assert len({run.verdict for run in told[0]}) == 3


def test_a_device_takes_the_shortest_and_the_longest_frame_that_its_runner_names(both: list[Harness]) -> None:
    for harness in both:
        harness.reset()
        for size in (harness.runner.least, harness.runner.most):
            assert harness.egress(bytes(12) + b"\x08\x00" + bytes(size - 14)).frame is not None
