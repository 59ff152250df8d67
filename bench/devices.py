"""How soon a pod's device carries the programs, for pods that come alone and for many at once."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import Self

from tests.lab.agent import Agent
from tests.lab.cni import Ptp
from tests.lab.commands import wait_until
from tests.lab.namespace import Namespace
from tests.lab.nodes import Node, Nodes

from .figures import Figure

MANY = 250
AT_MOST = 100
"""Milliseconds."""
FILTERS = 4
"""That a device carries: two programs, each for two families."""
RTM_NEWLINK, RTM_NEWTFILTER = 16, 44
RTMGRP_LINK, RTMGRP_TC = 1, 8
SO_RCVBUFFORCE = 33


class Watch:
    """When the kernel told of each link for the first time, and of each filter on it; by the link's index."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_TC))
        self._socket.settimeout(0.1)
        self.appeared: dict[int, float] = {}
        self.filters: dict[int, list[float]] = defaultdict(list)
        self._ended = False
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join()
        self._socket.close()

    def taken(self) -> tuple[float, ...]:
        """Milliseconds from each link's appearance to its last filter, of those links that have all of theirs."""
        whole = {index: times for index, times in list(self.filters.items()) if len(times) == FILTERS}
        return tuple(1000 * (times[-1] - self.appeared[index]) for index, times in whole.items())

    def wait_for(self, count: int) -> None:
        """Wait until so many links have all of their filters."""
        wait_until(lambda: len(self.taken()) >= count, f"{count} devices to carry the programs", timeout=120)

    def _follow(self) -> None:
        """Before all others, as what is measured is when the kernel said something, not when it was heard."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        while not self._ended:
            try:
                data = self._socket.recv(1 << 17)
            except TimeoutError:
                continue
            now = time.monotonic()
            for kind, index in _messages(data):
                if kind == RTM_NEWLINK:
                    self.appeared.setdefault(index, now)
                elif kind == RTM_NEWTFILTER:
                    self.filters[index].append(now)


def _messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and link index of each message: nlmsghdr, and of ifinfomsg and tcmsg alike the second word."""
    while data:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, struct.unpack_from("=i", data, 20)[0]
        data = data[(length + 3) & ~3 :]


def attaching(runs: int) -> list[Figure]:
    """Pods that a CNI plugin joins one after the other; and devices that come as fast as the kernel makes them, of
    which the slowest of each run counts."""
    with Nodes(Ptp()) as nodes:
        node = nodes[0]
        Agent(nodes.ground(node))
        pods = Namespace(f"{nodes.name}-pods")
        pods.create()
        many = [_made_at_once(node, pods) for _ in range(runs)]
        one_by_one = _joined(node)
    return [
        Figure(f"{MANY} pods joined one after the other: a device to its programs", "ms", one_by_one, at_most=AT_MOST),
        Figure(f"{MANY} devices made at once: the median one to its programs", "ms", tuple(map(median, many))),
        Figure(f"{MANY} devices made at once: the slowest", "ms", tuple(map(max, many)), at_most=AT_MOST),
    ]


def _joined(node: Node) -> tuple[float, ...]:
    with Watch(node) as watch:
        for _ in range(MANY):
            node.add_pod()
        watch.wait_for(MANY)
        return watch.taken()


def _made_at_once(node: Node, pods: Namespace) -> tuple[float, ...]:
    names = [f"veth{number}" for number in range(MANY)]
    with Watch(node) as watch:
        node.ip(*(f"link add {name} up type veth peer name {name} netns {pods.name}" for name in names))
        watch.wait_for(MANY)
        node.ip(*(f"link del {name}" for name in names))
        return watch.taken()
