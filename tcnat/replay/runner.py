"""Running the programs by BPF_PROG_TEST_RUN, and through a veth pair what that refuses."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from enum import StrEnum

from tcnat.bpf import ENOTSUPP, BpfError, Program
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.loader import Loaded
from tcnat.replay.datapath import Runner, Send
from tcnat.replay.side import Side
from tcnat.replay.veth import VethRunner

_PROBE = bytes(12) + b"\x88\xb5" + bytes(46)  # a local experimental ethertype: no program reads it
_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, ENOTSUPP})
Programs = Mapping[tuple[Side, Family], Program]


class Through(StrEnum):
    """How frames reach the programs."""

    AUTO = "auto"
    TEST_RUN = "test-run"
    VETH = "veth"


class TestRunner:
    """BPF_PROG_TEST_RUN. It takes no frame above about a page and, on newer kernels, none without a whole IP header:
    those go through ``other``, which is made when the first comes."""

    __test__ = False

    def __init__(self, programs: Programs, make_other: Callable[[], Runner]) -> None:
        self._programs = programs
        self._make_other = make_other
        self._other: Runner | None = None

    def way(self, side: Side, family: Family) -> Send:
        """See :class:`tcnat.replay.datapath.Runner`."""
        test_run = self._programs[side, family].test_run

        def send(frame: bytes) -> tuple[int, bytes]:
            try:
                ran = test_run(frame)
            except BpfError as error:
                if error.errno != errno.EINVAL:
                    raise
                return self._by_other(side, family, frame)
            return ran.verdict, ran.frame

        return send

    def _by_other(self, side: Side, family: Family, frame: bytes) -> tuple[int, bytes]:
        if self._other is None:
            self._other = self._make_other()
        return self._other.way(side, family)(frame)


def programs_of(loaded: Mapping[Family, Loaded]) -> Programs:
    """The programs by side and family."""
    return {
        (side, family): program
        for family, one in loaded.items()
        for side, program in ((Side.EGRESS, one.egress), (Side.INGRESS, one.ingress))
    }


def can_test_run(program: Program) -> bool:
    """Whether this kernel has BPF_PROG_TEST_RUN (4.12), by trying; BpfError if it is refused for other reasons."""
    try:
        program.test_run(_PROBE)
    except BpfError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def choose(programs: Programs, through: Through, make_veth: Callable[[], VethRunner]) -> Runner:
    """The runner that was asked for; TEST_RUN on a kernel without it is a TcnatError."""
    if through is Through.VETH:
        return make_veth()
    if all(can_test_run(program) for program in programs.values()):
        return TestRunner(programs, make_veth)
    if through is Through.TEST_RUN:
        raise TcnatError("this kernel has no BPF_PROG_TEST_RUN (Linux 4.12 has it); try --through veth")
    return make_veth()
