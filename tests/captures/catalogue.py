"""Every capture there is: where it lies, what must leave, and with which options it is replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scapy.utils import RawPcapReader

from tests.captures import built, terms
from tests.captures.files import Shot, pcap

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
REPLAYED = HERE / "replayed"
OBJECTS = HERE / "objects.yaml"


@dataclass(frozen=True, slots=True)
class Case:
    """One capture with its golden answer; ``recording`` is what both are derived from, None for built ones."""

    name: str
    recording: Path | None = None
    options: tuple[str, ...] = ()

    @property
    def capture(self) -> Path:
        """What is replayed."""
        return REPLAYED / f"{self.name}.pcap"

    @property
    def golden(self) -> Path:
        """What must leave."""
        return REPLAYED / f"{self.name}.golden.pcap"

    def derive(self) -> tuple[bytes, bytes]:
        """Both files from nothing: from the recording, or by scapy."""
        if self.recording is None:
            name, _, family = self.name.rpartition("-ipv")
            link_type, (before, after) = 1, built.input_and_golden(name, int(family))
        else:
            link_type, shots = read_packets(self.recording)
            before, after = terms.input_and_golden(shots, link_type)
        return tuple(pcap(shots, nano=True, link_type=link_type) for shots in (before, after))  # type: ignore[return-value]


def cases() -> Iterator[Case]:
    """Every case, recorded ones first."""
    for recording in sorted(RECORDED.glob("*.pcap")):
        yield Case(recording.stem, recording)
    for name, (_, options) in built.BUILDS.items():
        for family in (4, 6):
            yield Case(f"{name}-ipv{family}", None, options)


def read_packets(path: Path) -> tuple[int, list[Shot]]:
    """Link type and packets, as scapy reads them."""
    with RawPcapReader(str(path)) as reader:
        unit = 1 if reader.nano else 1000
        shots = [Shot(int(at.sec) * 10**9 + at.usec * unit, data, at.wirelen) for data, at in reader]
        return int(reader.linktype), shots
