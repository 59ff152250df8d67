"""The ports under which the services map has entries: one bit for each, in the map ``ports``.

Most packets are no Service's, and their port alone tells so: programs spare themselves a look into a table that is far
larger than the CPU's caches. A bit may be set where there is no entry (that costs a look-up); it must never be missing.
So it is set before an entry is written, and unset when the last one under the port is gone.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

from tcnat.bpf import Map
from tcnat.layout import PORTS_PER_WORD, number_bytes, port_number

_PORT = slice(-4, -2)
"""Where a services key has its port."""


class Ports:
    """One family's map of that kind. Nobody else writes it."""

    def __init__(self, ports: Map) -> None:
        self._map = ports
        self._uses: Counter[bytes] = Counter()  # by port, in network order
        self._words = array("Q", bytes(ports.max_entries * ports.value_size))

    def become(self, keys: Iterable[bytes]) -> None:
        """These are the keys of the services map. BpfError where this one cannot be written."""
        there = array("Q", bytes(self._map.read_array(len(self._words))))
        self._uses = Counter(key[_PORT] for key in keys)
        self._words = array("Q", [0]) * len(self._words)
        for port in self._uses:
            self._turn(port)
        self._write(word for word, bits in enumerate(self._words) if bits != there[word])

    def add(self, keys: Iterable[bytes]) -> None:
        """Entries are about to be written under keys that have none."""
        self._count(keys, 1)

    def remove(self, keys: Iterable[bytes]) -> None:
        """There are no entries under these keys any more."""
        self._count(keys, -1)

    def _count(self, keys: Iterable[bytes], change: int) -> None:
        changed = set()
        for port, keys_of_it in Counter([key[_PORT] for key in keys]).items():
            before = self._uses[port]
            self._uses[port] = before + change * keys_of_it
            if not before or not self._uses[port]:
                changed.add(self._turn(port))
        self._write(changed)

    def _turn(self, port: bytes) -> int:
        """Set a port's bit, or unset it; gives the index of its word."""
        word, bit = divmod(port_number(port), PORTS_PER_WORD)
        self._words[word] ^= 1 << bit
        return word

    def _write(self, changed: Iterable[int]) -> None:
        for word in changed:
            self._map.update(number_bytes(word), self._words[word : word + 1].tobytes())


def serve_every_port(ports: Map) -> None:
    """What holds whatever the services map has, until an agent has read it."""
    ports.update_array(0, b"\xff" * (ports.max_entries * ports.value_size))
