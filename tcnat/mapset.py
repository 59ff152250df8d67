"""Small maps that are kept in step with what is wanted in them."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping

from tcnat.bpf import BpfError, Map

_FULL = {errno.E2BIG, errno.ENOMEM, errno.ENOSPC}

log = logging.getLogger(__name__)


class MapSet:
    """A small map, and what it holds, once that has been read. Nobody else writes it."""

    def __init__(self, there: Map, no_room: str) -> None:
        """``no_room``: what it means where there is no room for all."""
        self._map = there
        self._no_room = no_room
        self._present: dict[bytes, bytes] | None = None
        self._full = False

    def become(self, wanted: Mapping[bytes, bytes]) -> int:
        """Write the difference; returns how many entries were written and removed. What has no room is left out, which
        is told of once. BpfError where the kernel fails."""
        if self._present is None:
            self._present = dict(self._map.items())
        present, written = self._present, 0
        for key in present.keys() - wanted.keys():
            self._map.delete(key)
            del present[key]
            written += 1
        for key, value in sorted(wanted.items()):
            if present.get(key) != value:
                if not self._update(key, value):
                    break
                present[key] = value
                written += 1
        return written

    def _update(self, key: bytes, value: bytes) -> bool:
        """Whether there was room."""
        try:
            self._map.update(key, value)
        except BpfError as error:
            if error.errno not in _FULL:
                raise
            if not self._full:
                log.error("no room map=%s entries=%d: %s", self._map.name, self._map.max_entries, self._no_room)
            self._full = True
            return False
        self._full = False
        return True
