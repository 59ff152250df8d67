"""How a frame comes to a program and back."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tcnat.bpf import BpfError, Program
from tcnat.loader import Loaded

SWITCH = "TCNAT_PACKET_RUNNER"
"""Environment variable: ``test_run`` or ``veth``; without it BPF_PROG_TEST_RUN is used where the kernel has it."""


class Verdict(Enum):
    """What became of a frame."""

    PASS = -1
    """TC_ACT_UNSPEC: on its way, seen by the filters that come later."""
    DROP = 2
    """TC_ACT_SHOT"""
    SEND_BACK = 7
    """TC_ACT_REDIRECT, to where it came from"""


@dataclass(frozen=True, slots=True)
class Run:
    """A verdict, and the frame unless it was dropped."""

    verdict: Verdict
    frame: bytes | None


class Runner(Protocol):
    """Brings frames to one family's programs."""

    least: int
    """Bytes of the shortest frame that can be run."""
    most: int
    """Bytes of the longest."""

    def egress(self, frame: bytes) -> Run:
        """A frame from a client."""

    def ingress(self, frame: bytes) -> Run:
        """A frame to a client."""

    def close(self) -> None:
        """Give back what it holds."""


class TestRunRunner:
    """BPF_PROG_TEST_RUN, from 4.12 on. The device is the loopback, which counts as Ethernet facing the network."""

    __test__ = False

    most = 3500
    """The kernel takes a page less its own overhead."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.least = 14 + (20 if loaded.family == 4 else 40)

    def egress(self, frame: bytes) -> Run:
        """A frame from a client."""
        return self._run(self._loaded.egress, frame)

    def ingress(self, frame: bytes) -> Run:
        """A frame to a client."""
        return self._run(self._loaded.ingress, frame)

    def close(self) -> None:
        """Nothing is held."""

    def _run(self, program: Program, frame: bytes) -> Run:
        done = program.test_run(frame)
        verdict = Verdict(done.verdict)
        return Run(verdict, None if verdict is Verdict.DROP else done.frame)


def has_test_run(loaded: Loaded) -> bool:
    """Whether the kernel has BPF_PROG_TEST_RUN for these programs."""
    try:
        loaded.egress.test_run(bytes(64))
    except BpfError as error:
        if error.errno in {errno.EINVAL, errno.ENOTSUP, 524}:
            return False
        raise
    return True


def runner_for(loaded: Loaded) -> Runner:
    """The runner that the environment asks for, or the best that this kernel has."""
    from tests.packets.device_runner import DeviceRunner  # noqa: PLC0415 - pyroute2 only where it is needed

    wish = os.environ.get(SWITCH) or ("test_run" if has_test_run(loaded) else "veth")
    if wish not in {"test_run", "veth"}:
        raise ValueError(f"{SWITCH} is {wish!r}: say test_run or veth")
    return TestRunRunner(loaded) if wish == "test_run" else DeviceRunner.on_veth(loaded)
