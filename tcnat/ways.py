"""What is asked of the kernel about one workload after the other, and remembered: how packets are handed to it, and
whether the node's routes lead there. With many pods, to ask for all of them at each news would keep the agent busy.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection

from tcnat import peers
from tcnat.layout import Way
from tcnat.links import Link, Neighbour, NetlinkFailure
from tcnat.peers import PeerChoice

ROUTES_LAST = 5.0
"""Seconds for which it is remembered where the routes led."""

log = logging.getLogger(__name__)


def can_be_passed(link: Link) -> bool:
    """Whether packets can be handed to the other end of a device, as bpf_redirect_peer does it, without getting past a
    queueing discipline on the way: the end of a veth pair whose other one is in another network namespace."""
    return link.kind == "veth" and link.peer_elsewhere and link.qdisc == "noqueue"


class Ways:
    """The way to each device's workload."""

    def __init__(self, choice: PeerChoice, link: Callable[[int], Link]) -> None:
        """``link`` asks for a device by its index; NetlinkFailure with ENODEV if it went."""
        self.guarded: Collection[int] = ()
        """The devices with filters of others on their way out."""
        self._choice = choice
        self._link = link
        self._hindrance: str | None = None  # why no device is gone past, once that was looked at
        self._known: dict[int, Way] = {}

    def forget(self) -> None:
        """What is known of the devices may be old."""
        self._known.clear()

    def keep(self, devices: Collection[int]) -> None:
        """There are only these now."""
        self._known = {index: way for index, way in self._known.items() if index in devices}

    def to(self, device: int) -> Way:
        """How packets are handed to the workload behind a device. To be asked when the workload is known to be there,
        and with it the other end in its place."""
        if device in self.guarded or not self._allowed():
            return Way(0)
        if device not in self._known:
            try:
                self._known[device] = Way.PAST_DEVICE if can_be_passed(self._link(device)) else Way(0)
            except NetlinkFailure as error:
                if error.errno != errno.ENODEV:
                    raise
                return Way(0)
        return self._known[device]

    def _allowed(self) -> bool:
        """Whether the kernel and the setting let packets go past devices at all."""
        if self._hindrance is None:
            self._hindrance = peers.hindrance(self._choice)
            if self._hindrance:
                log.info("packets to workloads do not go past their devices: %s", self._hindrance)
        return not self._hindrance


class Leads:
    """Where the node's routes lead for its neighbours. That the kernel tells of a neighbour again, as of each all the
    time, is no cause to ask for all of them."""

    def __init__(self, ask: Callable[[bytes], int], clock: Callable[[], float]) -> None:
        """``ask`` gives the device for an address; ``clock`` is in seconds."""
        self._ask = ask
        self._clock = clock
        self._neighbours: frozenset[Neighbour] = frozenset()
        self._known: dict[bytes, int] = {}
        self._until = 0.0

    def forget(self) -> None:
        """Ask for all of them the next time."""
        self._until = 0.0

    def among(self, neighbours: frozenset[Neighbour]) -> None:
        """There are these neighbours now."""
        if neighbours != self._neighbours or self._clock() >= self._until:
            self._known, self._until = {}, self._clock() + ROUTES_LAST
        self._neighbours = neighbours

    def to(self, address: bytes) -> int:
        """The device for an address, by its index; 0 if there is none."""
        if address not in self._known:
            self._known[address] = self._ask(address)
        return self._known[address]
