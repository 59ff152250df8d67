"""The steps that bring the maps from what they hold to what is wanted, each small enough to be all or nothing.

:func:`tcnat.plan.plan` makes them, :class:`tcnat.maps.MapStore` carries them out, and :class:`tcnat.present.Present`
follows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from tcnat import maglev
from tcnat.model import ServicePortName

_element = struct.Struct("=I4x").pack


class NameService(msgspec.Struct, frozen=True, gc=False):
    """A service id belongs to this service port. Writes no map: names are not in the maps."""

    service: int
    name: ServicePortName


class WriteBackend(msgspec.Struct, frozen=True, gc=False):
    """``backends[number]`` gets an endpoint (a services key: address, port, protocol), for one service port."""

    number: int
    generation: int
    service: int
    endpoint: bytes


class WriteRun(msgspec.Struct, frozen=True, gc=False):
    """``slots[base …]`` gets the table of the backends that have these ids."""

    base: int
    count: int
    numbers: tuple[int, ...]

    def slots(self, preferences: Sequence[maglev.Preference]) -> bytes:
        """The backend id of each of the ``count`` slots, joined, each padded to 8 bytes as in the map's memory.
        ``preferences`` are the backends', in the order of their ids."""
        return b"".join(maglev.held(preferences, [*map(_element, self.numbers)], self.count))


class WriteService(msgspec.Struct, frozen=True, gc=False):
    """``services[key]`` becomes ``value``; ``new``: there was no such entry."""

    key: bytes
    value: bytes
    new: bool


class RemoveService(msgspec.Struct, frozen=True, gc=False):
    """``services[key]`` goes."""

    key: bytes


class FreeRun(msgspec.Struct, frozen=True, gc=False):
    """The run at ``base`` has no front end any more. Writes no map: slots that nothing names do not matter."""

    base: int


class FreeBackend(msgspec.Struct, frozen=True, gc=False):
    """``backends[number]`` becomes empty, with a generation that no flow carries."""

    number: int
    generation: int


class ForgetService(msgspec.Struct, frozen=True, gc=False):
    """No entry of the services map has this id any more: its counters become 0, and it is free."""

    service: int


Step = NameService | WriteBackend | WriteRun | WriteService | RemoveService | FreeRun | FreeBackend | ForgetService
