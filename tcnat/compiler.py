"""The short-lived process that compiles: ``python -m tcnat.compiler 4|6 [DIRECTORY]`` writes bytecode to stdout.

The only importer of bcc. bcc makes the maps of what it compiles, so this needs the same rights as loading; they have
one entry each and vanish with the process. No kernel headers are needed: see ``bpf/shim``.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tcnat.bpf import raise_memlock
from tcnat.bytecode import (
    ENTRIES,
    Bytecode,
    ProgramCode,
    bcc_version,
    extract_program,
    joined_source,
    source_digest,
    source_directory,
)
from tcnat.layout import MAPS, Family

PROGRAMS: dict[str, tuple[str, ...]] = {
    "tc_egress.c": (
        "tc_egress",
        "egress_slow",
        "egress_open",
        "egress_mend",
        "egress_new",
        "egress_miss",
        "egress_rewrite",
        "egress_answer",
        "egress_fragment",
        "egress_icmp",
        "egress_reject",
        "egress_trace",
        "trace_decided",
        "flow_recent",
    ),
    "tc_ingress.c": (
        "tc_ingress",
        "ingress_slow",
        "ingress_open",
        "ingress_rewrite",
        "ingress_fragment",
        "ingress_icmp",
        "ingress_trace",
    ),
}
"""The functions of each entry file that are programs of their own."""


def include_directories() -> list[str]:
    """Where the C library's kernel headers (linux-libc-dev) lie."""
    multiarch = Path("/usr/include") / f"{platform.machine()}-linux-gnu"
    return [f"-I{multiarch}", "-I/usr/include"]


def compile_entry(
    entry: str, names: Iterable[str], maps: Iterable[str], family: Family, directory: Path
) -> list[ProgramCode]:
    """Compile one entry file for a family: its functions ``names`` as programs that use ``maps``.

    bcc prints what is wrong to stderr and raises.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(directory / "shim")
    import bcc  # noqa: PLC0415 - heavy, and only here

    module = bcc.BPF(
        text=joined_source(entry, directory),
        cflags=[f"-DFAMILY={int(family)}", "-Wno-unknown-attributes", *include_directories()],
    )
    descriptors = {bcc.lib.bpf_table_fd(module.module, name.encode()): name for name in maps}
    return [extract_program(name, module.dump_func(name), descriptors) for name in names]


def compile_family(family: Family, directory: Path) -> Bytecode:
    """Compile both entry files for a family."""
    programs = [
        program for entry in ENTRIES for program in compile_entry(entry, PROGRAMS[entry], MAPS, family, directory)
    ]
    return Bytecode(
        family=int(family),
        source=source_digest(family, directory),
        bcc=bcc_version() or "unknown",
        architecture=platform.machine(),
        programs=tuple(programs),
    )


def main(arguments: list[str]) -> int:
    """Compile and write; 1 with bcc's own words on stderr when that fails."""
    raise_memlock()
    directory = Path(arguments[1]) if len(arguments) > 1 else source_directory()
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # LLVM may print to stdout
    try:
        compiled = compile_family(Family(int(arguments[0])), directory)
    except Exception as error:  # bcc raises bare Exception
        print(f"error: {error}", file=sys.stderr)
        return 1
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.msgpack.encode(compiled))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
