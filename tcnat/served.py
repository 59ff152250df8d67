"""Devices with the programs on them, and what others learn of these devices: the metrics, and the programs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from tcnat.bpf import BpfError, Map
from tcnat.errors import TcnatError
from tcnat.filters import Role
from tcnat.handover import Handover
from tcnat.layout import Family
from tcnat.links import Address, Link
from tcnat.metrics import Metrics
from tcnat.netlink import Netlink
from tcnat.nodemaps import NodeMaps

if TYPE_CHECKING:
    from tcnat.redirect import Redirector


class NoRedirector:
    """In the place of :class:`tcnat.redirect.Redirector` where no workloads are served: nothing is handed on."""

    def __init__(self, maps: Iterable[Mapping[str, Map]]) -> None:
        for each in maps:
            each["redirect_until"].update(bytes(4), bytes(4))

    def look_anew(
        self, workloads: Iterable[Link], shared: Iterable[str], guarded: Collection[int], /, *, afresh: bool
    ) -> None:
        """Nothing to look at."""

    def follow(self) -> None:
        """Nothing to follow."""

    def stop(self) -> None:
        """Nothing was begun."""


OVERLAYS = frozenset({"vxlan", "geneve", "ipip", "sit", "ip6tnl", "gre", "gretap", "ip6gre", "wireguard", "tun"})
"""Kinds of devices behind which other nodes' pods may be."""

log = logging.getLogger(__name__)

_Told = TypeVar("_Told")


class Served:
    """See :class:`tcnat.loop.Devices`."""

    def __init__(
        self,
        devices: Handover,
        metrics: Metrics,
        nodes: Mapping[Family, NodeMaps],
        redirector: Redirector | NoRedirector,
        network: Collection[str],
    ) -> None:
        """``network``: the names of the devices that are to face the network."""
        self._devices = devices
        self._network = network
        self._redirector = redirector
        self._workloads: list[Link] = []  # as they were told of last
        self._metrics = metrics
        self._nodes = nodes
        self._restored = 0
        self._facing: list[Link] = []  # the network, when that was told last
        self._failure = ""

    def start(self) -> None:
        """Attach to the devices that there are; TcnatError if not one of them could be served. The programs are told of
        those that face the network before: the first flow may begin at once."""
        self._tell([link for link in _asked(Netlink.links) if link.name in self._network])
        self._told(self._devices.start, anew=True)

    def sync(self) -> None:
        """See :class:`tcnat.loop.Devices`."""
        self._told(self._devices.sync, anew=False)

    def resync(self) -> None:
        """See :class:`tcnat.loop.Devices`."""
        self._told(self._devices.resync, anew=True)

    def follow_neighbours(self) -> None:
        """See :class:`tcnat.loop.Devices`."""
        self._redirector.follow()

    def _told(self, work: Callable[[], None], *, anew: bool) -> None:
        """Do it and tell of it; not ``anew``: of the network only if it has changed. Workloads come and go often, and
        to read every address for each of them would hold up the next."""
        try:
            work()
        finally:
            self._count()
            facing = self._links(Role.NETWORK)
            if anew or facing != self._facing:
                self._tell(facing)
            workloads = self._links(Role.WORKLOAD)
            if anew or workloads != self._workloads:
                self._workloads = workloads
                keeper = self._devices.keeper
                self._redirector.look_anew(workloads, keeper.shared, keeper.guarded, afresh=anew)

    def _links(self, role: Role) -> list[Link]:
        return [link for link, own in self._devices.keeper.served.values() if own is role]

    def _count(self) -> None:
        keeper = self._devices.keeper
        self._metrics.filters_restored.inc(keeper.restored - self._restored)
        self._restored = keeper.restored
        roles = [role for _, role in keeper.served.values()]
        for role in Role:
            self._metrics.devices.labels(role.value).set(roles.count(role))

    def _tell(self, facing: list[Link]) -> None:
        """Tell the programs of the devices that face the network."""
        self._facing = facing
        overlay = any(link.kind in OVERLAYS for link in facing)
        try:
            addresses = _asked(Netlink.addresses)
            for family, node in self._nodes.items():
                node.write_devices(primary_addresses(addresses, facing, family), overlay=overlay)
        except (TcnatError, BpfError) as error:
            if str(error) != self._failure:
                log.error("addresses of devices: %s; tried again at the next resync", error)
            self._failure = str(error)
        else:
            self._failure = ""


def _asked(question: Callable[[Netlink], list[_Told]]) -> list[_Told]:
    """What the kernel answers, asked once."""
    netlink = Netlink()
    try:
        return question(netlink)
    finally:
        netlink.close()


def primary_addresses(addresses: list[Address], links: list[Link], family: Family) -> dict[int, bytes]:
    """The address that packets leaving each of the links are to bear, by the link's index; without those that have
    none."""
    indices = {link.index for link in links}
    found: dict[int, bytes] = {}
    for each in addresses:
        if each.primary and each.device in indices and len(each.address) == family.address_size:
            found.setdefault(each.device, each.address)
    return found
