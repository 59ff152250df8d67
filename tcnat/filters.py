"""Which filters a device is to have, and which of those it has are tcnat's. Pure, but for a program's id from /proc.

A device carries four direct-action bpf filters on its clsact qdisc: tc_egress and tc_ingress, each once for IPv4 and
once for IPv6. Which hook carries which depends on what the device faces (docs/datapath.md). They are known as tcnat's
by priority, handle and name together, on every kernel (4.9's listings have neither program id nor tag).

The priorities lie early, so that filters which the kernel numbers itself (from 49152 downwards) come after them, and
leave room before them for filters that are to see packets as the client sent them. A filter of others that runs earlier
and answers TC_ACT_OK ends classification: tcnat then sees nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntFlag, StrEnum
from pathlib import Path

from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.links import Filter, Hook, Link

PRIORITY = {Family.IPV4: 1004, Family.IPV6: 1006}
"""One for each family: the kernel wants all filters of a priority to be of one ethertype."""
RETIRING = {Family.IPV4: 1005, Family.IPV6: 1007}
"""Behind these: where a tc_ingress of another version goes on reversing the replies that only it knows, for the moment
in which its flows are carried over."""
PROTOCOL = {Family.IPV4: 0x0800, Family.IPV6: 0x86DD}
HANDLE = 0x7C17
EGRESS = "tcnat_egress"
INGRESS = "tcnat_ingress"

ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
HEADERLESS = frozenset({512, 519, 768, 769, 776, 778, 823, 65534})
"""ARPHRD numbers whose packets start with the IP header: PPP, raw IP, ipip, ip6tnl, sit, gre, ip6gre, and none (tun,
wireguard)."""


class Role(StrEnum):
    """What a device faces."""

    NETWORK = "network"
    WORKLOAD = "workload"


class DeviceFlag(IntFlag):
    """Bits of a filter's classid, by which the programs know their device."""

    WORKLOAD = 1
    NO_LINK_HEADER = 2


@dataclass(frozen=True, slots=True)
class Programs:
    """Descriptors of the loaded programs; a family whose programs are None is not attached."""

    egress4: int | None = None
    ingress4: int | None = None
    egress6: int | None = None
    ingress6: int | None = None
    retiring4: int | None = None
    """tc_ingress of the version before, while it is being replaced."""
    retiring6: int | None = None

    def by_filter(self) -> Iterable[tuple[Family, str, int, int]]:
        """Family, filter name, priority and descriptor of each, tc_ingress first: replies can be reversed before
        anything is sent that asks for it."""
        every = (
            (Family.IPV4, INGRESS, RETIRING, self.retiring4),
            (Family.IPV6, INGRESS, RETIRING, self.retiring6),
            (Family.IPV4, INGRESS, PRIORITY, self.ingress4),
            (Family.IPV6, INGRESS, PRIORITY, self.ingress6),
            (Family.IPV4, EGRESS, PRIORITY, self.egress4),
            (Family.IPV6, EGRESS, PRIORITY, self.egress6),
        )
        return ((family, name, places[family], fd) for family, name, places, fd in every if fd is not None)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A device that carries filters of tcnat's. ``role`` is None where they contradict each other; ``complete`` says
    that each family that is there has both of its programs where the role wants them."""

    device: str
    index: int
    role: Role | None
    families: tuple[Family, ...]
    complete: bool
    filters: tuple[Filter, ...]
    earlier: tuple[Filter, ...] = ()
    """Filters of others that run before tcnat's: one that ends classification hides packets from it."""


def hook_of(name: str, role: Role) -> Hook:
    """The hook at which the program of that filter name sits."""
    return Hook.EGRESS if (name == EGRESS) == (role is Role.NETWORK) else Hook.INGRESS


def device_flags(link: Link, role: Role) -> DeviceFlag:
    """The classid for a device; TcnatError for a link layer that the programs do not know."""
    flags = DeviceFlag.WORKLOAD if role is Role.WORKLOAD else DeviceFlag(0)
    if link.type in HEADERLESS:
        return flags | DeviceFlag.NO_LINK_HEADER
    if link.type in {ARPHRD_ETHER, ARPHRD_LOOPBACK}:
        return flags
    raise TcnatError(
        f"{link.name} has link layer type {link.type}, which is neither Ethernet nor plain IP: tcnat cannot serve it"
    )


