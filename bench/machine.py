"""What a measurement was made on and with: for the reader, and to tell figures of two machines apart."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tcnat import __version__
from tcnat.errors import TcnatError
from tests.cluster import binaries

_VERSIONS: dict[str, Sequence[str]] = {
    "wrk": ("wrk", "--version"),
    "iperf3": ("iperf3", "--version"),
    "dnsperf": ("dnsperf", "-h"),
    "trafgen": ("trafgen", "--version"),
    "nginx": ("nginx", "-v"),
    "dnsmasq": ("dnsmasq", "--version"),
    "nft": ("nft", "--version"),
    "iptables": ("iptables", "--version"),
}
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


def machine() -> dict[str, str]:
    """The day, kernel, CPU, cores, memory, and versions of tcnat and of all tools that are there."""
    versions = {name: version(words) for name, words in _VERSIONS.items()} | {"kube-proxy": _kube_proxy()}
    return {
        "date": date.today().isoformat(),
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory():.0f} GiB",
        "tcnat": __version__,
        "python": platform.python_version(),
        **{name: said for name, said in versions.items() if said},
    }


def version(words: Sequence[str]) -> str:
    """The first version number that a program says of itself; empty where it is missing or says none."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except OSError:
        return ""
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else ""


def _kube_proxy() -> str:
    """Of the one that `make setup-cluster` has built; empty where it has not."""
    try:
        return version((str(binaries.found().proxy), "--version"))
    except TcnatError:
        return ""


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory() -> float:
    """GiB."""
    found = re.search(r"^MemTotal: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) / 2**20 if found else 0.0
