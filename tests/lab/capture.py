"""What passes a device: tcpdump takes it, tshark tells it and judges its checksums."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from .commands import run
from .lab import Host, Lab

_numbers = itertools.count(1)

CHECKSUMS = ("ip", "tcp", "udp", "icmp", "icmpv6")
"""The protocols whose checksums are looked at."""
_OPTIONS = [word for protocol in ("ip", "tcp", "udp") for word in ("-o", f"{protocol}.check_checksum:TRUE")]
_OPTIONS += [word for protocol in ("tcp", "udp") for word in ("-d", f"{protocol}.port==0-65535,data")]
"""Nothing above TCP and UDP is looked into: random payload would be taken for this protocol or that, and be wrong."""
_BAD, _GOOD = "0", "1"
_NEGATIVE_ZERO = "[TCP CHECKSUM 0xFFFF]"
"""What tshark says of a sum that is right but stands there as 0xffff, not 0: so Linux sends it (skb_checksum_help)."""


class Capture:
    """Takes packets of one device between entering and leaving ``with``; then they can be asked for.

    A packet is seen as it is on the device's wire: sent ones after the egress hook of tc, received ones before its
    ingress hook; ``direction`` "in" or "out" takes the received or the sent ones alone. With ``tx`` on, a sender's
    checksums are not computed yet there; look at the other end, or switch it off.
    """

    def __init__(self, lab: Lab, host: Host, device: str = "eth0", *, direction: str = "inout") -> None:
        name = f"{host.role}-{device}-{next(_numbers)}"
        self.file = lab.directory / f"{name}.pcap"
        self._start = (lab, host, device, f"{name}.log", direction)

    def __enter__(self) -> Self:
        lab, host, device, log, direction = self._start
        options = [
            "--immediate-mode",
            "--packet-buffered",
            "--buffer-size=16384",
            "--snapshot-length=262144",
            "-Q",
            direction,
        ]
        self._program = lab.start(
            host, "tcpdump", "-i", device, "-n", "-Z", "root", *options, "-w", self.file, "ip or ip6", log=log
        )
        self._program.wait_for(lambda: "listening on" in self._program.output(), "tcpdump to listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._settle()
        self._program.stop(signal.SIGINT)

    def _settle(self) -> None:
        """Wait until tcpdump writes nothing more."""
        size = -1
        while size != self.file.stat().st_size:
            size = self.file.stat().st_size
            time.sleep(0.2)

    def fields(self, names: Sequence[str], where: str = "") -> list[dict[str, str]]:
        """The named fields of the packets for which the display filter ``where`` holds ("" where a packet has none)."""
        return read_fields(self.file, names, where)

    def assert_checksums_good(self) -> None:
        """Every checksum that tshark can compute is right, and there were some."""
        names = [f"{protocol}.checksum.status" for protocol in CHECKSUMS]
        rows = self.fields(["frame.number", "_ws.col.Info", *names])
        states = [{state for name in names for state in row[name].split(",")} for row in rows]
        bad = [
            f"{row['frame.number']}: {row['_ws.col.Info']}"
            for row, found in zip(rows, states, strict=True)
            if _BAD in found and _NEGATIVE_ZERO not in row["_ws.col.Info"]
        ]
        assert not bad, f"{self.file}: bad checksums in {len(bad)} of {len(rows)} packets, first " + "; ".join(bad[:5])
        assert any(_GOOD in found for found in states), f"{self.file}: no checksum to look at in {len(rows)} packets"


def read_fields(file: Path, names: Sequence[str], where: str = "") -> list[dict[str, str]]:
    """Fields of the packets of a capture file, as tshark reads them, checksums validated."""
    words = ["tshark", "-n", "-r", str(file), *_OPTIONS, "-T", "fields", "-E", "separator=/t", "-Y", where or "frame"]
    for name in names:
        words += ["-e", name]
    lines = run(words).splitlines()
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


class Tap:
    """A copy of what passes between a host's own stack and the tc programs on its ``eth0``.

    tcpdump cannot see that: it stands behind the egress hook and before the ingress hook. Two mirror filters, one
    before all others and one after them, send copies to a veth pair on which checksums are always computed.
    """

    device = "tap"

    def __init__(self, host: Host) -> None:
        host.ip(
            f"link add {self.device} type veth peer name {self.device}-end",
            f"link set {self.device}-end up",
            f"link set {self.device} mtu 9000 up",
        )
        host.sysctl({f"ipv6/conf/{name}/disable_ipv6": 1 for name in (self.device, f"{self.device}-end")})
        host.offloads(self.device, tx=False, sg=False)
        host.run("tc", "qdisc", "add", "dev", "eth0", "clsact", check=False)
        mirror = [
            "u32",
            "match",
            "u32",
            "0",
            "0",
            "action",
            "mirred",
            "egress",
            "mirror",
            "dev",
            self.device,
            "continue",
        ]
        for hook, priority in (("egress", "1"), ("ingress", "65000")):
            host.run("tc", "filter", "add", "dev", "eth0", hook, "pref", priority, "protocol", "all", *mirror)