def wanted_filters(link: Link, role: Role, programs: Programs) -> list[tuple[Filter, int]]:
    """The filters that the device is to have, each with its program's descriptor, in the order to write them."""
    classid = int(device_flags(link, role))
    return [
        (
            Filter(
                device=link.index,
                hook=hook_of(name, role),
                priority=priority,
                protocol=PROTOCOL[family],
                handle=HANDLE,
                kind="bpf",
                name=name,
                classid=classid,
                direct_action=True,
                program=_program_id(fd),
            ),
            fd,
        )
        for family, name, priority, fd in programs.by_filter()
    ]


def is_ours(there: Filter) -> bool:
    """Whether a filter is tcnat's: by name, priority and handle."""
    return (
        there.kind == "bpf"
        and there.name in {EGRESS, INGRESS}
        and there.handle == HANDLE
        and there.chain == 0
        and there.priority in {*PRIORITY.values(), *RETIRING.values()}
    )


def is_of_others(there: Filter) -> bool:
    """Whether it is a filter, not a priority's heading, and none of tcnat's."""
    return there.handle != 0 and not is_ours(there)


def comes_after(role: Role) -> Callable[[Filter], bool]:
    """Tells whether a filter is one of others that sees what tc_egress lets pass."""
    hook = hook_of(EGRESS, role)
    first = min(PRIORITY.values())
    return lambda there: there.hook is hook and is_of_others(there) and there.priority > first


def at_way_out(role: Role) -> Callable[[Filter], bool]:
    """Tells whether a filter is one of others that sees what goes to a client of the device."""
    hook = hook_of(INGRESS, role)
    return lambda there: there.hook is hook and is_of_others(there)


def describe(link: Link, filters: Iterable[Filter]) -> Attachment | None:
    """What tcnat has on a device, from all filters of its hooks; None if nothing."""
    every = tuple(filters)
    ours = tuple(f for f in every if is_ours(f))
    if not ours:
        return None
    roles = {Role.WORKLOAD if f.classid & DeviceFlag.WORKLOAD else Role.NETWORK for f in ours}
    role = roles.pop() if len(roles) == 1 else None
    families = tuple(family for family, priority in PRIORITY.items() if any(f.priority == priority for f in ours))
    placed = role is not None and all(f.hook is hook_of(f.name, role) and f.direct_action for f in ours)
    standing = [f for f in ours if f.priority in PRIORITY.values()]
    complete = placed and len(standing) == 2 * len(families)
    earlier = tuple(f for f in every if f.handle and f.priority < min(PRIORITY.values()))
    return Attachment(link.name, link.index, role, families, complete, ours, earlier)


def blocking(there: Filter, wanted: Filter) -> bool:
    """Whether a filter of others holds the place of a wanted one: the kernel takes one ethertype and kind for a
    priority, and a handle of it only once."""
    if (there.hook, there.priority, there.chain) != (wanted.hook, wanted.priority, 0):
        return False
    if (there.kind, there.protocol) != (wanted.kind, wanted.protocol):
        return True
    return there.handle == wanted.handle and not is_ours(there)


def dispensable(wanted: Filter, there: Iterable[Filter]) -> bool:
    """Whether a wanted filter is only to retire, and does without a place that others have."""
    return wanted.priority in RETIRING.values() and any(blocking(other, wanted) for other in there)


def same(there: Filter, wanted: Filter) -> bool:
    """Whether a filter is as wanted, as far as this kernel tells."""
    comparable = there.program and wanted.program
    return (there if comparable else replace(there, program=wanted.program)) == wanted


def _program_id(fd: int) -> int:
    """The id of a program by its descriptor; 0 where /proc does not tell it (before 4.18)."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        if line.startswith("prog_id:"):
            return int(line.split()[1])
    return 0
