"""Whether packets may go past the device of the workload that they are for, straight to the other end of its pair.

bpf_redirect_peer does that, from Linux 5.10 on. Until 6.7 (and in releases that did not take its fix over) the kernel
counts such a packet neither at the device nor where it arrives: a pod's own counts of what it receives, from which
kubelet's metrics are, would stand still. Only a packet tells, so one is sent, in network namespaces that go again.

Source: skb_do_redirect() in net/core/filter.c.
"""

from __future__ import annotations

import os
import socket
import time
from enum import StrEnum
from pathlib import Path

from tcnat.assemble import giving
from tcnat.bpf import Program
from tcnat.errors import TcnatError
from tcnat.filters import EGRESS, HANDLE, PRIORITY, PROTOCOL
from tcnat.helpers import REDIRECT_PEER, available_helpers
from tcnat.layout import Family
from tcnat.links import Filter, Hook
from tcnat.netlink import Netlink
from tcnat.netns import OWN, throwaway

_LOOPBACK = 1
_NEAR, _FAR = "near", "far"
_MTU = 1500
_SINK = ("127.0.0.1", 9)
"""By the loopback; RFC 863's port for what is thrown away."""
_PATIENCE = 0.2
"""Seconds that the packet may be on its way."""


class PeerChoice(StrEnum):
    """The agent's setting."""

    AUTO = "auto"
    """Where the kernel counts what arrives, and nothing at the device minds."""
    ON = "on"
    """Counted or not."""
    OFF = "off"


def hindrance(choice: PeerChoice) -> str:
    """Why packets pass the devices of workloads, in a few words; "" if they go past those that let them."""
    if choice is PeerChoice.OFF:
        return "it is switched off"
    if REDIRECT_PEER not in available_helpers():
        return "the kernel has no bpf_redirect_peer"
    if choice is PeerChoice.ON:
        return ""
    try:
        return "" if counts_arrivals() else "the kernel would not count them where they arrive"
    except TcnatError as error:
        return f"whether the kernel counts them where they arrive cannot be told: {error}"


def counts_arrivals() -> bool:
    """Send a packet past a device, and look whether it is counted. TcnatError where that cannot be done; it takes
    CAP_SYS_ADMIN."""
    with throwaway():
        node = Netlink()
        try:
            node.add_veth(_NEAR, _FAR, _MTU)  # the near end stays down: nothing else comes to the far one
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                program = _redirecting(node)
                try:
                    return _is_counted(node, sender)
                finally:
                    program.close()
        except OSError as error:
            raise TcnatError(f"no packet can be sent: {error.strerror}") from None
        finally:
            node.close()


def _redirecting(node: Netlink) -> Program:
    """Hand what comes by the loopback past the near end; gives the program that does."""
    program = Program.load(giving(REDIRECT_PEER, node.index_of(_NEAR), 0), "probe")
    node.set_up(_LOOPBACK)
    node.add_clsact(_LOOPBACK)
    place = (PRIORITY[Family.IPV4], PROTOCOL[Family.IPV4], HANDLE)
    node.replace_filter(
        Filter(_LOOPBACK, Hook.INGRESS, *place, kind="bpf", name=EGRESS, direct_action=True), program.fd
    )
    return program


def _is_counted(node: Netlink, sender: socket.socket) -> bool:
    with throwaway():
        pod = Netlink()
        there = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            node.move(_FAR, there)
            pod.set_up(pod.index_of(_FAR))
            sender.sendto(b"", _SINK)  # a packet socket would take CAP_NET_RAW
            deadline = time.monotonic() + _PATIENCE
            while not (counted := _received(_FAR)) and time.monotonic() < deadline:
                time.sleep(0.001)
            return counted > 0
        finally:
            os.close(there)
            pod.close()


def _received(device: str) -> int:
    """How many packets a device of the thread's namespace has received."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == device:
            return int(counts.split()[1])
    return 0
