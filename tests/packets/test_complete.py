"""A device that has summed the whole packet (CHECKSUM_COMPLETE): the sum is mended with it, or the kernel drops what it
takes for damaged. From Linux 6.17 on, BPF_PROG_TEST_RUN makes such packets and compares the sum afterwards.
"""

from __future__ import annotations

import errno

import pytest

from tcnat.bpf import BpfError, Program
from tests.packets.harness import Harness
from tests.packets.runner import Run, TestRunRunner, Verdict
from tests.packets.table import Step
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_hairpin import talk
from tests.packets.wire import Wire

pytestmark = pytest.mark.root

CHECKSUM_COMPLETE = 1 << 2
"""BPF_F_TEST_SKB_CHECKSUM_COMPLETE."""


class CompleteRunner(TestRunRunner):
    """Runs packets whose whole sum is known; BpfError (EBADMSG) where it is wrong afterwards."""

    def _run(self, program: Program, frame: bytes) -> Run:
        try:
            done = program.test_run(frame, flags=CHECKSUM_COMPLETE)
        except BpfError as error:
            if error.errno == errno.EINVAL:
                pytest.skip("BPF_PROG_TEST_RUN makes no such packets in this kernel")
            raise
        verdict = Verdict(done.verdict)
        return Run(verdict, None if verdict is Verdict.DROP else done.frame)


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
