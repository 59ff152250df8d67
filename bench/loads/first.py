"""How long a flow's first packet takes there and back: a TCP connection's beginning, and one question over UDP."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from bench.peers.services import DNS, WEB
from bench.peers.stand import Stand
from bench.series import Measure
from tests.lab.objects import Port

from . import first_client
from .load import Load, LoadFailed, Outcome, quantile, spending

_CLIENT = Path(first_client.__file__)
_SHARES = {"p50": (0.5, "median"), "p99": (0.99, "99 %"), "p999": (0.999, "99.9 %")}


def _load(key: str, port: Port, title: str, work: str) -> Load:
    rate = Measure(f"{key}_rate", f"{title}, one after the other: rate", f"{work}s/s", work=work)
    quantiles = {
        share: Measure(f"{key}_{name}", f"{title}: latency, {said}", "µs", more_is_better=False)
        for name, (share, said) in _SHARES.items()
    }

    def run(stand: Stand, seconds: float) -> Outcome:
        """With a Python that imports nothing but what it needs, so that it has begun soon."""
        target = stand.target(port)
        words = [port.protocol, target.address, str(target.port), f"{seconds:g}"]
        with spending() as spent:
            said = stand.client.run(sys.executable, "-I", "-S", _CLIENT, *words, timeout=seconds + 30)
        taken, passed, failed = msgspec.json.decode(said, type=tuple[list[int], int, int])
        if not taken:
            raise LoadFailed(f"{title}: none of {failed} got an answer")
        taken.sort()
        values = {measure.key: quantile(taken, share) / 1000 for share, measure in quantiles.items()}
        return Outcome({rate.key: len(taken) / (passed / 1e9), **values}, spent.cpu / len(taken), failed)

    return Load(key, (rate, *quantiles.values()), run)


FIRST_CONNECT = _load("connect", WEB, "TCP connect", "connection")
FIRST_DATAGRAM = _load("first_datagram", DNS, "first DNS question of a socket to its answer", "question")
