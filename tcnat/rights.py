"""The capabilities that the agent has to have, looked at before anything is done (capabilities(7), bpf(2))."""

from __future__ import annotations

from pathlib import Path

from tcnat.errors import TcnatError

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39
_NAMES = {CAP_NET_ADMIN: "CAP_NET_ADMIN", CAP_PERFMON: "CAP_PERFMON", CAP_BPF: "CAP_BPF"}


def check_rights(status: Path = Path("/proc/self/status"), last: Path = Path("/proc/sys/kernel/cap_last_cap")) -> None:
    """TcnatError that names every capability that this process lacks. CAP_SYS_ADMIN does in place of CAP_BPF and
    CAP_PERFMON, which came with Linux 5.8."""
    held = effective(status)
    lacking = [] if held >> CAP_NET_ADMIN & 1 else [_NAMES[CAP_NET_ADMIN]]
    if not held >> CAP_SYS_ADMIN & 1:
        if int(last.read_text()) < CAP_BPF:
            lacking.append("CAP_SYS_ADMIN")
        else:
            lacking += [_NAMES[number] for number in (CAP_BPF, CAP_PERFMON) if not held >> number & 1]
    if lacking:
        raise TcnatError(
            f"this process lacks {' and '.join(lacking)}: run as root, or with CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON "
            "(before Linux 5.8 CAP_SYS_ADMIN in place of the last two)"
        )


def effective(status: Path = Path("/proc/self/status")) -> int:
    """This process's effective capabilities, a bit for each."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)
