"""The Services that a replay runs against: from objects in files to programs with filled maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tcnat.errors import TcnatError
from tcnat.inventory import Inventory
from tcnat.layout import Family
from tcnat.loader import Loaded, load_private
from tcnat.maps import MapStore
from tcnat.model import FrontEnd, FrontEndKey, NodeInfo, format_address
from tcnat.objectfiles import load_inventory
from tcnat.replay.fate import Services
from tcnat.settings import Settings
from tcnat.sweep import Sweeper
from tcnat.translate import translate

FrontEnds = Mapping[FrontEndKey, FrontEnd]


def read_front_ends(files: Sequence[str], node_name: str, node_zone: str) -> FrontEnds:
    """What the objects in these files want of a node's datapath. Where two Services claim a front end, the first by
    namespace and name has it, as on a node. TcnatError names the first object that cannot be used."""
    inventory = load_inventory(files)
    node = _node(inventory, node_name, node_zone)
    found: dict[FrontEndKey, FrontEnd] = {}
    for service, slices in inventory.services():
        for front_end in translate(service, slices, node).front_ends:
            found.setdefault(front_end.key, front_end)
    return found


def _node(inventory: Inventory, name: str, zone: str) -> NodeInfo:
    known = inventory.node(name)
    if known is None:
        return NodeInfo(name, zone)
    return NodeInfo(name, zone or known.zone, known.addresses)


@dataclass(frozen=True, slots=True)
class World:
    """The programs of both families with maps of their own. ``sweepers`` are there where the kernel has no LRU maps."""

    loaded: Mapping[Family, Loaded]
    sweepers: Mapping[Family, Sweeper]


def load(front_ends: FrontEnds, settings: Settings, lru: bool | None = None) -> World:
    """A world with these front ends; ``lru`` None probes the kernel. TcnatError if it cannot be had (rights, kernel,
    bytecode) or does not hold them all."""
    stores = {family: _load_family(family, front_ends, settings, lru) for family in Family}
    swept = {family: store.sweeper() for family, (loaded, store) in stores.items() if loaded.swept}
    return World({family: loaded for family, (loaded, _) in stores.items()}, swept)


def _load_family(
    family: Family, front_ends: FrontEnds, settings: Settings, lru: bool | None
) -> tuple[Loaded, MapStore]:
    loaded = load_private(family, lru=lru)
    store = MapStore(family, loaded.maps)  # of maps that are new: there is nothing to read
    store.write_settings(settings)
    store.sync({key: front_end for key, front_end in front_ends.items() if key.family == family})
    if store.unfit:
        key, unfit = next(iter(store.unfit.items()))
        raise TcnatError(f"{key} and {len(store.unfit) - 1} more front ends do not fit: map {unfit.map} is full")
    return loaded, store


def services_of(front_ends: FrontEnds) -> Services:
    """Which service port a front end belongs to."""
    return {(key.address, key.port, int(key.protocol)): each.service for key, each in front_ends.items()}


def names_of(front_ends: Iterable[FrontEnd]) -> dict[str, str]:
    """What the addresses are, for people."""
    fronts: dict[bytes, set[str]] = {}
    backends: dict[bytes, set[str]] = {}
    for front_end in front_ends:
        service = f"{front_end.service.namespace}/{front_end.service.name}"
        fronts.setdefault(front_end.key.address, set()).add(service)
        for backend in front_end.backends:
            backends.setdefault(backend.address, set()).add(service)
    names = {format_address(address): f"backend of {_some(services)}" for address, services in backends.items()}
    return names | {format_address(address): f"Service {_some(services)}" for address, services in fronts.items()}


def _some(services: set[str]) -> str:
    first, *others = sorted(services)
    return f"{first} and {len(others)} more" if others else first
