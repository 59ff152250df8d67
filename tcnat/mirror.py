"""What the services map holds, entry by entry, and how many backends are behind an endpoint or its address. Pure.

Most entries are no front ends', but say by a flag or two that an address or endpoint is known. They are kept as one
small number each: the flags in the map, and the users. All else is found by that number: at 50,000 Services each look
into it may wait for memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcnat.entries import WITHOUT_FRONT_END, is_front_end, plain_flags

_OTHER = 1
"""Instead of the flags of an entry that is neither a front end's nor as tcnat writes it."""
_FLAGS = 15
_FRONT_END = 16
"""Instead of the flags of a front end's entry."""
_HELD = _FLAGS | _FRONT_END
_USER = 32


class ServicesMirror:
    """Keys are services keys. Its length is the number of entries in the map."""

    def __init__(self) -> None:
        self.fronts: dict[bytes, bytes] = {}
        """The entries that are front ends'."""
        self._numbers: dict[bytes, int] = {}  # flags in the map + _USER for each backend id
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: bytes) -> bool:
        return bool(self._numbers.get(key, 0) & _HELD)

    def __iter__(self) -> Iterator[bytes]:
        """Every key that the map has an entry under, or backends have."""
        return iter(self._numbers)

    def value(self, key: bytes) -> bytes | None:
        """The map's value; None if it has none. Of one that tcnat would not write: another that it would not."""
        return self.entry(key)[0]

    def entry(self, key: bytes) -> tuple[bytes | None, bool, int]:
        """:meth:`value` of a key, whether it is a front end's, and :meth:`users`."""
        number = self._numbers.get(key, 0)
        if number & _FRONT_END:
            return self.fronts[key], True, number // _USER
        return WITHOUT_FRONT_END[number & _FLAGS], False, number // _USER

    def replace(self, key: bytes, value: bytes | None) -> tuple[bytes | None, bytes | None]:
        """The map has this entry now (None: none). Gives its value before and now, None where it is no front end's."""
        number = self._numbers.get(key, 0)
        before, now = self.fronts[key] if number & _FRONT_END else None, None
        held = 0 if value is None else plain_flags(value) or _OTHER
        if value is not None and held == _OTHER and is_front_end(key, value):
            held, now = _FRONT_END, value
            self.fronts[key] = value
        elif before is not None:
            del self.fronts[key]
        if held != number & _HELD:
            self._length += (held > 0) - (number & _HELD > 0)
            self._set(key, number & ~_HELD | held)
        return before, now

    def users(self, key: bytes) -> int:
        """How many backend ids have this endpoint, or an endpoint of this address."""
        return self._numbers.get(key, 0) // _USER

    def use(self, key: bytes, change: int) -> None:
        """Count backend ids more or less."""
        self._set(key, self._numbers.get(key, 0) + change * _USER)

    def _set(self, key: bytes, number: int) -> None:
        if number:
            self._numbers[key] = number
        else:
            self._numbers.pop(key, None)
