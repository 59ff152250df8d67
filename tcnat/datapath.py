"""Which datapath is used, and why: one line for the log."""

from __future__ import annotations

from pathlib import Path

from tcnat.errors import TcnatError

TC = "tc"
"""The one datapath there is; also what /proxyMode answers."""


def describe_choice(wanted: str, release: str, *, lru: bool, cgroup2: bool) -> str:
    """What was found on this kernel and what that led to. TcnatError for a datapath that does not exist."""
    if wanted not in {"auto", TC}:
        raise TcnatError(f"there is no datapath {wanted!r}; use --datapath=tc, or auto")
    found = (
        f"Linux {release}, {'LRU maps' if lru else 'no LRU maps: the agent sweeps the flow tables'}, "
        f"cgroup2 {'mounted, but socket hooks are not used' if cgroup2 else 'not mounted: no socket hooks'}"
    )
    why = "as told" if wanted == TC else "auto: the only one of this version; it needs neither cgroup2 nor netfilter"
    return f"datapath=tc ({why}); found {found}"


def has_cgroup2(mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a cgroup2 hierarchy is mounted."""
    return any(line.split()[2] == "cgroup2" for line in mounts.read_text().splitlines())
