"""Follows the devices of a network namespace, in a thread of its own."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable

from tcnat.devices import DeviceTable, Event
from tcnat.errors import TcnatError
from tcnat.links import ListingEnd, Overrun
from tcnat.monitor import DeviceMonitor
from tcnat.patterns import Patterns

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds before a monitor that failed is opened again."""


class DeviceWatcher:
    """Calls ``on_event`` for each event, from a thread of its own, from :meth:`start` to :meth:`stop`.

    First come the devices that are there, then :class:`Listed`, then what changes. When the kernel had to drop news, or
    on :meth:`resync`, all that is there is told of once more."""

    def __init__(self, patterns: Patterns, on_event: Callable[[Event], None], netns: str | None = None) -> None:
        self._table = DeviceTable(patterns)
        self._on_event = on_event
        self._netns, self._routes = netns, bool(patterns.routed)
        self._thread = threading.Thread(target=self._run, name="devices", daemon=True)
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def start(self) -> None:
        """Open the monitor (TcnatError if that cannot be) and begin."""
        self._monitor = DeviceMonitor(self._netns, routes=self._routes)
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
                self._monitor = DeviceMonitor(self._netns, routes=self._routes)
                return
            except (OSError, TcnatError) as error:
                log.error("network devices cannot be followed: %s; trying again", error)
                self._pause()

    def _pause(self) -> None:
        select.select([self._wake_read], [], [], RETRY)

    def _begin_listing(self) -> None:
        self._table.begin_listing()
        self._monitor.request_listing()
