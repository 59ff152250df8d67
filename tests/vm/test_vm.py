"""The emulator's harness itself; no emulator and no root are needed."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tcnat.errors import TcnatError

from .debian import RELEASES, _dependency, sources_for
from .guest.suite import Command, read_suite
from .kernel import Kernel, boot_modules, image_release
from .machine import Guest, Run, qemu_command
from .report import Report, read_reports

HERE = Path(__file__).parent
BULLSEYE = next(release for release in RELEASES if release.codename == "bullseye")


def test_sources_follow_the_machines_own_mirrors() -> None:
    targets = """\
http://mirror.test/debian bookworm main
http://mirror.test/debian bookworm contrib
http://mirror.test/debian bookworm-updates main
http://mirror.test/security bookworm-security main
https://elsewhere.test/apt stable main
"""
    lines = [line.split("] ")[-1].removeprefix("deb ") for line in sources_for(BULLSEYE, targets, "bookworm")]
    assert lines == ["http://mirror.test/debian bullseye main", "http://mirror.test/security bullseye-security main"]


def test_no_source_of_debian_means_no_lines() -> None:
    assert sources_for(BULLSEYE, "https://elsewhere.test/apt stable main\n", "bookworm") == []


def test_the_kernel_package_is_what_the_meta_package_depends_on() -> None:
    shown = "Package: linux-image-cloud-amd64\nVersion: 1\nDepends: foo, linux-image-5.10.0-9-cloud-amd64 (= 1)\n"
    assert _dependency(shown) == "linux-image-5.10.0-9-cloud-amd64"


def test_a_meta_package_without_kernel_is_refused() -> None:
    with pytest.raises(TcnatError, match="depends on no kernel"):
        _dependency("Package: linux-image-cloud-amd64\nDepends: initramfs-tools\n")


def test_the_release_stands_in_the_image(tmp_path: Path) -> None:
    image = bytearray(0x400)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, 0x100)
    image[0x300:0x330] = b"4.9.115-test (someone@somewhere) #1 SMP\0".ljust(0x30, b"\0")
    path = tmp_path / "bzImage"
    path.write_bytes(image)
    assert image_release(path) == "4.9.115-test"


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(0x1000)], ids=["empty", "an ELF file"])
def test_what_is_no_bzimage_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(content)
    with pytest.raises(TcnatError, match="is not a bzImage"):
        image_release(path)


def test_a_kernel_with_all_built_in_needs_no_modules(tmp_path: Path) -> None:
    assert boot_modules(Kernel("own", tmp_path / "bzImage")) == []


def test_reports_survive_garbage_and_a_cut_off_line() -> None:
    raw = b'\0\0noise\n{"kind":"start","text":"a"}\r\n{"kind":"end","text":"a","status":3,"seconds":1.5}\r\n{"kind":"do'
    assert read_reports(raw) == [Report("start", "a"), Report("end", "a", 3, 1.5)]


@pytest.mark.parametrize(
    ("reports", "good"),
    [
        ((), False),
        ((Report("boot"), Report("start", "a"), Report("end", "a"), Report("done")), True),
        ((Report("boot"), Report("start", "a"), Report("end", "a", 1), Report("done")), False),
        ((Report("boot"), Report("start", "a"), Report("end", "a"), Report("start", "b")), False),
    ],
    ids=["did not boot", "all passed", "one failed", "died in the second command"],
)
def test_a_run_is_good_only_when_every_command_ended_well(reports: tuple[Report, ...], good: bool) -> None:
    assert Run(reports, False, Path("console"), 1.0).good is good


def test_the_suite_file_is_seconds_and_a_shell_command(tmp_path: Path) -> None:
    path = tmp_path / "suite"
    path.write_text("# a comment\n\n20 tcnat check\n1.5  echo 'a  b' | cat\n")
    assert read_suite(path) == [Command(20, "tcnat check"), Command(1.5, "echo 'a  b' | cat")]


def test_the_shipped_suite_can_be_read_and_fits_its_time() -> None:
    commands = read_suite(HERE / "guest-suite")
    assert commands
    assert all(command.seconds > 0 for command in commands)


def test_the_root_is_shared_read_only() -> None:
    command = qemu_command(Guest(Path("k"), Path("i"), Path("d")), Path("c"), Path("r"), None)
    (share,) = (word for word in command if word.startswith("local,"))
    assert "readonly=on" in share


@pytest.mark.parametrize("runner", [["busybox", "sh", "init"], [sys.executable, "suite.py"]], ids=["init", "suite"])
def test_guest_scripts_refuse_to_run_outside_a_guest(runner: list[str]) -> None:
    if shutil.which(runner[0]) is None:
        pytest.skip(f"{runner[0]} is not installed")
    before = mounts()
    done = subprocess.run(runner, cwd=HERE / "guest", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing done" in done.stderr
    assert mounts() == before


def mounts() -> list[str]:
    """What is mounted, without the labs of tests that run beside this one."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if "tcnat-" not in line]
