"""Makes the captures and their golden answers anew: ``make captures [ARGS=--check]``.

They are derived from the recordings, or built, by scapy; tcnat has no part in what they hold. What changes is told
packet by packet and field by field. With ``--check`` nothing is written, and a change is exit code 1.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from tcnat.reasons import Reason
from tcnat.replay import fields
from tcnat.replay.capture import Capture, Source
from tcnat.replay.compare import Comparison
from tcnat.replay.fate import Fate
from tcnat.replay.formats import read_capture
from tests.captures.catalogue import REPLAYED, Case, cases

SHOWN = 20
DERIVED = Reason(-1, "derived", "as", "what it is to be")


def differences(file: Path, new: bytes) -> list[str]:
    """How the file on disk differs from what it should be, in words."""
    if not file.exists():
        return [f"{file.name} is new: {sum(1 for _ in _capture(file.name, new).packets())} packets"]
    old = file.read_bytes()
    if old == new:
        return []
    comparison = Comparison(_capture("before", old), SHOWN)
    first = 0
    for packet in _capture(file.name, new).packets():
        first = first or packet.time
        comparison.put(Fate(packet, None, DERIVED, packet.data, packet.length))
    result = comparison.result()
    words = [fields.explain(each, "the present file", first, {}) for each in result.first]
    return [f"{file.name}: {result.differences or 'no'} packets differ", *words]


def _capture(name: str, data: bytes) -> Capture:
    return read_capture(Source(name, io.BufferedReader(io.BytesIO(data))))


def changes(case: Case) -> dict[Path, tuple[bytes, list[str]]]:
    """What has to be written for a case, and what that changes."""
    found = {}
    for file, new in zip((case.capture, case.golden), case.derive(), strict=True):
        if told := differences(file, new):
            found[file] = (new, told)
    return found


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` only tell; the exit code."""
    check = arguments == ["--check"]
    REPLAYED.mkdir(exist_ok=True)
    known = set()
    changed = 0
    for case in cases():
        known |= {case.capture, case.golden}
        for file, (new, told) in changes(case).items():
            print("\n".join(told))
            changed += 1
            if not check:
                file.write_bytes(new)
    for file in sorted(set(REPLAYED.glob("*.pcap")) - known):
        print(f"{file.name} belongs to no capture any more")
        changed += 1
        if not check:
            file.unlink()
    print(f"{changed} files differ" if check else f"{changed} files written or removed")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
