"""Keeps the programs on the devices that are to carry them, as devices come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag

from tcnat.attach import Attacher, DeviceVanished
from tcnat.devices import Change, DeviceEvent, Event, Listed
from tcnat.errors import TcnatError
from tcnat.filters import Programs, Role
from tcnat.links import Link
from tcnat.patterns import Patterns
from tcnat.watcher import DeviceWatcher

log = logging.getLogger(__name__)

LISTING_TIMEOUT = 10.0
"""Seconds that the first listing of the devices may take."""


class DeviceKeeper:
    """The devices of one network namespace (None: the caller's own) that match ``patterns`` carry ``programs``.

    A watcher's thread only queues news and calls ``post``; all work is done in :meth:`sync` and :meth:`resync`, by the
    thread that made the keeper. Both raise one TcnatError for all devices that could not be served then; these are
    tried again at the next resync, and named in ``problems`` as long."""

    def __init__(
        self, patterns: Patterns, programs: Programs, post: Callable[[], None], netns: str | None = None
    ) -> None:
        self._patterns = patterns
        self._programs = programs
        self._post = post
        self._news: SimpleQueue[DeviceEvent] = SimpleQueue()
        self._later: dict[int, DeviceEvent] = {}  # news that came while others were followed
        self._listed = Flag()
        self.restored = 0
        """Filters that others took off a device, and that were put back."""
        self._served: dict[int, tuple[Link, Role]] = {}
        self._problems: dict[int, str] = {}
        self._shared: set[int] = set()
        self._guarded: set[int] = set()
        self._tidy = False
        self._attacher = Attacher(netns)
        self._watcher = DeviceWatcher(patterns, self._take, netns)

    @property
    def served(self) -> dict[int, tuple[Link, Role]]:
        """The matching devices that there are, by index."""
        return dict(self._served)

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each matching device that could not be served."""
        return tuple(self._problems.values())

    @property
    def shared(self) -> tuple[str, ...]:
        """The names of those that have filters of others behind tc_egress, as far as was seen."""
        return tuple(link.name for index, (link, _) in self._served.items() if index in self._shared)

    @property
    def guarded(self) -> frozenset[int]:
        """Those that have filters of others on the hook of tc_ingress, by index, as far as was seen."""
        return frozenset(self._guarded)

    def start(self) -> None:
        """Attach to what is there, detach from what no longer matches, and follow what comes. TcnatError if not one of
        the devices could be served."""
        self._watcher.start()
        if not self._listed.wait(LISTING_TIMEOUT):
            raise TcnatError(f"the kernel did not list the network devices within {LISTING_TIMEOUT:g} s")
        try:
            self.sync()
        except TcnatError as error:
            if len(self._problems) == len(self._served):
                raise
            log.error("%s", error)
        self._detach_strays()
        names = {link.name for link, _ in self._served.values()}
        for missing in sorted(set(self._patterns.network) - names):
            log.warning("there is no network device %s yet; it is served as soon as it appears", missing)

    def sync(self) -> None:
        """Do what the news ask for."""
        self._see_to({})

    def resync(self) -> None:
        """See to it that every matching device carries what it should, also where others interfered."""
        if not self._tidy:
            self._detach_strays()
        self._see_to({index: DeviceEvent(Change.CAME, *served) for index, served in self._served.items()})

    def replace(self, programs: Programs) -> None:
        """Have every device carry these programs from now on."""
        self._programs = programs
        self.resync()

    def stop(self, *, detach: bool = False) -> None:
        """Follow no longer; the programs stay where they are unless told to ``detach``."""
        self._watcher.stop()
        if detach:
            for link, _ in self._served.values():
                self._detach(link)
        self._attacher.close()

    def _take(self, event: Event) -> None:
        if isinstance(event, Listed):
            self._listed.set()
        else:
            self._news.put(event)
            self._post()

    def _see_to(self, devices: dict[int, DeviceEvent]) -> None:
        """Follow all news, and these events of devices that there are no news of. Devices that nothing was known of
        come first, also those that appear meanwhile: their pods may be sending."""
        todo = {**devices, **self._later}
        self._later = {}
        self._take_news(todo, todo)
        done = []
        while todo:
            index = next((each for each in todo if each not in self._served), next(iter(todo)))
            self._follow(todo.pop(index))
            done.append(index)
            self._take_news(todo, self._later)
        self._raise(done)

    def _take_news(self, unknown: dict[int, DeviceEvent], known: dict[int, DeviceEvent]) -> None:
        """Take the last news of each device, apart by whether it is served already."""
        with suppress(Empty):
            while True:
                event = self._news.get_nowait()
                index = event.link.index
                (known if index in self._served else unknown)[index] = event

    def _follow(self, event: DeviceEvent) -> None:
        link = event.link
        if event.change is Change.CAME:
            _, before = self._served.get(link.index, (link, None))
            self._served[link.index] = link, event.role
            self._attach(link, event.role, before)
            return
        self._served.pop(link.index, None)
        self._problems.pop(link.index, None)
        if event.change is Change.LEFT:
            self._detach(link)

    def _attach(self, link: Link, role: Role, before: Role | None) -> None:
        """By its name, which is what the patterns speak of: what another device of its index is must not matter.
        ``before`` is the role in which it was served; None if it was not."""
        was_served = self._problems.pop(link.index, None) is None and before is role
        attacher, programs = self._attacher, self._programs
        self._shared.discard(link.index)
        self._guarded.discard(link.index)
        try:
            if before is None and attacher.attach_new(link, role, programs):
                log.info("%s faces %s: programs attached", link.name, _facing(role))
            elif attacher.attach(link.name, role, programs):
                log.info("%s faces %s: programs attached", link.name, _facing(role))
                self.restored += attacher.absent if was_served else 0
            if attacher.shares:
                self._shared.add(link.index)
            if attacher.guards:
                self._guarded.add(link.index)
        except DeviceVanished:
            log.debug("%s went before it could be served", link.name)
        except TcnatError as error:
            self._problems[link.index] = str(error)

    def _raise(self, devices: list[int]) -> None:
        problems = [self._problems[index] for index in dict.fromkeys(devices) if index in self._problems]
        if problems:
            raise TcnatError("; ".join(problems))

    def _detach(self, link: Link) -> None:
        try:
            if self._attacher.detach(link.index).filters:
                log.info("%s is no longer to be served: programs detached", link.name)
        except TcnatError as error:
            log.warning("%s: programs could not be detached: %s", link.name, error)

    def _detach_strays(self) -> None:
        """Take the programs off devices that an earlier configuration had them on."""
        try:
            found = self._attacher.find_ours()
        except TcnatError as error:
            log.warning("devices that are no longer to be served were not looked for: %s; at the next resync", error)
            return
        self._tidy = True
        for attachment in found:
            if attachment.index not in self._served:
                self._detach(Link(attachment.index, attachment.device, 0))


def _facing(role: Role) -> str:
    return "the network" if role is Role.NETWORK else "a workload"
