"""What the agent notes for readers beside the maps, which hold no names: whose a service id is, what did not fit, and
what is not served.

A small JSON file in the directory of the lock, named after the pins and replaced in one step. Readers do without where
it is not there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.lock import RUN_DIRECTORY, lock_path
from tcnat.model import FrontEndKey, ServicePortName, format_address
from tcnat.plan import Unfit
from tcnat.resources import ServiceRef
from tcnat.translate import Unserved


class NoRoom(msgspec.Struct, frozen=True):
    """A front end that a map (its name, and the entries it can have) has no room for."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    address: str
    port: int
    map: str
    entries: int


class NotServed(msgspec.Struct, frozen=True):
    """A front end that the datapath does not serve (rule 16); a node port has the unspecified address."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    address: str
    port: int


class Notes(msgspec.Struct, frozen=True):
    """What the file holds. ``names``: 4 or 6 -> service id -> namespace, Service, port name, protocol number."""

    names: dict[int, dict[int, ServicePortName]] = {}
    no_room: tuple[NoRoom, ...] = ()
    not_served: tuple[NotServed, ...] = ()

    def name(self, family: Family, service: int) -> ServicePortName | None:
        """Whose a service id is, if that is known."""
        return self.names.get(family, {}).get(service)


class Noted(Protocol):
    """Of :class:`tcnat.maps.MapStore`, what is noted."""

    unfit: dict[FrontEndKey, Unfit]
    news: bool

    def names(self) -> dict[int, ServicePortName]: ...


class Unserving(Protocol):
    """Of :class:`tcnat.sync.Syncer`, what is noted."""

    unserved: dict[ServiceRef, tuple[Unserved, ...]]
    news: bool


def write_news(
    pins: Path, stores: Mapping[Family, Noted], directory: Path = RUN_DIRECTORY, *, syncer: Unserving
) -> bool:
    """Write the file anew if there is something new in any of the stores, or in what is not served. TcnatError if it
    cannot be written."""
    sources: list[Noted | Unserving] = [*stores.values(), syncer]
    if not any(source.news for source in sources):
        return False
    names = {int(family): store.names() for family, store in stores.items()}
    unfit = [each for store in stores.values() for each in store.unfit.values()]
    not_served = [each for service in sorted(syncer.unserved) for each in syncer.unserved[service]]
    write_notes(pins, Notes(names, tuple(map(_no_room, unfit)), tuple(map(_not_served, not_served))), directory)
    for source in sources:
        source.news = False
    return True


def write_notes(pins: Path, notes: Notes, directory: Path = RUN_DIRECTORY) -> None:
    """Replace the file in one step."""
    path = notes_path(pins, directory)
    partial = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(notes))
        os.replace(partial, path)
    except OSError as error:
        raise TcnatError(f"{path} cannot be written: {error.strerror}; get and status show no names") from None


def read_notes(pins: Path, directory: Path = RUN_DIRECTORY) -> Notes:
    """What is noted; nothing if the file is missing or makes no sense."""
    try:
        return msgspec.json.decode(notes_path(pins, directory).read_bytes(), type=Notes)
    except (OSError, msgspec.DecodeError):
        return Notes()


def remove_notes(pins: Path, directory: Path = RUN_DIRECTORY) -> bool:
    """Remove the file; False if there was none."""
    path = notes_path(pins, directory)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def notes_path(pins: Path, directory: Path = RUN_DIRECTORY) -> Path:
    """Where the file of the pins at ``pins`` is."""
    return lock_path(pins, directory).with_suffix(".json")


def _no_room(unfit: Unfit) -> NoRoom:
    (namespace, name, port_name, protocol), key = unfit.front_end.service, unfit.front_end.key
    address = format_address(key.address)
    return NoRoom(namespace, name, port_name, protocol.name, address, key.port, unfit.map, unfit.entries)


def _not_served(unserved: Unserved) -> NotServed:
    namespace, name, port_name, protocol = unserved.service
    return NotServed(namespace, name, port_name, protocol.name, format_address(unserved.address), unserved.port)
