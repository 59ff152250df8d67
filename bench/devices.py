"""How soon a pod's device carries the programs, for pods that come alone and for many at once."""

from __future__ import annotations

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

AT_ONCE = 250
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

    def taken(self) -> list[float]:
        """Milliseconds from each link's appearance to its last filter, of those links that have all of theirs."""
        whole = {index: times for index, times in self.filters.items() if len(times) == FILTERS}
        return [1000 * (times[-1] - self.appeared[index]) for index, times in whole.items()]

    def _follow(self) -> None:
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
    """A device alone, a few times for each run; and many at once, of which the slowest of each run counts."""
    with Nodes(Ptp()) as nodes:
        node = nodes[0]
        Agent(nodes.ground(node))
        pods = Namespace(f"{nodes.name}-pods")
        pods.create()
        alone = [taken for _ in range(4 * runs) for taken in _add(node, pods, 1)]
        many = [_add(node, pods, AT_ONCE) for _ in range(runs)]
    return [
        Figure("a pod's device to its programs", "ms", tuple(alone), at_most=AT_MOST),
        Figure(f"{AT_ONCE} pods' devices at once to their programs, the median device", "ms", tuple(map(median, many))),
        Figure(f"{AT_ONCE} pods' devices at once, the slowest device", "ms", tuple(map(max, many)), at_most=AT_MOST),
    ]


def _add(node: Node, pods: Namespace, count: int) -> list[float]:
    """Add so many pods' devices, see them served, and remove them."""
    names = [f"veth{number}" for number in range(count)]
    with Watch(node) as watch:
        node.ip(*(f"link add {name} up type veth peer name {name} netns {pods.name}" for name in names))
        wait_until(lambda: len(watch.taken()) == count, f"{count} devices to carry the programs", timeout=120)
    node.ip(*(f"link del {name}" for name in names))
    return watch.taken()
