"""Putting programs and maps into the kernel, and finding the ones that an earlier run left pinned.

What is pinned under ``<pins>/v<layout>/ipv4`` (and ``ipv6``): every map by its name, ``program_egress`` and
``program_ingress``, and ``code_<digest>``, the tail-call map under a name that tells which bytecode it belongs to. A
start that finds its own bytecode there adopts everything and writes nothing; one with other bytecode loads it beside
the old, then puts the new pins over the old ones. Traffic goes through the old programs until the filters are replaced.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tcnat.bpf import BpfError, Map, Program, possible_cpus, raise_memlock
from tcnat.bytecode import Bytecode, bytecode
from tcnat.errors import TcnatError
from tcnat.layout import (
    DEFAULT_REJECTS_PER_SECOND,
    DEFAULT_TIMEOUTS,
    FRAGMENT_TIMEOUT,
    LAYOUT_VERSION,
    MAPS,
    SCTP_ANSWERED,
    SCTP_TIMEOUT,
    SETTINGS,
    Choice,
    Family,
    MapLayout,
    MapType,
)

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
    swept: bool
    """This kernel has no LRU maps: the agent must remove what is past its time-out."""
    kept: list[Program] = field(default_factory=list)


def family_directory(pins: Path, family: Family) -> Path:
    """Where a family's pins are."""
    return pins / f"v{LAYOUT_VERSION}" / f"ipv{int(family)}"


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
    return {family: _load_pinned(family_directory(pins, family), family, sizes, with_lru) for family in families}


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
            there = (directory / "program_ingress").exists()
        except PermissionError:
            raise TcnatError(f"{pins} cannot be read: run as root") from None
        if there:
            found[family] = _adopt(directory, family)
    if not found:
        raise TcnatError(f"no datapath is loaded under {pins}: start `tcnat agent` first, or name its --pin-path")
    return found


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
    done = subprocess.run(["mount", "-t", "bpf", "bpf", str(target)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TcnatError(f"no bpffs at {target} and it cannot be mounted: {done.stderr.strip() or 'mount failed'}")


def write_default_settings(maps: Mapping[str, Map]) -> None:
    """What the programs go by until the agent has said otherwise."""
    packed = SETTINGS.codec(Family.IPV4)  # the same for both families
    choices = Choice.PASS, Choice.ANSWER, DEFAULT_REJECTS_PER_SECOND
    maps["settings"].update(bytes(4), packed.pack(0, FRAGMENT_TIMEOUT, *choices, 0))
    timeouts = {int(state): seconds for state, seconds in DEFAULT_TIMEOUTS.items()} | {SCTP_ANSWERED: SCTP_TIMEOUT}
    for index, seconds in timeouts.items():
        maps["timeouts"].update(index.to_bytes(4, sys.byteorder), seconds.to_bytes(4, sys.byteorder))


def _is_bpffs(path: Path) -> bool:
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") & 0xFFFFFFFF == _BPF_FS_MAGIC


def _create(layout: MapLayout, family: Family, entries: Mapping[str, int], lru: bool) -> Map:
    kind = layout.type if lru or layout.without_lru is None else layout.without_lru
    count = entries.get(layout.name, layout.entries) or possible_cpus()
    return Map.create(
        kind, layout.key_size(family), layout.value_size(family), count, flags=layout.flags, name=layout.name
    )


def _open(path: Path, layout: MapLayout, family: Family) -> Map:
    """A pinned map of the layout, be it of the LRU type or of the one that stands in for it."""
    sizes = {"key_size": layout.key_size(family), "value_size": layout.value_size(family)}
    try:
        return Map.open(path, type=layout.type, name=layout.name, **sizes)
    except BpfError as error:
        if error.errno != errno.EINVAL or layout.without_lru is None:
            raise
        return Map.open(path, type=layout.without_lru, name=layout.name, **sizes)


def _load_pinned(directory: Path, family: Family, entries: Mapping[str, int], lru: bool) -> Loaded:
    code = bytecode(family)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise TcnatError(f"{directory} cannot be made: {error.strerror}; run as root, in a bpffs") from None
    current = directory / f"code_{code.digest}"
    if current.exists() and (directory / "program_ingress").exists():
        return _adopt(directory, family)
    maps = {
        layout.name: _adopt_or_create(directory, layout, family, entries, lru)
        for layout in MAPS.values()
        if layout.name != "tails"
    }
    maps["tails"] = _create(MAPS["tails"], family, entries, lru)
    if not any(maps["settings"].lookup(bytes(4)) or b""):
        write_default_settings(maps)
    loaded = _load_programs(code, family, maps)
    _replace_pin(loaded.egress, directory / "program_egress")
    _replace_pin(loaded.ingress, directory / "program_ingress")
    _replace_pin(maps["tails"], current)
    for old in directory.glob("code_*"):
        if old != current:
            old.unlink()
    return loaded


def _adopt_or_create(directory: Path, layout: MapLayout, family: Family, entries: Mapping[str, int], lru: bool) -> Map:
    path = directory / layout.name
    if path.exists():
        return _open(path, layout, family)
    made = _create(layout, family, entries, lru)
    made.pin(path)
    return made


def _adopt(directory: Path, family: Family) -> Loaded:
    maps = {
        layout.name: _open(directory / layout.name, layout, family)
        for layout in MAPS.values()
        if layout.name != "tails"
    }
    return Loaded(
        family,
        maps,
        egress=Program.open(directory / "program_egress", "tc_egress"),
        ingress=Program.open(directory / "program_ingress", "tc_ingress"),
        swept=maps["flows"].type is MapType.HASH,
    )


def _load_programs(code: Bytecode, family: Family, maps: dict[str, Map]) -> Loaded:
    descriptors = {name: found.fd for name, found in maps.items()}
    programs = {
        program.name: Program.load(program.relocated(descriptors), f"{program.name} (IPv{family})")
        for program in code.programs
    }
    for name, slot in TAILS.items():
        if name in programs:
            maps["tails"].update(slot.to_bytes(4, "little"), programs[name].fd.to_bytes(4, "little"))
    return Loaded(
        family,
        maps,
        egress=programs["tc_egress"],
        ingress=programs["tc_ingress"],
        swept=maps["flows"].type is MapType.HASH,
        kept=list(programs.values()),
    )


def _replace_pin(what: Map | Program, path: Path) -> None:
    """Pin in one step, over what may be pinned there."""
    partial = path.with_name(f"{path.name}_new")
    partial.unlink(missing_ok=True)
    what.pin(partial)
    partial.rename(path)
