"""Requests that are encoded once, and sent for one device after the other. Pure.

Where pods come by the hundred, encoding each request anew takes ten times as long as the kernel's own work on it.
Source: netlink(7), for the headers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tcnat.codecs import codes, rtnl
from tcnat.links import Filter
from tcnat.messages import bpf_message, clsact_message

_ASKED = codes.NLM_F_REQUEST | codes.NLM_F_ACK
_NEW = codes.NLM_F_CREATE | codes.NLM_F_EXCL
_SEQUENCE, _INDEX = 8, 20
"""Where a message has its sequence number (nlmsghdr), and a tcmsg its device."""
_ERROR = 16
"""Where an acknowledgement (nlmsgerr) has the negative errno."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Requests about qdiscs and filters of one device, each to be acknowledged, that go out in one datagram."""

    data: bytes
    starts: tuple[int, ...]

    @classmethod
    def of(cls, requests: Iterable[tuple[int, int, Any]]) -> Prepared:
        """From the type, flags and message of each."""
        data, starts = bytearray(), []
        for type, flags, message in requests:
            message["header"] = {"type": type, "flags": flags | _ASKED, "sequence_number": 0, "pid": 0}
            message.reset()
            message.encode()
            starts.append(len(data))
            data += message.data
            data += bytes(-len(data) % 4)
        return cls(bytes(data), tuple(starts))

    def for_device(self, index: int, sequence: int) -> bytearray:
        """The datagram for a device; the requests are numbered from ``sequence`` on."""
        data = bytearray(self.data)
        for number, start in enumerate(self.starts, sequence):
            struct.pack_into("=I", data, start + _SEQUENCE, number)
            struct.pack_into("=i", data, start + _INDEX, index)
        return data


def new_clsact() -> Prepared:
    """A clsact qdisc for a device that has none."""
    return Prepared.of([(rtnl.RTM_NEWQDISC, _NEW, clsact_message(0))])


def new_filters(wanted: Iterable[tuple[Filter, int]]) -> Prepared:
    """bpf filters, each with its program's descriptor, for a device that has none in their places."""
    return Prepared.of((rtnl.RTM_NEWTFILTER, _NEW, bpf_message(each, fd)) for each, fd in wanted)


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and bytes of each message in what the kernel sent."""
    while len(data) >= _ERROR:
        length, type, _, sequence = struct.unpack_from("=IHHI", data)
        yield type, sequence, data[:length]
        data = data[(length + 3) & ~3 :]


def error_in(acknowledgement: bytes) -> int:
    """The errno that an NLMSG_ERROR message brings; 0 if all went well."""
    return -int(struct.unpack_from("=i", acknowledgement, _ERROR)[0])
