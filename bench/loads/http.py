"""HTTP requests from wrk over many connections at a time, to nginx."""

from __future__ import annotations

import math
import re

from bench.peers.services import WEB
from bench.peers.stand import Stand
from bench.series import Measure

from .load import Load, LoadFailed, Outcome, spending

CONNECTIONS = 2000
THREADS = 2
PATIENCE = 10
"""Seconds until wrk counts a request as timed out."""
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_DONE = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_LATENCY = r"^\s+{share}%\s+([\d.]+)(us|ms|s|m) *$"
_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")


def parse(said: str) -> tuple[int, float, float, float, int]:
    """What ``wrk --latency`` said: requests done, requests per second, the median and the 99th percentile of latency in
    ms, requests that failed. LoadFailed where it said something else."""
    done, rate = _DONE.search(said), _RATE.search(said)
    half, most = (re.search(_LATENCY.format(share=share), said, re.MULTILINE) for share in (50, 99))
    if not (done and rate and half and most):
        raise LoadFailed(f"wrk said no figures: {said.strip()}")
    errors, refused = _ERRORS.search(said), _REFUSED.search(said)
    failed = sum(map(int, errors.groups())) if errors else 0
    failed += int(refused[1]) if refused else 0
    half_ms, most_ms = (float(found[1]) * _MILLISECONDS[found[2]] for found in (half, most))
    return int(done[1]), float(rate[1]), half_ms, most_ms, failed


def _load(key: str, title: str, *headers: str, away: bool = False, connections: int = CONNECTIONS) -> Load:
    rate = Measure(f"{key}_rate", f"{title}: rate", "requests/s", work="request")
    half = Measure(f"{key}_p50", f"{title}: median latency", "ms", more_is_better=False)
    most = Measure(f"{key}_p99", f"{title}: latency, 99 %", "ms", more_is_better=False)
    options = [word for header in headers for word in ("-H", header)]

    def run(stand: Stand, seconds: float) -> Outcome:
        """wrk knows whole seconds alone: it gets the next ones."""
        target = stand.target(WEB, away=away)
        whole = math.ceil(seconds)
        words = ["--latency", f"-t{THREADS}", f"-c{connections}", f"-d{whole}s", "--timeout", f"{PATIENCE}s", *options]
        with spending() as spent:
            said = stand.client.run("wrk", *words, f"http://{target.address}:{target.port}/", timeout=whole + 30)
        done, per_second, half_ms, most_ms, failed = parse(said)
        if not done:
            raise LoadFailed(f"wrk got no answer: {said.strip()}")
        return Outcome({rate.key: per_second, half.key: half_ms, most.key: most_ms}, spent.cpu / done, failed)

    return Load(key, (rate, half, most), run)


_SHORT = "Connection: close"
HTTP_SHORT = _load("http_short", "HTTP, 2,000 connections of one request each", _SHORT)
HTTP_SHORT_AWAY = _load(
    "http_short_away", "HTTP, 2,000 connections of one request each, backends on another node", _SHORT, away=True
)
HTTP_KEPT = _load("http_kept", "HTTP, 2,000 connections kept alive")
HTTP_SHORT_FEW = _load("http_short_few", "HTTP, 200 connections of one request each", _SHORT, connections=200)
"""For machines to which ten times as many are too much: emulated ones."""
