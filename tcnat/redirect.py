"""Whether packets from one workload of this node to another are handed straight to the other's device.

That spares them the node's IP stack, and with it everything in there that might have a say: netfilter's rules, routing
rules, IPsec policies, filters that come later on the same device. ``auto`` therefore looks for all of these first, and
again at each resync. docs/operations.md tells what an operator has to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from tcnat.bpf import BpfError, Map
from tcnat.errors import TcnatError
from tcnat.filters import ARPHRD_ETHER
from tcnat.layout import Family, number_bytes
from tcnat.links import Link, NetlinkFailure
from tcnat.mapset import MapSet
from tcnat.neighbours import NeighbourWatcher, Workload, reached
from tcnat.peers import PeerChoice
from tcnat.routing import Routing
from tcnat.ways import Leads, Ways

VALID = 30
"""Seconds that a permission lasts: three times what passes until the next at most."""
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
        past_devices: PeerChoice,
    ) -> None:
        """``post`` is called from another thread when :meth:`follow` has something to do; ``clock`` is
        CLOCK_MONOTONIC in seconds; ``past_devices``: whether packets go past the devices that let them."""
        self._choice = choice
        self._ways = Ways(past_devices, self._link)
        self._leads = Leads(self._leads_straight_to, clock)
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
        self._ways.guarded = guarded
        if afresh:
            self._ways.forget()
            self._leads.forget()
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
        netlink = self._asked
        self._workloads = {
            link.index: Workload(netlink.mtu_of(link.name), netlink.mac_of(link.name))
            for link in links
            if link.type == ARPHRD_ETHER and not link.master
        }
        self._ways.keep(self._workloads)
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

    @property
    def _asked(self) -> Routing:
        """Whom the kernel is asked by, from the first question on."""
        self._netlink = self._netlink or Routing()
        return self._netlink

    def _link(self, device: int) -> Link:
        return self._asked.link(device)

    def _leads_straight_to(self, address: bytes) -> int:
        return self._asked.leads_straight_to(address)

    def _follow(self) -> None:
        neighbours = frozenset(self._asked.neighbours())
        self._leads.among(neighbours)
        self._tell(reached(neighbours, self._workloads, self._leads.to, self._ways.to))

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
