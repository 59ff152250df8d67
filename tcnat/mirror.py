"""What the services map holds, entry by entry, and how many backends are behind an endpoint or its address. Pure.

Most entries are no front ends', but say by a flag or two that an address or endpoint is known. They are kept as one
small number each: the flags in the map, and the users.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcnat.entries import is_front_end, plain_flags, service_value

_USER = 16
_FLAGS = _USER - 1
_OTHER = 1
"""Instead of the flags of an entry that is neither a front end's nor as tcnat writes it."""


class ServicesMirror:
    """Keys are services keys. Its length is the number of entries in the map."""

    def __init__(self) -> None:
        self.fronts: dict[bytes, bytes] = {}
        """The entries that are front ends'."""
        self._others: dict[bytes, int] = {}  # flags in the map + _USER for each backend id
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: bytes) -> bool:
        return key in self.fronts or bool(self._others.get(key, 0) & _FLAGS)

    def __iter__(self) -> Iterator[bytes]:
        """Every key that the map has an entry under, or backends have."""
        yield from self.fronts
        yield from (key for key in self._others if key not in self.fronts)

    def value(self, key: bytes) -> bytes | None:
        """The map's value; None if it has none. Of one that tcnat would not write: another that it would not."""
        return self.entry(key)[0]

    def entry(self, key: bytes) -> tuple[bytes | None, int]:
        """:meth:`value` and :meth:`users` of a key."""
        other = self._others.get(key, 0)
        return self.fronts.get(key) or service_value(None, other & _FLAGS), other // _USER

    def put(self, key: bytes, value: bytes) -> None:
        """The map has this entry now."""
        other = self._others.get(key, 0)
        in_fronts = key in self.fronts
        self._length += not (in_fronts or other & _FLAGS)
        flags = plain_flags(value)
        if flags is None and is_front_end(key, value):
            self.fronts[key] = value
            flags = 0
        elif in_fronts:
            del self.fronts[key]
        now = other & ~_FLAGS | (_OTHER if flags is None else flags)
        if now != other:
            self._set(key, now)

    def remove(self, key: bytes) -> None:
        """The map has no entry under ``key`` any more."""
        self._length -= key in self
        self.fronts.pop(key, None)
        self._set(key, self.users(key) * _USER)

    def users(self, key: bytes) -> int:
        """How many backend ids have this endpoint, or an endpoint of this address."""
        return self._others.get(key, 0) // _USER

    def use(self, key: bytes, change: int) -> None:
        """Count backend ids more or less."""
        self._set(key, self._others.get(key, 0) + change * _USER)

    def _set(self, key: bytes, other: int) -> None:
        if other:
            self._others[key] = other
        else:
            self._others.pop(key, None)
