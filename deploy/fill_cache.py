"""Compile both families' programs into the directory that TCNAT_CACHE names: ``TCNAT_CACHE=DIRECTORY python
deploy/fill_cache.py``. What is there already is kept. Needs bcc, linux-libc-dev, and the rights to use bpf(2)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tcnat.bytecode import bytecode
from tcnat.errors import TcnatError
from tcnat.layout import Family


def main() -> int:
    """0 if the directory has both; else 1, and a line that says why."""
    directory = os.environ.get("TCNAT_CACHE")
    if not directory:
        print("fill_cache: set TCNAT_CACHE to the directory to fill", file=sys.stderr)
        return 1
    try:
        for family in Family:
            bytecode(family)
            if not list(Path(directory).glob(f"ipv{int(family)}-*.bytecode")):
                raise TcnatError(f"nothing could be written to {directory}")
    except TcnatError as error:
        print(f"fill_cache: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
