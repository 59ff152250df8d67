"""Writing what leaves: unchanged packets and everything between them byte for byte, in the format that was read."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from tcnat.errors import TcnatError
from tcnat.replay.capture import Capture, Packet, Source
from tcnat.replay.fate import Fate
from tcnat.replay.formats import open_capture, read_capture
from tcnat.replay.output import CaptureWriter
from tests.captures.files import Port, Shot, block, option, packet, pcap, pcapng, section
from tests.captures.files import interface as described
from tests.unit.replay_fates import dropped, forwarded, passed

SHOTS = [Shot(1_700_000_000_000_000_000 + n * 1000, b"packet %d" % n) for n in range(3)]


def capture_of(data: bytes) -> Capture:
    return read_capture(Source("x", io.BufferedReader(io.BytesIO(data))))


def written(data: bytes, path: Path, fate_of: dict[int, bytes | None]) -> bytes:
    """The file after a replay in which packets became others, or nothing (None)."""
    capture = capture_of(data)
    with CaptureWriter(path, capture.encode) as writer:
        for item in capture:
            if isinstance(item, Packet):
                writer.put(_fate(item, fate_of))
            else:
                writer.copy(item)
    return path.read_bytes()


def _fate(item: Packet, fate_of: dict[int, bytes | None]) -> Fate:
    if item.number not in fate_of:
        return passed(item)
    becomes = fate_of[item.number]
    return dropped(item) if becomes is None else forwarded(item, becomes)


NAMES = block("<", 4, option("<", 1, b"\x0a\x60\0\x0aweb\0"))
COMMENTED = (
    section()
    + described(Port(resolution=9))
    + NAMES
    + packet(SHOTS[0], Port(resolution=9), comment="hello")
    + described(Port(101))
    + packet(SHOTS[1]._replace(interface=1), Port(101))
)


@pytest.mark.parametrize("data", [pcap(SHOTS, ">", nano=True), pcapng(SHOTS, order=">"), COMMENTED, pcap([])])
def test_unchanged_packets_and_all_blocks_are_the_same_bytes(data: bytes, tmp_path: Path) -> None:
    assert written(data, tmp_path / "out", {}) == data


@pytest.mark.parametrize("order", ["<", ">"])
def test_changed_and_dropped_packets(order: str, tmp_path: Path) -> None:
    after = [SHOTS[0]._replace(data=b"rewritten"), SHOTS[2]]
    becomes = {1: b"rewritten", 2: None}
    assert written(pcap(SHOTS, order), tmp_path / "out", becomes) == pcap(after, order)
    ports = [Port(resolution=9)]
    assert written(pcapng(SHOTS, ports, order), tmp_path / "out", becomes) == pcapng(after, ports, order)


def test_a_name_that_ends_in_gz_is_compressed(tmp_path: Path) -> None:
    data = pcap(SHOTS)
    assert gzip.decompress(written(data, tmp_path / "out.pcap.gz", {})) == data
    with open_capture(tmp_path / "out.pcap.gz") as again:
        assert [p.data for p in again.packets()] == [shot.data for shot in SHOTS]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match=r"--out .*gone/out: cannot be written: No such file"):
        CaptureWriter(tmp_path / "gone" / "out", capture_of(pcap([])).encode)


def test_a_full_disk_is_told() -> None:
    with pytest.raises(TcnatError, match=r"--out /dev/full: cannot be written: No space left"):
        written_to_full_disk(capture_of(pcap(SHOTS)))


def written_to_full_disk(capture: Capture) -> None:
    """Whether the buffer is flushed while packets are written or at the end does not matter."""
    with CaptureWriter(Path("/dev/full"), capture.encode) as writer:
        for item in capture.packets():
            writer.put(passed(item))
