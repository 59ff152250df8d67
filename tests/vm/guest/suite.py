"""Runs in the guest as its first process: the commands of the suite one after the other, each reported as it ends.

Only the standard library is used, and nothing of the project, so that whatever is broken in either is reported as a
failed command and not as a guest that died.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MARK = "tcnat_guest=1"
REPORTS = "/dev/ttyS1"
RNDADDENTROPY = 0x40085203
RB_AUTOBOOT = 0x01234567
TIMED_OUT = 124


@dataclass(frozen=True)
class Command:
    """A line of the suite: seconds that it may take, and what the shell is to run."""

    seconds: float
    text: str


def read_suite(path: Path) -> list[Command]:
    """The commands of a suite file: ``SECONDS COMMAND`` a line; empty lines and lines that start with # are skipped."""
    commands = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            seconds, text = line.split(None, 1)
            commands.append(Command(float(seconds), text))
    return commands


def is_guest() -> bool:
    """Whether this is the first process of a guest that ``tests.vm`` booted."""
    return os.getpid() == 1 and MARK in Path("/proc/cmdline").read_text().split()


def run(command: Command) -> int:
    """The exit code of the command, or TIMED_OUT; its output goes to the console."""
    process = subprocess.Popen(["/bin/bash", "-c", command.text], stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(command.seconds)
    except subprocess.TimeoutExpired:
        print(f"suite: stopped after {command.seconds:g} s", flush=True)
        return TIMED_OUT
    finally:
        with contextlib.suppress(ProcessLookupError):  # what it left running
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def report(out: IO[str], kind: str, text: str = "", status: int = 0, seconds: float = 0.0) -> None:
    """Say it to the machine outside (``tests/vm/report.py`` reads it)."""
    out.write(json.dumps({"kind": kind, "text": text, "status": status, "seconds": round(seconds, 2)}) + "\n")
    out.flush()


def stir_entropy() -> None:
    """Fill the kernel's pool, which an emulated machine without devices fills only after minutes. Not for secrets."""
    seed = (str(time.time_ns()).encode() * 64)[:512]
    with open("/dev/urandom", "rb") as device, contextlib.suppress(OSError):
        fcntl.ioctl(device, RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)


@contextlib.contextmanager
def power_off() -> Iterator[None]:
    """However it ends, reset the machine: the emulator ends with it, ACPI or not."""
    try:
        yield
    except BaseException as error:  # the first process must not end: the kernel would panic
        print(f"suite: {type(error).__name__}: {error}", flush=True)
    sys.stdout.flush()
    os.sync()
    time.sleep(0.2)  # the serial ports' last bytes
    ctypes.CDLL(None).reboot(RB_AUTOBOOT)


def main() -> None:
    """Run the suite named by the environment, in the checkout."""
    stir_entropy()
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1", TCNAT_TEST_PATIENCE="10")
    os.chdir(os.environ["CHECKOUT"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    with open(REPORTS if os.path.exists(REPORTS) else "/dev/console", "w", encoding="utf-8") as out:
        system = f"{os.uname().release}, root over {os.environ.get('HOSTFS', '?')}"
        report(out, "boot", system, seconds=time.monotonic())
        for command in read_suite(Path(os.environ["SUITE"])):
            print(f"\n==> {command.text}", flush=True)
            report(out, "start", command.text)
            start = time.monotonic()
            status = run(command)
            report(out, "end", command.text, status, time.monotonic() - start)
        report(out, "done")


if __name__ == "__main__":
    if not is_guest():
        sys.exit("suite: this is not a guest of tests/vm; nothing done")
    with power_off():
        main()
