"""TCP streams from iperf3, as fast as they go, from the client to one backend."""

from __future__ import annotations

import math
import time

import msgspec

from bench.peers.services import IPERF
from bench.peers.stand import Stand
from bench.series import Measure
from tests.lab.commands import CommandFailed

from .load import Load, LoadFailed, Outcome, spending

_TRIES, _PAUSE = 20, 0.1
"""iperf3's server takes one client at a time, and takes a moment between two."""


class _Sum(msgspec.Struct):
    bytes: int
    bits_per_second: float


class _End(msgspec.Struct):
    sum_received: _Sum


class _Report(msgspec.Struct):
    end: _End


def parse(said: str) -> tuple[float, float]:
    """What ``iperf3 -J`` said: gigabits per second and gigabytes, as the receiver had them. LoadFailed where it said
    something else."""
    try:
        received = msgspec.json.decode(said, type=_Report).end.sum_received
    except msgspec.DecodeError as error:
        raise LoadFailed(f"iperf3 said no figures: {error}: {said.strip()[:300]}") from error
    return received.bits_per_second / 1e9, received.bytes / 1e9


def _load(key: str, title: str, streams: int) -> Load:
    rate = Measure(f"{key}_rate", title, "Gbit/s", work="GB")

    def run(stand: Stand, seconds: float) -> Outcome:
        """iperf3 knows whole seconds alone: it gets the next ones."""
        target = stand.target(IPERF)
        whole = math.ceil(seconds)
        words = ["--client", target.address, "--port", str(target.port), "--parallel", str(streams), "--json"]
        for left in reversed(range(_TRIES)):
            try:
                with spending() as spent:
                    said = stand.client.run("iperf3", *words, "--time", str(whole), timeout=whole + 30)
                break
            except CommandFailed as error:
                if "busy" not in str(error) or not left:
                    raise
                time.sleep(_PAUSE)
        per_second, gigabytes = parse(said)
        if not gigabytes:
            raise LoadFailed(f"iperf3 sent nothing: {said.strip()[:300]}")
        return Outcome({rate.key: per_second}, spent.cpu / gigabytes)

    return Load(key, (rate,), run)


BULK_ONE = _load("bulk_one", "TCP, one stream", 1)
BULK_EIGHT = _load("bulk_eight", "TCP, eight streams", 8)
