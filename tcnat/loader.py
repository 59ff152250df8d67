"""Putting programs and maps into the kernel, and finding the ones that an earlier run left pinned.

A start that finds its own set of maps (:mod:`tcnat.pins`) adopts it; one that finds the programs of its own bytecode
with it adopts these, too, and writes nothing. Otherwise maps are made, from those of another layout where there are any
(:mod:`tcnat.migrate`), and programs are loaded beside the old ones. Traffic goes through the old programs, whose pins
stay, until the filters are replaced (:mod:`tcnat.handover`).
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tcnat import jit
from tcnat.assemble import tail_calling
from tcnat.bpf import BpfError, Map, Program, possible_cpus, raise_memlock
from tcnat.bytecode import Bytecode, bytecode
from tcnat.errors import TcnatError
from tcnat.helpers import available_helpers
from tcnat.layout import MAPS, Family, MapLayout, MapType, number_bytes
from tcnat.migrate import PASSING, OtherSet, fill, understood_sets
from tcnat.pins import (
    family_directory,
    generations,
    is_whole,
    make_directories,
    open_map,
    open_programs,
    pin_blueprint,
    pin_programs,
    remove_set,
    set_name,
    set_names,
)
from tcnat.ports import serve_every_port
from tcnat.settings import Settings

log = logging.getLogger(__name__)

DEFAULT_PINS = Path("/sys/fs/bpf/tcnat")
ALL_FAMILIES = (Family.IPV4, Family.IPV6)
ENTRY_PROGRAMS = {"egress": "tc_egress", "ingress": "tc_ingress"}
TAILS = {
    "egress_slow": 0,
    "egress_new": 1,
    "egress_fragment": 2,
    "egress_icmp": 3,
    "egress_reject": 4,
    "ingress_slow": 5,
    "ingress_fragment": 6,
    "ingress_icmp": 7,
    "egress_miss": 8,
    "tc_egress": 9,
    "tc_ingress": 10,
    "egress_trace": 11,
    "ingress_trace": 12,
    "trace_decided": 13,
    "egress_open": 14,
    "ingress_open": 15,
    "egress_mend": 16,
    "egress_rewrite": 17,
    "ingress_rewrite": 18,
    "egress_answer": 19,
    "flow_recent": 20,
}
"""Program -> slot of the tail-call map: ``enum tail`` of ``bpf/maps.h``."""
_BPF_FS_MAGIC = 0xCAFE4A11


@dataclass(slots=True)
class Loaded:
    """One family's maps and programs in the kernel. Closing them leaves what is pinned or attached."""

    family: Family
    maps: dict[str, Map]
    egress: Program
    ingress: Program
    digest: str = ""
    """What the pins of its programs are named after."""
    kept: list[Program] = field(default_factory=list)

    @property
    def swept(self) -> bool:
        """Whether this kernel has no LRU maps: then the agent must remove what is past its time-out."""
        return self.maps["flows"].type is MapType.HASH


def has_lru() -> bool:
    """Whether the kernel has LRU hash maps (4.10)."""
    raise_memlock()  # pinned maps of an earlier run count against the limit too, and leave no room for the probe
    try:
        Map.create(MapType.LRU_HASH, 4, 4, 64).close()
    except BpfError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def load(
    pins: Path = DEFAULT_PINS,
    families: Iterable[Family] = ALL_FAMILIES,
    entries: Mapping[str, int] | None = None,
    lru: bool | None = None,
) -> dict[Family, Loaded]:
    """Make or adopt each family's pinned maps and programs.

    ``entries`` sizes maps that are made anew (adopted ones keep theirs); ``lru`` None probes the kernel. Errors are
    TcnatError: no rights, no bpffs, no bytecode, a verifier's refusal with its last lines, pins of another make.
    """
    raise_memlock()
    mount_bpffs(pins)
    with_lru = has_lru() if lru is None else lru
    sizes = entries or {}
    return {family: _load_pinned(pins, family, sizes, with_lru) for family in families}


def load_private(family: Family, entries: Mapping[str, int] | None = None, lru: bool | None = None) -> Loaded:
    """Maps and programs of one's own: nothing is pinned, all of it goes with the process."""
    raise_memlock()
    with_lru = has_lru() if lru is None else lru
    maps = {layout.name: _create(layout, family, entries or {}, with_lru) for layout in MAPS.values()}
    write_default_settings(maps)
    return _load_programs(bytecode(family), family, maps)


def open_pinned(pins: Path = DEFAULT_PINS) -> dict[Family, Loaded]:
    """What is pinned, for those who only read. TcnatError if nothing is."""
    found = {}
    for family in ALL_FAMILIES:
        directory = family_directory(pins, family)
        try:
            there = is_whole(directory)
        except PermissionError:
            raise TcnatError(f"{pins} cannot be read: run as root") from None
        if there and (loaded := generations(directory)):
            found[family] = _adopt(directory, family, loaded[-1])
    if not found:
        raise TcnatError(_nothing_loaded(pins))
    return found


def _nothing_loaded(pins: Path) -> str:
    others = ", ".join(name for name in set_names(pins) if name != set_name())
    if others:
        return f"the datapath under {pins} is another version's ({others}): use that version's commands"
    return f"no datapath is loaded under {pins}: start `tcnat agent` first, or name its --pin-path"


