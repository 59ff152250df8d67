"""The packet programs on devices: makes the clsact qdisc and the filters, in one step each, and takes them away."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from tcnat.errors import TcnatError
from tcnat.filters import (
    Attachment,
    DeviceFlag,
    Programs,
    Role,
    at_way_out,
    blocking,
    comes_after,
    describe,
    device_flags,
    dispensable,
    is_ours,
    same,
    wanted_filters,
)
from tcnat.links import Filter, Hook, Link, NetlinkFailure
from tcnat.netlink import Netlink
from tcnat.prepared import Prepared, new_clsact, new_filters

__all__ = ["Attacher", "Attachment", "Detached", "DeviceVanished", "Programs", "Role"]

NO_CLSACT = (
    "the kernel has no clsact qdisc (4.5 and later have it: CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_ACT; "
    "try: modprobe sch_ingress)"
)
NO_CLS_BPF = "the kernel has no bpf filters for tc (CONFIG_NET_CLS_BPF; try: modprobe cls_bpf)"


@dataclass(frozen=True, slots=True)
class Detached:
    """What was taken from a device."""

    filters: int = 0
    clsact: bool = False


class DeviceVanished(TcnatError):
    """The device went while it was worked on, or is not there."""


class Attacher:
    """Puts the programs on devices of one network namespace (a name or path; None is the caller's own)."""

    def __init__(self, netns: str | None = None) -> None:
        self._netlink = Netlink(netns)
        self.absent = 0
        """How many filters the last :meth:`attach` did not find on the device."""
        self.shares = False
        """Whether the last :meth:`attach` found filters of others on the hook of tc_egress, behind it."""
        self.guards = False
        """Whether it found any on the hook of tc_ingress."""
        self._new_clsact = new_clsact()
        self._new_filters: dict[tuple[DeviceFlag, Programs], Prepared] = {}

    def close(self) -> None:
        """Give the socket back; what is attached stays."""
        self._netlink.close()

    def attach(self, device: str | int, role: Role, programs: Programs) -> bool:
        """See to it that the device carries exactly these programs in this role, beside the filters of others.

        Each filter is replaced in one step, so that no packet passes between old and new. Gives whether anything had
        to be written: False only where the kernel tells program ids (4.18) and all was right. DeviceVanished if there
        is no such device, TcnatError if the kernel lacks something, forbids it, or others hold the place."""
        link = self._link(device)
        there = self._filters(link.index)
        wanted = [each for each in wanted_filters(link, role, programs) if not dispensable(each[0], there)]
        _refuse_taken(link, there, wanted)
        self.shares = any(map(comes_after(role), there))
        self.guards = any(map(at_way_out(role), there))
        todo = [(w, fd) for w, fd in wanted if not w.program or w not in there]
        places = {(w.hook, w.priority) for w, _ in wanted}
        surplus = [f for f in there if is_ours(f) and (f.hook, f.priority) not in places]
        self.absent = len(places - {(f.hook, f.priority) for f in there if is_ours(f)})
        if not todo and not surplus:
            return False
        self._write(link, todo, surplus, clsact_there=bool(there))
        self._verify(link, wanted)
        return True

    def attach_new(self, link: Link, role: Role, programs: Programs) -> bool:
        """The same, quickly, for a device on which there is nothing yet. False if there is something already, or it did
        not work: :meth:`attach` then does it, or says what is wrong. ``link`` is known from news, which may be old:
        if another device has its index by now, that one is left alone."""
        self.shares = self.guards = False
        kind = device_flags(link, role), programs
        if kind not in self._new_filters:
            self._new_filters[kind] = new_filters(wanted_filters(link, role, programs))
        try:
            self._netlink.send("clsact qdisc", self._new_clsact, link.index)
            if self._netlink.index_of(link.name) == link.index:
                self._netlink.send(f"filters of {link.name}", self._new_filters[kind], link.index)
                return True
        except NetlinkFailure:
            return False
        self._drop_idle_clsact(link.index)
        return False

    def detach(self, device: str | int) -> Detached:
        """Take tcnat's filters off a device, and its clsact if then nothing else uses it."""
        link = self._link(device)
        ours = [f for f in self._filters(link.index) if is_ours(f)]
        removed = sum(self._delete(f) for f in sorted(ours, key=lambda f: f.name))  # tc_egress first
        return Detached(removed, bool(ours) and self._drop_idle_clsact(link.index))

    def find_ours(self) -> list[Attachment]:
        """Every device that carries filters of tcnat's, by index."""
        carriers = {qdisc.device for qdisc in self._netlink.qdiscs() if qdisc.kind == "clsact"}
        found = (describe(link, self._filters(link.index)) for link in self._netlink.links() if link.index in carriers)
        return [attachment for attachment in found if attachment]

    def _link(self, device: str | int) -> Link:
        try:
            return self._netlink.link(device)
        except NetlinkFailure as error:
            if error.errno == errno.ENODEV:
                raise DeviceVanished(str(error)) from None
            raise

    def _filters(self, index: int) -> list[Filter]:
        return [f for hook in Hook for f in self._netlink.filters(index, hook)]

    def _write(self, link: Link, todo: list[tuple[Filter, int]], surplus: list[Filter], *, clsact_there: bool) -> None:
        try:
            if not clsact_there:
                self._ensure_clsact(link)
            for wanted, fd in todo:
                self._netlink.replace_filter(wanted, fd)
            for superfluous in surplus:
                self._delete(superfluous)
        except NetlinkFailure as error:
            explained = self._explained(link, error)
            if not clsact_there:
                self._drop_idle_clsact(link.index)
            raise explained from None

    def _ensure_clsact(self, link: Link) -> None:
        try:
            self._netlink.add_clsact(link.index)
        except NetlinkFailure as error:
            if error.errno == errno.ENOENT:
                raise TcnatError(NO_CLSACT) from None
            if error.errno != errno.EEXIST:
                raise
            if self._qdisc(link.index) == "ingress":
                raise TcnatError(
                    f"{link.name} has an ingress qdisc of another program where tcnat needs clsact: have that program "
                    f"use clsact, or remove it (tc qdisc del dev {link.name} ingress)"
                ) from None

    def _qdisc(self, index: int) -> str | None:
        return next((qdisc.kind for qdisc in self._netlink.qdiscs() if qdisc.device == index), None)

    def _explained(self, link: Link, error: NetlinkFailure) -> TcnatError:
        """One line for what went wrong while a device was written to."""
        try:
            self._link(link.index)
        except DeviceVanished:
            return DeviceVanished(f"{link.name} vanished while tcnat was attaching to it")
        if error.errno == errno.ENOENT:
            return TcnatError(NO_CLS_BPF)
        if error.errno == errno.EINVAL and self._qdisc(link.index) is None:
            return TcnatError(f"{link.name} lost its clsact qdisc while tcnat was attaching to it: try again")
        return TcnatError(f"{link.name}: {error}")

    def _verify(self, link: Link, wanted: list[tuple[Filter, int]]) -> None:
        there = self._filters(link.index)
        missing = [w for w, _ in wanted if not any(same(f, w) for f in there)]
        if missing:
            raise TcnatError(
                f"{link.name}: the kernel took filter {missing[0].name} (priority {missing[0].priority}) but does not "
                "list it: does another program manage this device's filters?"
            )

    def _delete(self, there: Filter) -> bool:
        """Remove a filter; False if it was gone already."""
        try:
            self._netlink.delete_filter(there)
        except NetlinkFailure as error:
            if error.errno in {errno.ENOENT, errno.EINVAL, errno.ENODEV}:
                return False
            raise
        return True

    def _drop_idle_clsact(self, index: int) -> bool:
        """Remove the device's clsact if no filter is left on it and no block is shared through it."""
        idle = any(q.device == index and q.kind == "clsact" and not q.shared for q in self._netlink.qdiscs())
        if not idle or self._filters(index):
            return False
        try:
            self._netlink.delete_clsact(index)
        except NetlinkFailure as error:
            if error.errno in {errno.ENOENT, errno.EINVAL, errno.ENODEV}:
                return False
            raise
        return True


def _refuse_taken(link: Link, there: list[Filter], wanted: list[tuple[Filter, int]]) -> None:
    for ours, _ in wanted:
        taken = next((other for other in there if blocking(other, ours)), None)
        if taken:
            raise TcnatError(
                f"{link.name} has a {taken.kind} filter ({taken.name or 'without name'}) of others at priority "
                f"{taken.priority} of its {taken.hook.name.lower()} hook, where tcnat puts {ours.name}: "
                "move that filter to another priority"
            )
