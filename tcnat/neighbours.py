"""How this node's workloads are reached, as the kernel's neighbour tables have it, and news of changes in them.

Source: rtnetlink(7), include/uapi/linux/neighbour.h.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from tcnat.codecs import rtnl
from tcnat.layout import NEIGHBOUR, Family, Way
from tcnat.links import Neighbour
from tcnat.netlink import RECEIVE, open_socket
from tcnat.prepared import split

PERIOD = 10.0
"""Seconds after which there is word at the latest, news or not."""
PAUSE = 0.1
"""Seconds for news to gather."""
_DEVICE_AT = 20
"""Where an RTM_NEWNEIGH message has the device's index: behind nlmsghdr, family and padding."""
_codec = NEIGHBOUR.codec(Family.IPV4)  # the same for both families


class Workload(NamedTuple):
    """A device that faces a workload: its MTU and its MAC address."""

    mtu: int
    mac: bytes


def reached(
    neighbours: Iterable[Neighbour],
    workloads: Mapping[int, Workload],
    leads_to: Callable[[bytes], int],
    way_of: Callable[[int], Way],
) -> dict[bytes, bytes]:
    """Address -> entry of the neighbours map, for workloads that packets can be handed to, in that way of their device.

    ``leads_to`` tells to which device the node's routes lead for an address: a neighbour that is behind another (one
    that claims an address, say) does not count, and neither does a link-local address. A device whose MTU is less than
    another's is left out: what comes from there may be too long for it, which the kernel has to say."""
    longest = max((workload.mtu for workload in workloads.values()), default=0)
    found: dict[bytes, bytes] = {}
    for each in neighbours:
        workload = workloads.get(each.device)
        if workload is None or workload.mtu < longest or len(each.mac) != 6 or each.address[:2] == b"\xfe\x80":
            continue
        if leads_to(each.address) == each.device:
            found[each.address] = _codec.pack(each.device, each.mac, workload.mac, way_of(each.device))
    return found


def way_in(entry: bytes) -> Way:
    """The way that an entry of the neighbours map names."""
    _, _, _, way = _codec.unpack(entry)
    return Way(way)


class NeighbourWatcher:
    """Calls ``post``, from a thread of its own, when neighbours behind the devices in ``devices`` (by index) changed,
    and every :data:`PERIOD` seconds without that."""

    def __init__(self, post: Callable[[], None]) -> None:
        self.devices: frozenset[int] = frozenset()
        self._post = post
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)

    def start(self) -> None:
        """Begin. TcnatError, OSError where the kernel does not let it."""
        self._socket = open_socket(None, groups=rtnl.RTMGRP_NEIGH)
        self._socket.setblocking(False)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing is called any longer when this returns."""
        os.write(self._wake_write, b"s")
        self._thread.join()
        self._socket.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        due = time.monotonic() + PERIOD
        while True:
            ready = [fd for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)]
            if self._wake_read in ready:
                return
            concerned = bool(ready) and self._concerned()
            if concerned or time.monotonic() >= due:
                self._post()
                due = time.monotonic() + PERIOD
            if concerned:
                select.select([self._wake_read], [], [], PAUSE)

    def _concerned(self) -> bool:
        """Take what the kernel has sent; whether it is about one of the devices."""
        concerned = False
        with suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(RECEIVE, socket.MSG_DONTWAIT)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    concerned = True
                    continue
                concerned |= any(_device(message) in self.devices for _, _, message in split(data))
        return concerned


def _device(message: bytes) -> int:
    return int(struct.unpack_from("=i", message, _DEVICE_AT)[0]) if len(message) >= _DEVICE_AT + 4 else 0
