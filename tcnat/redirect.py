"""Whether packets from one workload of this node to another are handed straight to the other's device.

That spares them the node's IP stack, and with it everything in there that might have a say: netfilter's rules, routing
rules, IPsec policies, filters that come later on the same device. ``auto`` therefore looks for all of these first, and
again at each resync. docs/operations.md tells what an operator has to know.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from tcnat import peers
from tcnat.bpf import BpfError, Map
from tcnat.errors import TcnatError
from tcnat.filters import ARPHRD_ETHER
from tcnat.layout import Family, Way, number_bytes
from tcnat.links import Link, Neighbour, NetlinkFailure
from tcnat.mapset import MapSet
from tcnat.neighbours import NeighbourWatcher, Workload, reached
from tcnat.peers import PeerChoice
from tcnat.routing import Routing

VALID = 30
"""Seconds that a permission lasts: three times what passes until the next at most."""
ROUTES_LAST = 5.0
"""Seconds for which it is remembered where the routes led."""
_NO_ROOM = "packets to the workloads that are left out take the ordinary way"

log = logging.getLogger(__name__)

_FORWARDING = {Family.IPV4: "ipv4/ip_forward", Family.IPV6: "ipv6/conf/all/forwarding"}
_PLAIN_RULES = frozenset({0, 32766, 32767})
"""The priorities of the rules that every kernel has: local, main and default."""


class RedirectChoice(StrEnum):
    """The agent's setting."""

    AUTO = "auto"
    """Where nothing is found that it would get past."""
    ON = "on"
    """Wherever the node forwards at all."""
    OFF = "off"


def hindrance(
    choice: RedirectChoice,
    family: Family,
    netlink: Routing,
    workloads: Collection[str] = (),
    shared: Iterable[str] = (),
    sysctls: Path = Path("/proc/sys/net"),
) -> str:
    """Why packets of the family are not handed on, in a few words; "" if they are. ``workloads``: the names of their
    devices; ``shared``: those whose packets other filters would see behind tcnat's."""
    if choice is RedirectChoice.OFF:
        return "it is switched off"
    try:
        if (sysctls / _FORWARDING[family]).read_text().strip() == "0":
            return f"the node does not forward IPv{family}"
    except OSError:
        return f"the node has no IPv{family}"
    if choice is RedirectChoice.ON:
        return ""
    probes: tuple[Callable[[], str], ...] = (
        lambda: _later_filters(shared),
        lambda: _routing_rules(family, netlink),
        lambda: _netfilter(family, workloads),
        lambda: _ipsec(family),
    )
    return next(filter(None, (probe() for probe in probes)), "")


def can_be_passed(link: Link) -> bool:
    """Whether packets can be handed to the other end of a device, as bpf_redirect_peer does it, without getting past a
    queueing discipline on the way: the end of a veth pair whose other one is in another network namespace."""
    return link.kind == "veth" and link.peer_elsewhere and link.qdisc == "noqueue"


def _later_filters(shared: Iterable[str]) -> str:
    names = ", ".join(sorted(shared))
    return f"filters of others come behind tcnat's on {names}" if names else ""


def _routing_rules(family: Family, netlink: Routing) -> str:
    try:
        more = sorted(set(netlink.rule_priorities(family)) - _PLAIN_RULES)
    except NetlinkFailure as error:
        return f"routing rules: {error}"
    return f"there are routing rules (ip rule), the first at priority {more[0]}" if more else ""


def _netfilter(family: Family, devices: Collection[str]) -> str:
    from tcnat import netfilter  # noqa: PLC0415  (not needed where something else hinders)

    return _first("netfilter's rules", lambda: netfilter.hooked(family, devices), "netfilter sees forwarded packets:")


def _ipsec(family: Family) -> str:
    from tcnat import ipsec  # noqa: PLC0415  (as above)

    return _first(
        "IPsec policies", lambda: ipsec.policies(family), "there are IPsec policies (ip xfrm policy), direction"
    )


def _first(what: str, look: Callable[[], list[str]], words: str) -> str:
    """The first of what is found, behind ``words``; that it cannot be read, where the kernel does not tell."""
    try:
        found = look()
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__  # a socket's time-out has no errno
        return f"{what} cannot be read: {why}"
    return f"{words} {found[0]}" if found else ""


