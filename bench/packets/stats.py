"""What the programs take on real traffic, by the kernel's own statistics (BPF_ENABLE_STATS, 5.8).

A host asks an echo server through tcnat's programs, on a device that faces the network or on a pod's. The kernel reads
its clock before and after each run of a program, which costs more than a small program does: an empty program on the
same device, in the same traffic, tells how much. The calibration is there, too.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tcnat.attach import Attacher
from tcnat.bpf import Program
from tcnat.filters import PROTOCOL, Programs, Role
from tcnat.layout import Family
from tcnat.links import Filter, Hook
from tcnat.netlink import Netlink
from tests.lab.echo import Echo
from tests.lab.lab import Lab

from ..figures import Figure
from .programs import Rig
from .timing import CALIBRATION, EMPTY, SERVICES, TCNAT
from .world import serve, settle

ENABLE_STATS = 32
_SYSCALL = {"x86_64": 321}.get(platform.machine(), 280)
FRONT_END = {Family.IPV4: "10.96.1.1", Family.IPV6: "fd96::1:1"}
FRONT_PORT, ECHO_PORT, OTHER_PORT = 53, 7, 8
FIRST_PRIORITY = 100
PARTS = 5
"""Runs that the traffic of each kind is cut into."""
QUESTION = bytes(64)
OPEN = "an open UDP flow"
Times = dict[tuple[str, str], list[float]]
"""("from a client" or "to a client", program) -> nanoseconds a packet, run by run."""


@contextmanager
def statistics() -> Iterator[None]:
    """Have the kernel keep times of programs. It ends with the descriptor. OSError where the kernel cannot."""
    what = ctypes.c_uint32(0)  # BPF_STATS_RUN_TIME
    fd = ctypes.CDLL(None, use_errno=True).syscall(_SYSCALL, ENABLE_STATS, ctypes.byref(what), ctypes.sizeof(what))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "BPF_ENABLE_STATS")
    try:
        yield
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a program has taken so far."""

    nanoseconds: int
    runs: int

    @classmethod
    def of(cls, program: Program) -> Reading:
        """By /proc."""
        lines = (line.split() for line in Path(f"/proc/self/fdinfo/{program.fd}").read_text().splitlines())
        facts = {words[0]: words[1] for words in lines if len(words) > 1}
        return cls(int(facts["run_time_ns:"]), int(facts["run_cnt:"]))

    def since(self, before: Reading) -> float:
        """Nanoseconds a run. ZeroDivisionError where there was none."""
        return (self.nanoseconds - before.nanoseconds) / (self.runs - before.runs)


class Site:
    """A lab with the programs on one device: the client's own, which faces the network, or the node's of a pod."""

    def __init__(self, lab: Lab, family: Family) -> None:
        self._rig = Rig(family)
        self._lab = lab
        backend = lab.backends[0].addresses
        self._backend = backend.v4 if family is Family.IPV4 else backend.v6
        self._kind = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
        settle(self._rig.maps, family, SERVICES)
        serve(self._rig.maps, family, (FRONT_END[family], FRONT_PORT), (self._backend, ECHO_PORT))
        self._ways = {
            "from a client": {TCNAT: self._rig.loaded.egress, **self._beside()},
            "to a client": {TCNAT: self._rig.loaded.ingress, **self._beside()},
        }
        self._attach("pod1" if lab.pods else "eth0", Role.WORKLOAD if lab.pods else Role.NETWORK)

    def _beside(self) -> dict[str, Program]:
        return {name: self._rig.load(program) for name, program in ((EMPTY, "empty"), (CALIBRATION, "calibration"))}

    def _attach(self, device: str, role: Role) -> None:
        family = self._rig.family
        from_client = Hook.INGRESS if role is Role.WORKLOAD else Hook.EGRESS
        to_client = Hook.EGRESS if role is Role.WORKLOAD else Hook.INGRESS
        programs = (self._rig.loaded.egress.fd, self._rig.loaded.ingress.fd)
        with closing(Attacher(self._lab.node.name)) as attacher:
            attacher.attach(
                device, role, Programs(*programs) if family is Family.IPV4 else Programs(None, None, *programs)
            )
        with closing(Netlink(self._lab.node.name)) as netlink:
            index = netlink.link(device).index
            for way, hook in (("from a client", from_client), ("to a client", to_client)):
                for number, name in enumerate((EMPTY, CALIBRATION)):
                    wanted = Filter(
                        index,
                        hook,
                        FIRST_PRIORITY + 10 * family + number,
                        PROTOCOL[family],
                        1,
                        "bpf",
                        name="bench",
                        direct_action=True,
                    )
                    netlink.replace_filter(wanted, self._ways[way][name].fd)

    def measure(self, packets: int) -> dict[str, Times]:
        """Kind of traffic -> times."""
        front = (FRONT_END[self._rig.family], FRONT_PORT)
        return {
            OPEN: self._run(lambda ask: ask(front, packets // PARTS, fresh=False)),
            "a new UDP flow for each": self._run(lambda ask: ask(front, packets // PARTS, fresh=True)),
            "no Service's": self._run(lambda ask: ask((self._backend, OTHER_PORT), packets // PARTS, fresh=False)),
        }

    def _run(self, load: Callable[[Callable[..., None]], None]) -> Times:
        found: Times = defaultdict(list)
        every = [(way, name, program) for way, programs in self._ways.items() for name, program in programs.items()]
        for _ in range(PARTS):
            before = [Reading.of(program) for _, _, program in every]
            load(self._ask)
            for (way, name, program), first in zip(every, before, strict=True):
                found[way, name].append(Reading.of(program).since(first))
        return found

    def _ask(self, target: tuple[str, int], count: int, *, fresh: bool) -> None:
        """Questions one after the other, each answered before the next; a ``fresh`` one has a socket of its own."""
        asking = self._lab.client.socket(self._kind, socket.SOCK_DGRAM)
        for _ in range(count):
            if fresh:
                asking.close()
                asking = self._lab.client.socket(self._kind, socket.SOCK_DGRAM)
            asking.sendto(QUESTION, target)
            asking.recv(1024)
        asking.close()


def figures(packets: int) -> list[Figure]:
    """Each kind of traffic, both directions and families: tcnat's time less the empty program's, and that one's."""
    found = []
    with statistics():
        for device, pods in (("network", 0), ("workload", 1)):
            with ExitStack() as stack:
                lab = stack.enter_context(Lab(backends=1, pods=pods))
                for port in (ECHO_PORT, OTHER_PORT):
                    stack.enter_context(Echo(lab.backends[0], "echo", port))
                for family in Family:
                    for traffic, times in Site(lab, family).measure(packets).items():
                        title = f"real traffic, device faces the {device}, IPv{family}: {traffic}"
                        found += _figures(title, times, whole=traffic == OPEN)
    return found


def _figures(title: str, times: Times, *, whole: bool) -> list[Figure]:
    """Of tcnat; and, where the ``whole`` is wanted, of what it is measured against."""
    made = []
    for way in ("from a client", "to a client"):
        empty = times[way, EMPTY]
        for name in (TCNAT, CALIBRATION) if whole else (TCNAT,):
            net = tuple(own - nothing for own, nothing in zip(times[way, name], empty, strict=True))
            made.append(Figure(f"{title}, {way}: {name} less the empty program", "ns", net))
        if whole:
            made.append(Figure(f"{title}, {way}: the empty program, most of it the clock", "ns", tuple(empty)))
    return made
