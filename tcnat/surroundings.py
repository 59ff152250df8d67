"""What else one who looks for a fault wants to know: what compiles, what else handles Services, what of tcnat is here.

Only looks; nothing here changes anything. Programs of others may take a minute at most.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from tcnat import bytecode, loader
from tcnat.attach import Attacher, Attachment
from tcnat.errors import TcnatError
from tcnat.layout import MAPS, Family, MapType
from tcnat.lock import holder
from tcnat.probes import Result, State, missing, there, untried

PATIENCE = 60.0
"""Seconds that a program of others may take."""
_RULES = (("iptables-save",), ("iptables-legacy-save",), ("ip6tables-save",), ("nft", "list", "tables"))
_KUBE_PROXY = re.compile(r"^:(KUBE-SERVICES) |^table \w+ (kube-proxy)$", re.MULTILINE)


def cgroup2(mounts: Path = Path("/proc/self/mounts")) -> Result:
    """A mounted cgroup2 hierarchy."""
    found = [line.split()[1] for line in mounts.read_text().splitlines() if line.split()[2] == "cgroup2"]
    return there(f"mounted at {found[0]}; tcnat does not use it") if found else missing("not mounted")


def ipv6(addresses: Path = Path("/proc/net/if_inet6")) -> Result:
    """IPv6 in the kernel, and addresses of it."""
    if not addresses.exists():
        return missing("the kernel has none, or it is switched off")
    return there()


def netfilter() -> Result:
    """Rules of kube-proxy's, which would see the packets, too."""
    tools = [command for command in _RULES if which(command[0])]
    if not tools:
        return untried("neither iptables-save nor nft is installed here")
    found = {name for tool in tools for match in _KUBE_PROXY.findall(_output(tool)) for name in match if name}
    services = Path("/proc/net/ip_vs")
    if services.exists() and len(services.read_text().splitlines()) > 3:
        found.add("IPVS services")
    if not found:
        return missing("no rules of kube-proxy")
    return there(f"{', '.join(sorted(found))}: remove them with kube-proxy --cleanup when tcnat is to serve alone")


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def bcc() -> Result:
    """Debian's bcc binding, imported in a process of its own."""
    version = bytecode.bcc_version()
    if version is None:
        return missing("not installed for this Python")
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import bcc; bcc.BPF"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return missing(f"{version} does not import within {PATIENCE:g} s")
    if done.returncode != 0:
        return missing(f"{version} cannot be imported: {(done.stderr.strip().splitlines() or ['no word why'])[-1]}")
    return there(version)


def bytecode_cache() -> Result:
    """Compiled programs of this version of tcnat for both families."""
    try:
        cold = [family for family in Family if bytecode.cached(family) is None]
    except OSError as error:
        return untried(f"{error.filename}: {error.strerror}")
    places = " or ".join(map(str, bytecode.cache_directories()))
    if cold:
        return missing(f"none for {' and '.join(f'IPv{family}' for family in cold)} in {places}")
    return there()


def packet_programs(*, lru: bool) -> Result:
    """Whether the verifier takes the real programs, where that can be told without compiling them."""
    if bytecode_cache().state is not State.THERE:
        return untried("they are not compiled yet")
    small = {name: 64 for name, layout in MAPS.items() if layout.type not in {MapType.PERF_EVENT_ARRAY}}
    for family in Family:
        try:
            loader.load_private(family, small, lru)
        except TcnatError as error:
            return missing(f"IPv{family}: {error}")
    return there("both families load")


def agent(pins: Path) -> Result:
    """The agent that holds the pins."""
    pid = holder(pins)
    return missing("none runs") if pid is None else there(f"pid {pid}" if pid else "runs, pid not known")


def pinned(pins: Path) -> Result:
    """The maps and programs that are pinned."""
    try:
        found = loader.open_pinned(pins)
    except TcnatError as error:
        return missing(str(error))
    return there(f"{pins} ({', '.join(f'IPv{family}' for family in found)})")


def devices() -> Result:
    """The devices that carry tcnat's filters."""
    try:
        attacher = Attacher()
        found = attacher.find_ours()
        attacher.close()
    except TcnatError as error:
        return untried(str(error))
    if not found:
        return missing("none")
    return there(", ".join(map(_described, found)))


def _described(attachment: Attachment) -> str:
    words = [str(attachment.role or "roles contradict")]
    if not attachment.complete:
        words.append("incomplete")
    words += [f"after the {f.hook.name.lower()} filter {f.name or f.kind} of others" for f in attachment.earlier]
    return f"{attachment.device} ({', '.join(words)})"


def maps_bytes(cpus: int) -> int:
    """About how many bytes of kernel memory both families' maps take before anything is in them."""
    return sum(_map_bytes(name, family, cpus) for name in MAPS for family in Family)


def _map_bytes(name: str, family: Family, cpus: int) -> int:
    layout = MAPS[name]
    value = -(-layout.value_size(family) // 8) * 8
    if layout.type is MapType.PERCPU_ARRAY:
        return layout.entries * value * cpus
    if layout.type in {MapType.HASH, MapType.LRU_HASH}:
        return 0 if layout.flags else layout.entries * (-(-layout.key_size(family) // 8) * 8 + value + 64)
    return layout.entries * value