class Redirector:
    """Tells the programs whether packets are handed on, and to whom. For the thread that has the maps.

    The permission lasts :data:`VALID` seconds and is given anew all the time: an agent that has died no longer keeps in
    step with the workloads, and packets then take the ordinary way."""

    def __init__(
        self,
        choice: RedirectChoice,
        maps: Mapping[Family, Mapping[str, Map]],
        post: Callable[[], None],
        clock: Callable[[], float],
        past_devices: PeerChoice = PeerChoice.OFF,
    ) -> None:
        """``post`` is called from another thread when :meth:`follow` has something to do; ``clock`` is
        CLOCK_MONOTONIC in seconds; ``past_devices``: whether packets go past the devices that let them."""
        self._choice = choice
        self._peers = past_devices
        self._in_the_way: str | None = None  # why devices are, once that was looked at
        self._ways: dict[int, Way] = {}  # by device, of those with a neighbour behind them
        self._guarded: Collection[int] = ()
        self._neighbours: frozenset[Neighbour] = frozenset()
        self._leads: dict[bytes, int] = {}  # where the routes led for these, up to that second
        self._leads_until = 0.0
        self._maps = maps
        self._clock = clock
        self._reached = {family: MapSet(each["neighbours"], _NO_ROOM) for family, each in maps.items()}
        self._watcher = NeighbourWatcher(post)
        self._watching = False
        self._netlink: Routing | None = None
        self._workloads: dict[int, Workload] = {}
        self._hindrances: dict[Family, str] = {}
        self._failure = ""

    def look_anew(
        self, workloads: Iterable[Link], shared: Iterable[str], guarded: Collection[int] = (), *, afresh: bool = True
    ) -> None:
        """Look whether packets may be handed on, with these devices of workloads; ``shared``: those of them with
        filters of others behind tcnat's; ``guarded``: those with such filters on the way out, by index; ``afresh``:
        what is known of the devices may be old."""
        links, names = list(workloads), list(shared)
        self._guarded = guarded
        if afresh:
            self._ways.clear()
            self._leads_until = 0.0
        if not links or self._choice is RedirectChoice.OFF:
            self._hindrances = dict.fromkeys(self._maps, "it is switched off" if links else "there are no workloads")
            self._tell({})
            return
        self._told(lambda: self._look(links, names))

    def follow(self) -> None:
        """Bring the programs in step with the kernel's neighbour tables, and give them leave to go on."""
        if self._watching:
            self._told(self._follow)

    def stop(self) -> None:
        """Packets take the ordinary way from now on."""
        if self._watching:
            self._watcher.stop()
        if self._netlink:
            self._netlink.close()
        with suppress(BpfError):
            self._allow({})

    def _look(self, links: list[Link], shared: list[str]) -> None:
        netlink = self._netlink = self._netlink or Routing()
        self._workloads = {
            link.index: Workload(netlink.mtu_of(link.name), netlink.mac_of(link.name))
            for link in links
            if link.type == ARPHRD_ETHER and not link.master
        }
        self._ways = {index: way for index, way in self._ways.items() if index in self._workloads}
        self._watcher.devices = frozenset(self._workloads)
        if not self._watching:
            self._watcher.start()
            self._watching = True
        names = [link.name for link in links]
        found = {family: hindrance(self._choice, family, netlink, names, shared) for family in self._maps}
        for family, why in found.items():
            if self._hindrances.get(family) != why:
                state = f"not handed on: {why}" if why else "handed on"
                log.info("IPv%d packets between workloads of this node are %s", family, state)
        self._hindrances = found
        self._follow()

    def _goes_past(self) -> bool:
        """Whether packets may go past devices at all: a matter of the kernel's, which is looked at once."""
        if self._in_the_way is None:
            self._in_the_way = peers.hindrance(self._peers)
            if self._in_the_way:
                log.info("packets to workloads do not go past their devices: %s", self._in_the_way)
        return not self._in_the_way

    def _follow(self) -> None:
        netlink = self._netlink
        assert netlink is not None
        neighbours = frozenset(netlink.neighbours())
        if neighbours != self._neighbours or self._clock() >= self._leads_until:
            self._leads, self._leads_until = {}, self._clock() + ROUTES_LAST
        self._neighbours = neighbours
        self._tell(reached(neighbours, self._workloads, self._leads_to, self._way_of))

    def _leads_to(self, address: bytes) -> int:
        """The device to which the routes lead. That a neighbour was heard of again, as each is all the time, is no
        cause to ask for all of them."""
        assert self._netlink is not None
        if address not in self._leads:
            self._leads[address] = self._netlink.leads_straight_to(address)
        return self._leads[address]

    def _way_of(self, device: int) -> Way:
        """How packets are handed to the workload behind a device, which is in its place by now: it has a neighbour."""
        if device in self._guarded or not self._goes_past():
            return Way(0)
        if device not in self._ways:
            self._ways[device] = Way.PAST_DEVICE if can_be_passed(self._link(device)) else Way(0)
        return self._ways[device]

    def _link(self, device: int) -> Link:
        assert self._netlink is not None
        try:
            return self._netlink.link(device)
        except NetlinkFailure as error:
            if error.errno == errno.ENODEV:
                return Link(device, "", 0)  # it went meanwhile
            raise

    def _tell(self, entries: Mapping[bytes, bytes]) -> None:
        """Who is reached how, and then for how long that holds."""
        for family, reached_here in self._reached.items():
            own = {key: value for key, value in entries.items() if len(key) == family.address_size}
            reached_here.become({} if self._hindrances[family] else own)
        self._allow({family for family, why in self._hindrances.items() if not why})

    def _allow(self, families: Collection[Family]) -> None:
        until = int(self._clock()) + VALID
        for family, maps in self._maps.items():
            second = until if family in families else 0
            maps["redirect_until"].update(bytes(4), number_bytes(second))

    def _told(self, work: Callable[[], None]) -> None:
        """Do it. Where that fails, the leave that was given runs out; the next time it is tried again."""
        try:
            work()
        except (TcnatError, OSError) as error:
            if str(error) != self._failure:
                log.error("workloads' packets are not handed on: %s; tried again", error)
            self._failure = str(error)
        else:
            self._failure = ""
