"""Captures as tshark reads them, with every checksum validated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.lab.commands import run

CHECKSUMS = ("ip", "tcp", "udp", "icmp", "icmpv6", "sctp")
"""Protocols whose checksums tshark can judge."""
_SETTINGS = (
    "ip.check_checksum:TRUE",
    "tcp.check_checksum:TRUE",
    "udp.check_checksum:TRUE",
    "sctp.checksum:CRC-32c",
)
_OPTIONS = [word for setting in _SETTINGS for word in ("-o", setting)]


def read_fields(file: Path, names: Sequence[str]) -> list[dict[str, str]]:
    """The named fields of each packet ("" where it has none)."""
    words = ["tshark", "-n", "-r", str(file), *_OPTIONS, "-T", "fields", "-E", "separator=/t"]
    for name in names:
        words += ["-e", name]
    return [dict(zip(names, line.split("\t"), strict=True)) for line in run(words).splitlines()]
