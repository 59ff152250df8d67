"""The programs' size: instructions, and what this kernel's verifier walked through."""

from __future__ import annotations

import re

from tabulate import tabulate

from tcnat.bpf import verifier_statistics
from tcnat.bytecode import bytecode
from tcnat.layout import Family
from tcnat.loader import load_private

MOST_INSTRUCTIONS = 4096
_STEPS = re.compile(r"processed (\d+) insns")


def sizes() -> tuple[str, int]:
    """A table of every program, and the most instructions that one has."""
    rows = []
    for family in Family:
        loaded = load_private(family)
        descriptors = {name: found.fd for name, found in loaded.maps.items()}
        for program in bytecode(family).programs:
            match = _STEPS.search(verifier_statistics(program.relocated(descriptors)))
            rows.append((f"IPv{family}", program.name, len(program.instructions) // 8, match[1] if match else "?"))
    table = tabulate(rows, ("FAMILY", "PROGRAM", "INSTRUCTIONS", "VERIFIER STEPS"), tablefmt="plain")
    return table, max(row[2] for row in rows)
