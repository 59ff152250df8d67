"""Which devices tcnat serves, as they come, go and change their names.

:class:`DeviceTable` turns what netlink says of links into what is to be done, and is pure; :class:`DeviceWatcher` feeds
one from a thread of its own.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from tcnat.errors import TcnatError
from tcnat.filters import ARPHRD_LOOPBACK, Role
from tcnat.links import FilterLost, Link, LinkGone, LinkMessage, ListingEnd, Overrun
from tcnat.monitor import LinkMonitor

log = logging.getLogger(__name__)

BRIDGE = "bridge:"
RETRY = 1.0
"""Seconds before a monitor that failed is opened again."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Which devices face what. ``network`` holds exact names; ``workload`` shell patterns for names ("veth*"), and
    after "bridge:" for the bridge whose ports are meant ("bridge:cni0"). A device in both faces the network."""

    network: tuple[str, ...] = ()
    workload: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in (*self.network, *self.workload):
            if not pattern or pattern == BRIDGE:
                raise TcnatError(f"device pattern {pattern!r} names no device")
        for name in self.network:
            if any(character in name for character in "*?[/"):
                raise TcnatError(f"--network-device {name}: give the exact name of a device, without patterns")


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


def role_of(link: Link, patterns: Patterns, master: str = "") -> Role | None:
    """What a device faces by the patterns, None if it is not meant; ``master`` is the name of the bridge it is a port
    of. No pattern means a loopback device: only its exact name does."""
    if link.name in patterns.network:
        return Role.NETWORK
    if link.type != ARPHRD_LOOPBACK and any(_matches(link.name, master, pattern) for pattern in patterns.workload):
        return Role.WORKLOAD
    return None


def _matches(name: str, master: str, pattern: str) -> bool:
    if pattern.startswith(BRIDGE):
        return bool(master) and fnmatchcase(master, pattern.removeprefix(BRIDGE))
    return fnmatchcase(name, pattern)


class DeviceTable:
    """What is known of the links, and the events that follow from news of them."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._links: dict[int, Link] = {}
        self._roles: dict[int, Role] = {}
        self._listed: set[int] | None = None

    def begin_listing(self) -> None:
        """A full listing follows: what it does not tell of is gone."""
        self._listed = set()

    def take(self, message: LinkMessage) -> list[Event]:
        """The events that follow from a message, in order."""
        if isinstance(message, Link):
            return list(self._is_there(message))
        if isinstance(message, LinkGone):
            return list(self._is_gone(message.index))
        if isinstance(message, FilterLost):
            return list(self._lost_a_filter(message.index))
        return list(self._is_listed(message))

    def _is_there(self, link: Link) -> Iterable[Event]:
        known = self._links.get(link.index)
        self._links[link.index] = link
        listing = self._listed is not None
        if self._listed is not None:
            self._listed.add(link.index)
        changed = known is None or (known.name, known.type) != (link.name, link.type)
        yield from self._judge(link, anew=listing or changed)
        if known is None or known.name != link.name:
            yield from self._judge_ports(link.index)

    def _is_gone(self, index: int) -> Iterable[Event]:
        link = self._links.pop(index, None)
        role = self._roles.pop(index, None)
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
        yield Listed()

    def _judge(self, link: Link, *, anew: bool) -> Iterable[Event]:
        master = self._links.get(link.master)
        role = role_of(link, self._patterns, master.name if master else "")
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


class DeviceWatcher:
    """Calls ``on_event`` for each event, from a thread of its own, from :meth:`start` to :meth:`stop`.

    First come the devices that are there, then :class:`Listed`, then what changes. When the kernel had to drop news, or
    on :meth:`resync`, all that is there is told of once more."""

    def __init__(self, patterns: Patterns, on_event: Callable[[Event], None], netns: str | None = None) -> None:
        self._table = DeviceTable(patterns)
        self._on_event = on_event
        self._netns = netns
        self._thread = threading.Thread(target=self._run, name="devices", daemon=True)
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def start(self) -> None:
        """Open the monitor (TcnatError if that cannot be) and begin."""
        self._monitor = LinkMonitor(self._netns)
        self._thread.start()

    def resync(self) -> None:
        """Have everything listed once more; returns at once."""
        os.write(self._wake_write, b"r")

    def stop(self) -> None:
        """End the thread; nothing is called any longer when this returns."""
        self._stopping = True
        os.write(self._wake_write, b"s")
        self._thread.join()
        self._monitor.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._begin_listing()
                self._follow()
            except Overrun:
                log.info("devices changed faster than could be followed: listing them anew")
            except OSError as error:
                log.error("network devices cannot be followed: %s; trying again", error.strerror)
                self._pause()
            self._reopen()

    def _follow(self) -> None:
        """Take messages until the watcher is told to stop or to list anew."""
        poll = select.poll()
        poll.register(self._monitor, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_read in ready:
                os.read(self._wake_read, 64)
                return
            for message in self._monitor.read():
                for event in self._table.take(message):
                    self._on_event(event)
                if isinstance(message, ListingEnd) and not message.whole:
                    self._begin_listing()

    def _reopen(self) -> None:
        """A new monitor: whatever the old one still held is overtaken by the listing that begins next."""
        self._monitor.close()
        while not self._stopping:
            try:
                self._monitor = LinkMonitor(self._netns)
                return
            except (OSError, TcnatError) as error:
                log.error("network devices cannot be followed: %s; trying again", error)
                self._pause()

    def _pause(self) -> None:
        select.select([self._wake_read], [], [], RETRY)

    def _begin_listing(self) -> None:
        self._table.begin_listing()
        self._monitor.request_listing()
