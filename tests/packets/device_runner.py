"""Frames through real devices: a clsact hook with the program under test, and taps wherever a frame can turn up.

This is the way on kernels without BPF_PROG_TEST_RUN (4.9), and the only one for what that call cannot show: the bits
that tell a program of its device, devices without a link-layer header, tc_index, frames shorter than an IP header or
longer than a page. All devices live in a network namespace that has no name and ends with its sockets.
"""

from __future__ import annotations

import select
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pyroute2 import IPRoute

from tcnat.bpf import Program
from tcnat.loader import Loaded
from tests.packets.devices import DEVICE_MTU, ETH_P_ALL, ETHERTYPE, Device, Tun, Veth, quiet_namespace
from tests.packets.names import CLIENT_MAC
from tests.packets.runner import Run, Verdict

HOOK_INGRESS, HOOK_EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
PATIENCE = 5.0
"""Seconds after which a sentinel counts as lost."""
WORKLOAD, NO_LINK_HEADER = 1, 2
"""Bits of a filter's classid."""
REDIRECT = 23
"""The number of the helper bpf_redirect."""

Made = TypeVar("Made")


@dataclass(slots=True)
class Hook:
    """A device with one program at one of its hooks; what is passed on, by it or for want of it, is in the sink."""

    device: Device
    sink: Device
    at_egress: bool

    def run(self, frame: bytes) -> Run:
        """Send the frame and then a sentinel, which no program under test looks at: behind it nothing is to come."""
        for each in (self.device, self.sink):
            each.sent()
            each.received()
        give = self.device.send_out if self.at_egress else self.device.send_in
        give(frame)
        give(self.device.sentinel)
        passed = self._until_sentinel()
        back = self.device.received() if self.at_egress else self.device.sent()
        if len(passed) + len(back) > 1:
            raise AssertionError(f"one frame went in; passed on: {passed}, sent back: {back}")
        if passed:
            return Run(Verdict.PASS, passed[0])
        return Run(Verdict.SEND_BACK, back[0]) if back else Run(Verdict.DROP, None)

    def _until_sentinel(self) -> list[bytes]:
        passed: list[bytes] = []
        for _ in range(int(PATIENCE * 1000)):
            passed += self.sink.sent()
            if self.device.sentinel in passed:
                passed.remove(self.device.sentinel)
                return passed
            select.select([], [], [], 0.001)
        raise AssertionError(f"a frame was sent, but the one behind it did not arrive within {PATIENCE} s")


@dataclass(slots=True)
class DeviceRunner:
    """A runner with a device for each program."""

    egress_hook: Hook
    ingress_hook: Hook
    least: int = 14
    most: int = DEVICE_MTU
    kept: list[Program] = field(default_factory=list)

    def egress(self, frame: bytes) -> Run:
        """A frame from a client."""
        return self.egress_hook.run(frame)

    def ingress(self, frame: bytes) -> Run:
        """A frame to a client."""
        return self.ingress_hook.run(frame)

    def close(self) -> None:
        """Give the devices back."""
        for device in (
            self.egress_hook.device,
            self.egress_hook.sink,
            self.ingress_hook.device,
            self.ingress_hook.sink,
        ):
            device.close()

    @classmethod
    def on_veth(
        cls,
        loaded: Loaded,
        *,
        workload: bool = False,
        offloads: bool = False,
        times: int = 1,
        ingress_behind: bool = False,
    ) -> DeviceRunner:
        """Ethernet devices, facing the network or a workload. ``times``: how many filters run the program in a row;
        ``ingress_behind``: tc_ingress runs behind tc_egress, as at another device that the packet comes to."""

        def make(netlink: IPRoute) -> DeviceRunner:
            devices = [Veth(netlink, name, CLIENT_MAC, offloads=offloads) for name in ("e", "i")]
            sinks = [Veth(netlink, name, offloads=offloads) for name in ("es", "is")]
            return cls._with(loaded, netlink, devices, sinks, WORKLOAD if workload else 0, times, ingress_behind)

        return in_private_network(make)

    @classmethod
    def on_tun(cls, loaded: Loaded, *, workload: bool = False) -> DeviceRunner:
        """Devices without a link-layer header."""

        def make(netlink: IPRoute) -> DeviceRunner:
            devices = [Tun(netlink, name, loaded.family) for name in ("e", "i")]
            sinks = [Tun(netlink, name, loaded.family) for name in ("es", "is")]
            return cls._with(loaded, netlink, devices, sinks, NO_LINK_HEADER | (WORKLOAD if workload else 0), 1)

        return in_private_network(make)

    @classmethod
    def _with(
        cls,
        loaded: Loaded,
        netlink: IPRoute,
        devices: Iterable[Device],
        sinks: Iterable[Device],
        classid: int,
        times: int,
        ingress_behind: bool = False,
    ) -> DeviceRunner:
        """Attach tc_egress and tc_ingress where the role of the device has them, each to a device of its own."""
        kept = []
        hooks = []
        at_egress = not classid & WORKLOAD
        for device, sink, program in zip(devices, sinks, (loaded.egress, loaded.ingress), strict=True):
            pass_on = Program.load(redirect_to(sink.index), "pass_on")
            netlink.tc("add", "clsact", device.index)
            where = Filters(netlink, device.index, at_egress)
            for _ in range(times):
                where.add(program, ETHERTYPE[loaded.family], classid)
            if ingress_behind and program is loaded.egress:
                where.add(loaded.ingress, ETHERTYPE[loaded.family], classid)
            where.add(pass_on, ETH_P_ALL)
            hooks.append(Hook(device, sink, at_egress))
            kept.append(pass_on)
            at_egress = not at_egress
        return cls(*hooks, kept=kept)


@dataclass(slots=True)
class Filters:
    """The direct-action filters of one hook, in the order in which they were added."""

    netlink: IPRoute
    index: int
    at_egress: bool
    count: int = 0

    def add(self, program: Program, ethertype: int, classid: int = 0) -> None:
        """One more."""
        self.count += 1
        self.netlink.tc(
            "add-filter",
            "bpf",
            self.index,
            fd=program.fd,
            name="under_test",
            parent=HOOK_EGRESS if self.at_egress else HOOK_INGRESS,
            prio=self.count,
            protocol=ethertype,
            direct_action=True,
            classid=classid,
        )


def redirect_to(index: int) -> bytes:
    """A program that sends everything out of a device."""
    code = ((0xB7, 1, index), (0xB7, 2, 0), (0x85, 0, REDIRECT), (0x95, 0, 0))
    return b"".join(struct.pack("<BBhi", opcode, register, 0, value) for opcode, register, value in code)


def in_private_network(make: Callable[[IPRoute], Made]) -> Made:
    """Run ``make`` in a thread with a network namespace of its own, which lasts as long as a socket from there."""
    made: list[Made] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with quiet_namespace(), IPRoute() as netlink:
                made.append(make(netlink))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return made[0]
