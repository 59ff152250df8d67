"""Compiled programs as data, and the cache that keeps them.

Bytecode is what bcc makes of ``bpf/``, with map descriptors taken out again and names put in their place, so that it
can be loaded on any kernel without bcc. An entry of the cache is one family's programs, keyed by the source, the bcc
version and the architecture. A node whose cache is warm, or that was shipped one, needs no bcc, no LLVM and no headers.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import platform
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from tcnat.bpf import INSTRUCTION_SIZE
from tcnat.errors import TcnatError
from tcnat.helpers import Calls, with_stand_ins
from tcnat.instructions import LOAD_WIDE, PSEUDO_MAP_FD, set_immediate, walk
from tcnat.layout import Family

log = logging.getLogger(__name__)

ENTRIES = ("tc_egress.c", "tc_ingress.c")
"""The two main files; each is compiled with its local headers joined in."""
_FORM = 2
"""To be raised when something else is made of what the compiler gives."""
_PACKAGE = Path(__file__).parent
_INCLUDE = re.compile(r'^#include "([\w.]+)"$', re.MULTILINE)


class ProgramCode(msgspec.Struct, frozen=True):
    """One program: its instructions (8 bytes each) with no map in them, and where which map belongs."""

    name: str
    instructions: bytes
    relocations: tuple[tuple[int, str], ...]
    """(index of the instruction that loads a map, the map's name)"""
    newer: Calls = ()
    """Calls that may be of these helpers instead, where the kernel has them."""

    def relocated(self, descriptors: dict[str, int], available: Collection[int] = ()) -> bytes:
        """The instructions with the maps' descriptors put in, for a kernel that has these newer helpers
        (:func:`tcnat.helpers.available_helpers`)."""
        code = bytearray(self.instructions)
        for index, name in self.relocations:
            at = index * INSTRUCTION_SIZE + 1
            code[at] = code[at] & 0x0F | PSEUDO_MAP_FD << 4
            set_immediate(code, index, descriptors[name])
        for index, number in self.newer:
            if number in available:
                set_immediate(code, index, number)
        return bytes(code)


class Bytecode(msgspec.Struct, frozen=True):
    """One family's programs, and what they were made from."""

    family: int
    source: str
    """SHA-256 of the joined source, hexadecimal."""
    bcc: str
    architecture: str
    programs: tuple[ProgramCode, ...]

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that name exactly these instructions."""
        whole = hashlib.sha256()
        for program in self.programs:
            beside = repr((program.relocations, program.newer))
            whole.update(program.name.encode() + program.instructions + beside.encode())
        return whole.hexdigest()[:12]


def source_directory() -> Path:
    """Where the C sources are: inside of an installed package, or beside it in a checkout."""
    for place in (_PACKAGE / "_bpf", _PACKAGE.parent / "bpf"):
        if (place / ENTRIES[0]).exists():
            return place
    raise TcnatError(f"the C sources are missing: neither {_PACKAGE / '_bpf'} nor {_PACKAGE.parent / 'bpf'} has them")


def joined_source(entry: str, directory: Path | None = None) -> str:
    """An entry file with its local headers in one text, each once, with ``#line`` marks that keep error lines right.

    bcc rewrites map calls in the main file only, so headers must not stay includes.
    """
    directory = directory or source_directory()
    seen: set[str] = set()

    def join(name: str) -> str:
        seen.add(name)
        lines = [f'#line 1 "bpf/{name}"']
        for number, line in enumerate((directory / name).read_text().splitlines(), start=1):
            include = _INCLUDE.match(line)
            if include is None:
                lines.append(line)
            elif include[1] not in seen:
                lines += [join(include[1]), f'#line {number + 1} "bpf/{name}"']
            else:
                lines.append("")
        return "\n".join(lines)

    return join(entry) + "\n"


def source_digest(family: Family, directory: Path | None = None) -> str:
    """SHA-256 of all that the family's programs are compiled from, and of the form in which they are kept."""
    whole = hashlib.sha256(f"FAMILY={int(family)} FORM={_FORM}".encode())
    for entry in ENTRIES:
        whole.update(joined_source(entry, directory).encode())
    return whole.hexdigest()


def bcc_version() -> str | None:
    """The version of the bcc that is installed, without importing it; None if there is none."""
    found = importlib.util.find_spec("bcc")
    if found is None or not found.submodule_search_locations:
        return None
    version = Path(found.submodule_search_locations[0]) / "version.py"
    if not version.exists():  # the lattice library of the same name on PyPI has no such file
        return None
    match = re.search(r"__version__ = '([^']+)'", version.read_text())
    return match[1] if match else None


def extract_program(name: str, raw: bytes, maps: dict[int, str]) -> ProgramCode:
    """A program as bcc dumps it (``maps``: descriptor -> name), with the descriptors taken out."""
    code = bytearray(raw)
    relocations: list[tuple[int, str]] = []
    for each in walk(raw):
        if each.opcode == LOAD_WIDE and each.source == PSEUDO_MAP_FD:
            relocations.append((each.number, maps[each.immediate]))
            code[each.number * INSTRUCTION_SIZE + 1] = each.destination
            set_immediate(code, each.number, 0)
    plain, newer = with_stand_ins(bytes(code))
    return ProgramCode(name, plain, tuple(relocations), newer)


def cache_directories() -> list[Path]:
    """Where entries are looked for, in order; new ones are written to the first."""
    own = os.environ.get("TCNAT_CACHE")
    if own:
        first = Path(own)
    elif os.geteuid() == 0:
        first = Path("/var/cache/tcnat")
    else:
        first = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tcnat"
    return [first, _PACKAGE / "_bytecode"]


def bytecode(family: Family) -> Bytecode:
    """The family's programs: from the cache, or compiled in a process of its own and kept for the next time.

    TcnatError where neither can be had.
    """
    found = cached(family)
    if found is not None:
        return found
    if bcc_version() is None:
        raise TcnatError(
            f"no bytecode for IPv{family} in {' or '.join(map(str, cache_directories()))}, and no bcc to compile it: "
            "install python3-bpfcc and linux-libc-dev, or copy a warm cache there"
        )
    compiled = compile_apart(family)
    _write_cache(compiled)
    return compiled


def cached(family: Family) -> Bytecode | None:
    """The family's programs if the cache has them, of this very source and bcc (of any bcc, if none is installed)."""
    return _read_cache(family, source_digest(family), bcc_version())


def compile_apart(family: Family, directory: Path | None = None) -> Bytecode:
    """Have a short-lived process compile the family's programs, so that LLVM never lives in this one."""
    command = [sys.executable, "-m", "tcnat.compiler", str(int(family))]
    if directory is not None:
        command.append(str(directory))
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = [line for line in said if "error:" in line or "rror" in line] or said
        raise TcnatError(f"compiling for IPv{family} failed: {' / '.join(said[-5:]) or f'exit {done.returncode}'}")
    return msgspec.msgpack.decode(done.stdout, type=Bytecode)


def _entry_name(family: Family, source: str, bcc: str) -> str:
    return f"ipv{int(family)}-{source[:16]}-{platform.machine()}-bcc{bcc}.bytecode"


def _read_cache(family: Family, source: str, bcc: str | None) -> Bytecode | None:
    pattern = _entry_name(family, source, bcc or "*")
    for directory in cache_directories():
        for path in sorted(directory.glob(pattern), reverse=True):
            found = _read_entry(path)
            if found is not None and found.source == source and found.family == family:
                return found
    return None


def _read_entry(path: Path) -> Bytecode | None:
    try:
        raw = path.read_bytes()
        checksum, body = raw[:32], raw[32:]
        if hashlib.sha256(body).digest() != checksum:
            raise ValueError("its checksum is wrong")
        return msgspec.msgpack.decode(body, type=Bytecode)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("bytecode cache entry %s is not used: %s", path, error)
        return None


def write_entry(directory: Path, compiled: Bytecode) -> None:
    """Put an entry into a directory of the cache, which is made where it is missing. OSError."""
    body = msgspec.msgpack.encode(compiled)
    path = directory / _entry_name(Family(compiled.family), compiled.source, compiled.bcc)
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.write_bytes(hashlib.sha256(body).digest() + body)
        partial.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _write_cache(compiled: Bytecode) -> None:
    try:
        write_entry(cache_directories()[0], compiled)
    except OSError as error:
        log.warning("the bytecode is not cached, so the next start compiles again: %s", error)
