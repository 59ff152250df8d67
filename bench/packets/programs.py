"""The bench's own programs beside tcnat's, in the kernel: the empty one, the calibration, and drivers."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tcnat.bpf import Map, Program, TestRun, raise_memlock
from tcnat.bytecode import ProgramCode, source_directory
from tcnat.compiler import compile_entry
from tcnat.layout import MAPS, Family, MapType, number_bytes
from tcnat.loader import Loaded, load_private

SOURCE = Path(__file__).with_name("packets.c")
NAMES = ("empty", "calibration", "calibration_flows", "again", "other")
COURSE, TESTED = "course", "tested"


@cache
def own_programs(family: Family) -> dict[str, ProgramCode]:
    """The programs of ``packets.c`` by name, compiled in a process of its own. SystemExit if that fails."""
    command = [sys.executable, "-m", __name__, str(int(family))]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{SOURCE.name} cannot be compiled: {done.stderr.decode(errors='replace')[-2000:]}")
    return {each.name: each for each in msgspec.msgpack.decode(done.stdout, type=tuple[ProgramCode, ...])}


@dataclass(frozen=True, slots=True)
class Course:
    """What a driver does with the packet. ``flows``: among how many it chooses, ``random`` or in turns; ``client`` is
    the first one's address, ``far`` the other end, which for a ``reply`` is the source. Only ``classid`` matters to
    the driver ``again``."""

    classid: int = 0
    flows: int = 1
    random: bool = False
    reply: bool = False
    client: str = ""
    far: str = ""
    far_port: int = 0

    def packed(self, family: Family) -> bytes:
        """The bytes of ``struct course``."""
        numbers = struct.pack("=5I", self.classid, self.flows, 0, self.random, self.reply)
        ends = b"".join(ip_address(each).packed if each else bytes(family.address_size) for each in self._ends())
        return numbers + ends + self.far_port.to_bytes(2, "big") + bytes(2)

    def _ends(self) -> tuple[str, str]:
        return self.client, self.far


class Driver:
    """A driver program with a program under test behind it, and a course."""

    def __init__(self, rig: Rig, name: str, tested: Program, course: Course) -> None:
        self._course = Map.create(MapType.ARRAY, 4, len(course.packed(rig.family)), 1, name=COURSE)
        self._tested = Map.create(MapType.PROG_ARRAY, 4, 4, 1, name=TESTED)
        self._tested.update(bytes(4), number_bytes(tested.fd))
        self._packed = course.packed(rig.family)
        self.begin_again()
        self._program = rig.load(name, {COURSE: self._course, TESTED: self._tested})

    def begin_again(self) -> None:
        """Begin the course, with its first flow."""
        self._course.update(bytes(4), self._packed)

    def run(self, frame: bytes, repeat: int = 1) -> int:
        """Nanoseconds that a run takes, on the average of ``repeat`` runs, by BPF_PROG_TEST_RUN."""
        return self._program.test_run(frame, repeat).nanoseconds

    def result(self, frame: bytes) -> TestRun:
        """What the program under test makes of a frame."""
        return self._program.test_run(frame)


class Rig:
    """One family's programs: tcnat's, with maps of their own, and the bench's."""

    def __init__(self, family: Family, entries: dict[str, int] | None = None) -> None:
        raise_memlock()
        self.family = family
        self.loaded: Loaded = load_private(family, entries)
        self.maps = self.loaded.maps
        self.empty = self.load("empty")
        self.calibration = self.load("calibration")
        self.calibration_flows = self.load("calibration_flows")

    def close(self) -> None:
        """Give back tcnat's programs and maps; what others still hold of them stays."""
        for program in self.loaded.kept:
            program.close()
        for each in self.maps.values():
            each.close()

    def load(self, name: str, maps: dict[str, Map] | None = None) -> Program:
        """One of the bench's programs, on tcnat's maps and others."""
        descriptors = {name: each.fd for name, each in {**self.maps, **(maps or {})}.items()}
        return Program.load(own_programs(self.family)[name].relocated(descriptors), name)


def compiled(family: Family) -> list[ProgramCode]:
    """Compile ``packets.c`` beside tcnat's headers, in this process."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        for each in (*source_directory().iterdir(), SOURCE):
            (directory / each.name).symlink_to(each.resolve())
        return compile_entry(SOURCE.name, NAMES, (*MAPS, COURSE, TESTED), family, directory)


if __name__ == "__main__":
    raise_memlock()
    programs = compiled(Family(int(sys.argv[1])))
    sys.stdout.buffer.write(msgspec.msgpack.encode(programs))
