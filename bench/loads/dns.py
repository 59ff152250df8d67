"""DNS queries over UDP from dnsperf, to dnsmasq."""

from __future__ import annotations

import re

from bench.peers.services import DNS
from bench.peers.stand import Stand
from bench.series import Measure
from tests.lab.servers import NAME

from .load import Load, LoadFailed, Outcome, spending

SOCKETS, OUTSTANDING = 30, 100
"""Of dnsperf: each socket has a port of its own, and so a flow."""
PATIENCE = 1
"""Seconds until dnsperf counts a query as lost."""
RATE = Measure("dns_rate", f"DNS queries, {OUTSTANDING} at a time over {SOCKETS} sockets", "queries/s", work="query")
_DONE = re.compile(r"Queries completed:\s+(\d+)")
_LOST = re.compile(r"Queries lost:\s+(\d+)")
_RATE = re.compile(r"Queries per second:\s+([\d.]+)")


def parse(said: str) -> tuple[int, float, int]:
    """What dnsperf said: queries answered, answered per second, and lost. LoadFailed where it said something else."""
    done, rate, lost = _DONE.search(said), _RATE.search(said), _LOST.search(said)
    if not (done and rate and lost):
        raise LoadFailed(f"dnsperf said no figures: {said.strip()}")
    return int(done[1]), float(rate[1]), int(lost[1])


def _run(stand: Stand, seconds: float) -> Outcome:
    target = stand.target(DNS)
    questions = stand.place.ground.directory / "questions"
    questions.write_text(f"{NAME} TXT\n")
    words = ["-s", target.address, "-p", str(target.port), "-d", str(questions), "-l", f"{seconds:g}"]
    words += ["-t", str(PATIENCE), "-c", str(SOCKETS), "-T", "1", "-q", str(OUTSTANDING)]
    with spending() as spent:
        said = stand.client.run("dnsperf", *words, timeout=seconds + 30)
    done, rate, lost = parse(said)
    if not done:
        raise LoadFailed(f"dnsperf got no answer: {said.strip()}")
    return Outcome({RATE.key: rate}, spent.cpu / done, lost)


DNS_QUERIES = Load("dns", (RATE,), _run)
