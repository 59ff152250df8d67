"""Helpers for tests of filters on devices: tiny programs, a namespace with a veth pair, and what tc(8) says."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tcnat.attach import Programs
from tcnat.bpf import Program, raise_memlock
from tests.lab import stale
from tests.lab.namespace import Namespace

UNSPEC, SHOT = -1, 2


def instruction(code: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """One BPF instruction; ``registers`` is destination | source << 4."""
    return struct.pack("=BBhi", code, registers, offset, immediate)


def program(verdict: int = UNSPEC) -> Program:
    """``return verdict``."""
    raise_memlock()
    return Program.load(instruction(0xB7, 0, 0, verdict) + instruction(0x95), "test")


@contextmanager
def veth_namespace(purpose: str) -> Iterator[Namespace]:
    """A namespace with the pair eth0 and peer0, both up."""
    namespace = Namespace(f"{stale.owned_name(9000)}-{purpose}")
    namespace.create()
    try:
        namespace.ip("link add eth0 type veth peer name peer0", "link set eth0 up", "link set peer0 up")
        yield namespace
    finally:
        namespace.delete()


class Loaded:
    """Four programs, told apart by their ids, where the kernel tells them (4.18; else all are 0)."""

    def __init__(self) -> None:
        self.all = [program() for _ in range(4)]
        self.programs = Programs(*(p.fd for p in self.all))
        self.egress4, self.ingress4, self.egress6, self.ingress6 = (_id(p.fd) for p in self.all)


def _id(fd: int) -> int:
    facts = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    return int(facts.get("prog_id", 0))


def shown(netns: Namespace, device: str, hook: str) -> list[tuple[int, str, str, str, int, str]]:
    """(pref, protocol, handle, name, program id, class id) of each filter of the hook, as tc says."""
    rows = json.loads(netns.run("tc", "-j", "filter", "show", "dev", device, hook) or "[]")
    return [
        (
            row["pref"],
            row["protocol"],
            row["options"].get("handle") or row["options"]["fh"],
            row["options"].get("bpf_name", ""),
            row["options"].get("prog", {}).get("id", 0),
            row["options"].get("flowid", ""),
        )
        for row in rows
        if row.get("options", {}).keys() & {"handle", "fh"} and "ht_divisor" not in row["options"]
    ]


def qdiscs(netns: Namespace, device: str) -> list[str]:
    return [row["kind"] for row in json.loads(netns.run("tc", "-j", "qdisc", "show", "dev", device))]


def tc(netns: Namespace, line: str) -> None:
    netns.run("tc", *line.split())