def mount_bpffs(pins: Path) -> None:
    """Make sure that ``pins`` lies in a bpffs: mounts one at /sys/fs/bpf where that is missing."""
    existing = pins
    while not existing.exists():
        existing = existing.parent
    if _is_bpffs(existing):
        return
    target = Path("/sys/fs/bpf")
    if not pins.is_relative_to(target):
        raise TcnatError(
            f"{pins} is not in a bpffs: mount one (mount -t bpf bpf {existing}) or choose another pin path"
        )
    libc = ctypes.CDLL(None, use_errno=True)  # the machine may have no mount(8)
    if libc.mount(b"bpf", os.fsencode(target), b"bpf", 0, None) != 0:
        raise TcnatError(f"no bpffs at {target} and it cannot be mounted: {os.strerror(ctypes.get_errno())}")


def write_default_settings(maps: Mapping[str, Map]) -> None:
    """What the programs go by until the agent has said otherwise; for those of the two maps that are given."""
    if "settings" in maps:
        maps["settings"].update(bytes(4), Settings().pack())
    if "timeouts" in maps:
        for index, seconds in Settings().pack_timeouts().items():
            maps["timeouts"].update(number_bytes(index), number_bytes(seconds))


def _is_bpffs(path: Path) -> bool:
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") & 0xFFFFFFFF == _BPF_FS_MAGIC


def _create(layout: MapLayout, family: Family, entries: Mapping[str, int], lru: bool) -> Map:
    kind = layout.type if lru or layout.without_lru is None else layout.without_lru
    count = entries.get(layout.name, layout.entries) or possible_cpus()
    sizes = layout.key_size(family), layout.value_size(family)
    return Map.create(kind, *sizes, count, layout.flags, layout.name, mappable=layout.mappable)


def _load_pinned(pins: Path, family: Family, entries: Mapping[str, int], lru: bool) -> Loaded:
    code = bytecode(family)
    directory = family_directory(pins, family)
    if not is_whole(directory):
        _make_set(pins, family, entries, lru)
    if code.digest in generations(directory):
        return _adopt(directory, family, code.digest)
    maps = _open_maps(directory, family)
    maps["tails"] = _create(MAPS["tails"], family, entries, lru)
    loaded = _load_programs(code, family, maps)
    pin_programs(directory, code.digest, loaded.egress, loaded.ingress, maps["tails"])
    return loaded


def _make_set(pins: Path, family: Family, entries: Mapping[str, int], lru: bool) -> None:
    """Pin a set of this version's maps, with what the latest set of another layout holds."""
    directory = family_directory(pins, family)
    remove_set(directory)
    other = next(reversed(understood_sets(pins, family)), None)
    shared = {name: other.open(name) for name in MAPS if other is not None and other.shares(name)}
    made = {
        name: _create(layout, family, {**entries, name: _room(layout, entries, other)}, lru)
        for name, layout in MAPS.items()
        if name != "tails" and name not in shared
    }
    write_default_settings(made)
    if other is not None and "ports" in made:
        serve_every_port(made["ports"])
    for name, fresh in made.items():
        if other is not None and other.has(name) and name not in PASSING and not MAPS[name].swept:
            fill(fresh, MAPS[name], other)
    make_directories(directory)
    for name, each in {**shared, **made}.items():
        each.pin(directory / name)
    pin_blueprint(directory)
    if other is not None:
        log.info("IPv%d: maps of %s taken over; made anew: %s", family, other.directory.parent.name, ", ".join(made))


def _room(layout: MapLayout, entries: Mapping[str, int], other: OtherSet | None) -> int:
    """Entries for a map that is made: as many as are asked for, and no fewer than the one before it had."""
    before = other.open(layout.name).max_entries if other is not None and other.has(layout.name) else 0
    return max(entries.get(layout.name, layout.entries), before)


def _open_maps(directory: Path, family: Family) -> dict[str, Map]:
    return {
        name: open_map(directory, layout, layout.key_size(family), layout.value_size(family))
        for name, layout in MAPS.items()
        if name != "tails"
    }


def _adopt(directory: Path, family: Family, digest: str) -> Loaded:
    maps = _open_maps(directory, family)
    egress, ingress, maps["tails"] = open_programs(directory, digest)
    return Loaded(family, maps, egress, ingress, digest)


def _load_programs(code: Bytecode, family: Family, maps: dict[str, Map]) -> Loaded:
    descriptors, available = {name: found.fd for name, found in maps.items()}, available_helpers()
    _begin(maps["tails"])
    programs = {
        program.name: _load(program.relocated(descriptors, available), program.name, family, maps["tails"])
        for program in code.programs
    }
    return Loaded(
        family,
        maps,
        egress=programs["tc_egress"],
        ingress=programs["tc_ingress"],
        digest=code.digest,
        kept=list(programs.values()),
    )


def _begin(tails: Map) -> None:
    """Have the table take what the kernel makes of any program: compiled ones or not, as it is with its first."""
    Program.load(tail_calling(tails.fd), "first").close()


def _load(code: bytes, name: str, family: Family, tails: Map) -> Program:
    """Load a program and put it into its slot of the table, in another shape if the kernel's JIT gave this one up.
    VerifierError, BpfError of the first shape if no other is taken either."""
    try:
        return _placed(code, name, family, tails)
    except BpfError as error:
        if error.errno not in jit.GIVEN_UP:
            raise
        for variant in jit.variants(code):
            with suppress(BpfError):
                loaded = _placed(variant, name, family, tails)
                log.info("program %s (IPv%d): the kernel's JIT took it in another shape only", name, family)
                return loaded
        raise


def _placed(code: bytes, name: str, family: Family, tails: Map) -> Program:
    loaded = Program.load(code, f"{name} (IPv{family})")
    if name in TAILS:
        tails.update(number_bytes(TAILS[name]), number_bytes(loaded.fd))
    return loaded
