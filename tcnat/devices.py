"""Which devices tcnat serves, as they come, go and change: turns news of links and of routes to them into what is to be
done. Pure; :class:`tcnat.watcher.DeviceWatcher` feeds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from tcnat.filters import Role
from tcnat.links import FilterLost, HostRoute, Link, LinkGone, ListingEnd, Message
from tcnat.patterns import Patterns, role_of


class Change(StrEnum):
    """What became of a device as far as tcnat is concerned."""

    CAME = "came"
    """It is to carry the programs in its role: it is new, renamed, in another role, lost a filter, or listed anew."""
    LEFT = "left"
    """It is there, but no pattern matches it any longer."""
    GONE = "gone"
    """It is not there any longer."""


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """A change of a device that matches, or matched, a pattern."""

    change: Change
    link: Link
    role: Role


@dataclass(frozen=True, slots=True)
class Listed:
    """Every device that there is has been told of."""


Event = DeviceEvent | Listed


class DeviceTable:
    """What is known of the links, and the events that follow from news of them."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._links: dict[int, Link] = {}
        self._roles: dict[int, Role] = {}
        self._routes = RouteTable(patterns)
        self._listed: set[int] | None = None

    def begin_listing(self) -> None:
        """A full listing follows: what it does not tell of is gone."""
        self._listed = set()
        self._routes.begin_listing()

    def take(self, message: Message) -> list[Event]:
        """The events that follow from a message, in order."""
        if isinstance(message, Link):
            return list(self._is_there(message))
        if isinstance(message, LinkGone):
            return list(self._is_gone(message.index))
        if isinstance(message, HostRoute):
            return list(self._judge_all(self._routes.take(message)))
        if isinstance(message, FilterLost):
            return list(self._lost_a_filter(message.index))
        return list(self._is_listed(message))

    def _is_there(self, link: Link) -> Iterable[Event]:
        known = self._links.get(link.index)
        self._links[link.index] = link
        listing = self._listed is not None
        if self._listed is not None:
            self._listed.add(link.index)
        if not link.up:
            self._routes.forget(link.index)
        changed = known is None or (known.name, known.type) != (link.name, link.type)
        yield from self._judge(link, anew=listing or changed)
        if known is None or known.name != link.name:
            yield from self._judge_ports(link.index)

    def _is_gone(self, index: int) -> Iterable[Event]:
        link = self._links.pop(index, None)
        role = self._roles.pop(index, None)
        self._routes.forget(index)
        if self._listed is not None:
            self._listed.discard(index)
        if link and role:
            yield DeviceEvent(Change.GONE, link, role)
        yield from self._judge_ports(index)

    def _lost_a_filter(self, index: int) -> Iterable[Event]:
        role = self._roles.get(index)
        if role:
            yield DeviceEvent(Change.CAME, self._links[index], role)

    def _is_listed(self, end: ListingEnd) -> Iterable[Event]:
        if self._listed is None or not end.whole:
            return
        for index in self._links.keys() - self._listed:
            yield from self._is_gone(index)
        self._listed = None
        yield from self._judge_all(self._routes.end_listing())
        yield Listed()

    def _judge_all(self, indices: Iterable[int]) -> Iterable[Event]:
        for index in indices:
            if index in self._links:
                yield from self._judge(self._links[index], anew=False)

    def _judge(self, link: Link, *, anew: bool) -> Iterable[Event]:
        master = self._links.get(link.master)
        routed = self._routes.point_to(link.index)
        role = role_of(link, self._patterns, master.name if master else "", routed=routed)
        before = self._roles.get(link.index)
        if role is None:
            if before is not None:
                del self._roles[link.index]
                yield DeviceEvent(Change.LEFT, link, before)
        elif anew or role is not before:
            self._roles[link.index] = role
            yield DeviceEvent(Change.CAME, link, role)

    def _judge_ports(self, bridge: int) -> Iterable[Event]:
        for port in [link for link in self._links.values() if link.master == bridge]:
            yield from self._judge(port, anew=False)


RouteKey = tuple[IPv4Address | IPv6Address, int]
"""A route's destination and metric: there is one such route at most."""


class RouteTable:
    """The host routes that the patterns mean, and to which devices they point (by index)."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._devices: dict[RouteKey, int] = {}
        self._listed: set[RouteKey] | None = None

    def begin_listing(self) -> None:
        """See :meth:`DeviceTable.begin_listing`."""
        self._listed = set()

    def end_listing(self) -> set[int]:
        """Forget what was not listed; the devices that this concerns."""
        gone = self._devices.keys() - (self._listed or set())
        self._listed = None
        return {self._devices.pop(key) for key in gone}

    def take(self, route: HostRoute) -> set[int]:
        """Note a route; the devices that this concerns. One that replaces another is the only news of that."""
        if not self._patterns.mean(route.address):
            return set()
        key = route.address, route.metric
        before = self._devices.get(key)
        if route.gone:
            return {self._devices.pop(key)} if before == route.index else set()
        if self._listed is not None:
            self._listed.add(key)
        self._devices[key] = route.index
        return {route.index} if before is None else {route.index, before}

    def forget(self, index: int) -> None:
        """The device is down or gone, and its routes with it: the kernel does not tell of each."""
        for key in [key for key, device in self._devices.items() if device == index]:
            del self._devices[key]

    def point_to(self, index: int) -> bool:
        """Whether there is a route to the device."""
        return index in self._devices.values()
