"""Probes of what the running kernel can do, one for each feature that the datapath uses.

Each tries the thing itself: kernels have features back-ported and configured away, so a version tells nothing. A probe
gives a :class:`Result`; what it means and what to do is in :mod:`tcnat.features`. Nothing is left behind.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from tcnat.assemble import (
    CONTEXT,
    STACK,
    TAIL_CALL,
    Argument,
    MapArgument,
    calling,
    passing,
    rewriting,
    tail_calling,
)
from tcnat.bpf import BpfError, Map, Program
from tcnat.errors import TcnatError
from tcnat.filters import EGRESS, HANDLE, PRIORITY, PROTOCOL
from tcnat.helpers import REDIRECT, REDIRECT_PEER, available_helpers
from tcnat.layout import Family, MapType, number_bytes
from tcnat.links import Filter, Hook, NetlinkFailure
from tcnat.netlink import Netlink
from tcnat.netns import throwaway
from tcnat.peers import counts_arrivals
from tcnat.rights import effective

BPFFS = Path("/sys/fs/bpf")
JIT = Path("/proc/sys/net/core/bpf_jit_enable")
_LOOPBACK = 1
_FRAME = bytes.fromhex("ffffffffffff0200000000010800") + bytes(46)
_U32 = 4


class State(StrEnum):
    """What a probe found."""

    THERE = "there"
    MISSING = "missing"
    UNTRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Result:
    """What a probe found, and a few words on it."""

    state: State
    detail: str = ""


def there(detail: str = "") -> Result:
    """The feature is there."""
    return Result(State.THERE, detail)


def missing(detail: str = "") -> Result:
    """The feature is not there."""
    return Result(State.MISSING, detail)


def untried(detail: str) -> Result:
    """It cannot be told without what is missing otherwise."""
    return Result(State.UNTRIED, detail)


def syscall() -> Result:
    """bpf(2) itself, and the right to it."""
    try:
        Map.create(MapType.ARRAY, _U32, _U32, 1).close()
    except BpfError as error:
        if error.errno == errno.EPERM:
            return missing("not permitted")
        return missing("the kernel was built without it" if error.errno == errno.ENOSYS else str(error))
    return there()


def map_types() -> Iterator[tuple[str, Result]]:
    """One result for each map type of the datapath, under "<type> maps"."""
    for kind in MapType:
        value = _U32 if kind in {MapType.PROG_ARRAY, MapType.PERF_EVENT_ARRAY} else 8
        yield f"{kind.name.lower().replace('_', ' ')} maps", _tried(partial(Map.create, kind, _U32, value, 8))


def programs() -> Iterator[tuple[str, Result]]:
    """Loading a program for tc, and what it may do with a packet beside calling helpers."""
    yield "SCHED_CLS programs", _tried(partial(Program.load, passing(), "probe"))
    yield "direct packet access", _tried(partial(Program.load, rewriting(), "probe"))


def helpers() -> Iterator[tuple[str, Result]]:
    """One result for each helper that the programs call, under its name."""
    try:
        maps = {
            "table": Map.create(MapType.HASH, 8, 8, 8),
            "tails": Map.create(MapType.PROG_ARRAY, _U32, _U32, 1),
            "ring": Map.create(MapType.PERF_EVENT_ARRAY, _U32, _U32, 1),
        }
    except BpfError as error:
        yield from ((name, untried(str(error))) for name in HELPERS)
        return
    for name, (number, arguments) in HELPERS.items():
        concrete = [MapArgument(maps[a].fd) if isinstance(a, str) and a in maps else a for a in arguments]
        yield name, _tried(partial(Program.load, calling(number, *concrete), "probe"))


HELPERS: dict[str, tuple[int, tuple[Argument, ...]]] = {
    "map_lookup_elem": (1, ("table", STACK)),
    "map_update_elem": (2, ("table", STACK, STACK, 0)),
    "map_delete_elem": (3, ("table", STACK)),
    "ktime_get_ns": (5, ()),
    "skb_store_bytes": (9, (CONTEXT, 0, STACK, 4, 0)),
    "l3_csum_replace": (10, (CONTEXT, 0, 0, 0, 2)),
    "l4_csum_replace": (11, (CONTEXT, 0, 0, 0, 2)),
    "tail_call": (TAIL_CALL, (CONTEXT, "tails", 0)),
    "redirect": (REDIRECT, (1, 0)),
    "perf_event_output": (25, (CONTEXT, "ring", 0, STACK, 8)),
    "skb_load_bytes": (26, (CONTEXT, 0, STACK, 4)),
    "csum_diff": (28, (STACK, 4, STACK, 4, 0)),
    "skb_change_tail": (38, (CONTEXT, 100, 0)),
    "csum_update": (40, (CONTEXT, 0)),
    "redirect_peer": (REDIRECT_PEER, (1, 0)),
}
"""Helper -> its number and arguments that a verifier takes."""


def test_run() -> Result:
    """BPF_PROG_TEST_RUN."""
    try:
        program = Program.load(passing(), "probe")
    except BpfError as error:
        return untried(str(error))
    try:
        verdict = program.test_run(_FRAME).verdict
    except BpfError as error:
        return missing(str(error))
    return there() if verdict == -1 else missing(f"a program that passes everything gave {verdict}")


def batches() -> Result:
    """Batch map operations."""
    try:
        table = Map.create(MapType.HASH, _U32, _U32, 8)
        table.update_many([bytes(4), b"\1\0\0\0"], [bytes(4), bytes(4)])
    except BpfError as error:
        return missing(str(error))
    return there() if table.has_batches else missing()


def tail_calls() -> Result:
    """A program array takes what was just loaded: kernels refuse to mix programs that are compiled to machine code with
    ones that are not."""
    try:
        tails = Map.create(MapType.PROG_ARRAY, _U32, _U32, 1)
        caller = Program.load(tail_calling(tails.fd), "probe")
        target = Program.load(passing(), "probe")
        tails.update(bytes(4), number_bytes(target.fd))
    except BpfError as error:
        return missing(str(error))
    caller.close()
    return there()


def jit() -> Result:
    """Whether programs are compiled to machine code: what /proc says of one that was just loaded (from 4.10 on), else
    the setting, which is shown in the first network namespace only."""
    try:
        program = Program.load(passing(), "probe")
        compiled = _descriptor_fact(program.fd, "prog_jited")
    except BpfError as error:
        return untried(str(error))
    try:
        setting = JIT.read_text().strip()
    except OSError:
        setting = None
    if compiled is None and setting is None:
        return untried(f"{JIT} is not shown here")
    if compiled == "1" or (compiled is None and setting != "0"):
        return there()
    return missing("net.core.bpf_jit_enable is 0" if setting == "0" else "the kernel does not compile")


def _descriptor_fact(fd: int, name: str) -> str | None:
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        fact, _, value = line.partition(":")
        if fact == name:
            return value.strip()
    return None


def memlock(needed: int) -> Result:
    """Whether maps count against RLIMIT_MEMLOCK, and if so, whether as much as raising it gave is enough for ``needed``
    bytes. To be asked when bpf(2) is known to be allowed, and after the limit was raised as far as it can be."""
    limit, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if not _counts_memlock(limit, hard):
        return there("not counted by this kernel")
    if limit == resource.RLIM_INFINITY:
        return there("counted; can be lifted")
    enough = f"counted; {limit >> 20} MiB at most, the maps take {needed >> 20} MiB"
    return there(enough) if limit >= needed else missing(enough)


def _counts_memlock(limit: int, hard: int) -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
        try:
            Map.create(MapType.ARRAY, _U32, 4096, 64).close()
        finally:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, hard))
    except BpfError as error:
        return error.errno == errno.EPERM
    return False


def capability(*numbers: int, status: Path = Path("/proc/self/status")) -> Result:
    """Whether this process has one of these capabilities, by their numbers in capabilities(7)."""
    held = effective(status)
    return there() if any(held >> number & 1 for number in numbers) else missing()


def bpffs(mounts: Path = Path("/proc/self/mounts"), filesystems: Path = Path("/proc/filesystems")) -> Result:
    """A bpffs at /sys/fs/bpf, or the means to mount one."""
    for line in reversed(mounts.read_text().splitlines()):
        _, place, kind, options = line.split()[:4]
        if place == str(BPFFS) and kind == "bpf":
            return missing("mounted read-only") if "ro" in options.split(",") else there(f"mounted at {BPFFS}")
    if any(line.split()[-1] == "bpf" for line in filesystems.read_text().splitlines()):
        return there(f"not mounted at {BPFFS}; the agent mounts it")
    return missing("the kernel has none")


def tc_hooks() -> Iterator[tuple[str, Result]]:
    """clsact, and direct-action bpf filters on it, on the loopback of a network namespace that goes again."""
    try:
        program = Program.load(passing(), "probe")
    except BpfError as error:
        yield "clsact", untried(str(error))
        yield "cls_bpf", untried(str(error))
        return
    try:
        with throwaway():
            netlink = Netlink()
            try:
                yield from _hooks(netlink, program.fd)
            finally:
                netlink.close()
    except TcnatError as error:
        yield "clsact", untried(str(error))
        yield "cls_bpf", untried(str(error))


def arrivals() -> Result:
    """Whether a packet is counted where it arrives that was handed past a device."""
    if REDIRECT_PEER not in available_helpers():
        return missing("there is no redirect_peer")
    try:
        return there() if counts_arrivals() else missing("a packet was not counted")
    except TcnatError as error:
        return untried(str(error))


def _hooks(netlink: Netlink, program: int) -> list[tuple[str, Result]]:
    try:
        netlink.add_clsact(_LOOPBACK)
    except NetlinkFailure as error:
        refusal = untried(str(error)) if error.errno == errno.EPERM else missing(str(error))
        return [("clsact", refusal), ("cls_bpf", untried("there is no clsact to put a filter on"))]
    try:
        for family, hook in ((f, h) for f in Family for h in Hook):
            place = (PRIORITY[family], PROTOCOL[family], HANDLE)
            wanted = Filter(_LOOPBACK, hook, *place, kind="bpf", name=EGRESS, classid=3, direct_action=True)
            netlink.replace_filter(wanted, program)
    except NetlinkFailure as error:
        return [("clsact", there()), ("cls_bpf", missing(str(error)))]
    return [("clsact", there()), ("cls_bpf", there("with direct action"))]


def _tried(make: Callable[[], Map | Program]) -> Result:
    try:
        make().close()
    except BpfError as error:
        return missing(str(error))
    return there()
