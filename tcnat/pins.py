"""Where maps and programs are pinned, and which pins belong together.

``<pins>/v<layout version>-<fingerprint>/ipv4`` (and ``ipv6``) is a *set*: every map by its name, and for each bytecode
that uses them a *generation* of programs: ``egress_<digest>``, ``ingress_<digest>`` and ``tails_<digest>``, pinned in
this order. ``layout``, the set's blueprint, is pinned last: no filter uses a set without it. Sets of other versions
stand beside the present one only while these take over from each other.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from tcnat.blueprint import Blueprint, decode, encode, present_blueprint
from tcnat.bpf import BpfError, Map, Program
from tcnat.errors import TcnatError
from tcnat.layout import Family, MapLayout, MapType

SET_NAME = re.compile(r"v\d+(-[0-9a-f]{8})?")
BLUEPRINT = "layout"
_PROGRAMS = ("egress", "ingress")


def set_name() -> str:
    """What the present version's sets are called."""
    blueprint = present_blueprint()
    return f"v{blueprint.version}-{blueprint.fingerprint}"


def family_directory(pins: Path, family: Family) -> Path:
    """Where the present version's set of a family is."""
    return pins / set_name() / f"ipv{int(family)}"


def other_sets(pins: Path, family: Family) -> list[Path]:
    """The family's sets of other versions, whole or not; the one that was made last comes last."""
    own = family_directory(pins, family)
    found = [pins / name / own.name for name in set_names(pins) if (pins / name / own.name).is_dir()]
    return sorted((path for path in found if path != own), key=lambda path: path.stat().st_mtime_ns)


def make_directories(directory: Path) -> None:
    """Make a set's directory, for root's eyes only. TcnatError where that cannot be."""
    try:
        for path in (directory.parent.parent, directory.parent, directory):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise TcnatError(f"{directory} cannot be made: {error.strerror}; run as root, in a bpffs") from None


def is_whole(directory: Path) -> bool:
    """Whether a set of the present version was finished, and has all of its maps still."""
    return (directory / BLUEPRINT).exists() and not missing_maps(directory, present_blueprint())


def missing_maps(directory: Path, blueprint: Blueprint) -> list[str]:
    """The names of the set's maps that are not pinned; that of the tail calls is pinned with programs."""
    return [name for name in blueprint.maps if name != "tails" and not (directory / name).exists()]


def pin_blueprint(directory: Path) -> None:
    """Declare a set whole."""
    raw = encode(present_blueprint())
    kept = Map.create(MapType.ARRAY, 4, len(raw), 1, name=BLUEPRINT)
    kept.update(bytes(4), raw)
    kept.pin(directory / BLUEPRINT)


def read_blueprint(directory: Path) -> Blueprint | None:
    """A set's blueprint; None if it is not whole, or of a version that nothing is known of."""
    if not (directory / BLUEPRINT).exists():
        return None
    kept = Map.open(directory / BLUEPRINT, type=MapType.ARRAY, key_size=4, value_size=None, name=BLUEPRINT)
    blueprint = decode(kept.lookup(bytes(4)) or b"")
    return None if blueprint is None or missing_maps(directory, blueprint) else blueprint


def open_map(directory: Path, layout: MapLayout, key_size: int, value_size: int) -> Map:
    """A map of a set, be it of the LRU type or of the one that stands in for it. BpfError if it has other sizes."""
    path = directory / layout.name
    try:
        return Map.open(path, type=layout.type, key_size=key_size, value_size=value_size, name=layout.name)
    except BpfError as error:
        if error.errno != errno.EINVAL or layout.without_lru is None:
            raise
        kind = layout.without_lru
        return Map.open(path, type=kind, key_size=key_size, value_size=value_size, name=layout.name)


def generations(directory: Path) -> list[str]:
    """The digests of the bytecode whose programs are pinned with a set, whole generations only."""
    return sorted(path.name.removeprefix("tails_") for path in directory.glob("tails_*"))


def open_programs(directory: Path, digest: str) -> tuple[Program, Program, Map]:
    """tc_egress and tc_ingress of a generation, and the map of the programs that they call: the kernel empties it when
    neither a pin nor a descriptor of it is left."""
    egress, ingress = (Program.open(directory / f"{name}_{digest}", f"tc_{name}") for name in _PROGRAMS)
    path = directory / f"tails_{digest}"
    tails = Map.open(path, type=MapType.PROG_ARRAY, key_size=4, value_size=4, name="tails")
    return egress, ingress, tails


def pin_programs(directory: Path, digest: str, egress: Program, ingress: Program, tails: Map) -> None:
    """Pin a generation, over what a start that was killed left of it."""
    for what, name in ((egress, "egress"), (ingress, "ingress"), (tails, "tails")):
        path = directory / f"{name}_{digest}"
        path.unlink(missing_ok=True)
        what.pin(path)


def remove_generations(directory: Path, keep: str) -> None:
    """Unpin all programs of a set but those of one digest. Each ``tails`` goes first: what is left after a kill is no
    generation any more, and goes the next time."""
    for name in ("tails", *_PROGRAMS):
        for path in directory.glob(f"{name}_*"):
            if path.name != f"{name}_{keep}":
                path.unlink(missing_ok=True)


def remove_set(directory: Path) -> None:
    """Unpin a set; it is not whole any more from the first moment on. TcnatError where that is not allowed."""
    try:
        for path in sorted(directory.iterdir(), key=lambda path: path.name != BLUEPRINT):
            path.unlink()
        directory.rmdir()
        if not any(directory.parent.iterdir()):
            directory.parent.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise TcnatError(f"{directory} cannot be removed: {error.strerror}; run as root") from None


def set_names(pins: Path) -> Iterator[str]:
    """The names of all sets that there are."""
    yield from sorted(path.name for path in pins.glob("v*") if SET_NAME.fullmatch(path.name))
