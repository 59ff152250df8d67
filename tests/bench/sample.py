"""Results of a bench that never ran: numbers of plausible sizes for tests of what draws them. No measurements."""

from __future__ import annotations

import random

from bench.figures import Figure
from bench.marks import Mark, verdicts
from bench.results import Results
from bench.series import NO_PROXY, Measure, Series

SIZES = (10, 1000, 5000, 50000)
LOST = "not loaded in 10 minutes"
COST = {
    NO_PROXY: (1.0, 0.0),
    "tcnat": (1.02, 0.0),
    "nftables maps": (0.93, 0.005),
    "kube-proxy iptables-legacy": (0.88, 0.09),
    "kube-proxy iptables-nft": (0.86, 0.05),
}
"""Of "no proxy" at 10 Services, and how much less for each tenfold of them."""
LIMITED = ("kube-proxy iptables-legacy", "kube-proxy iptables-nft")
RATES = (
    ("http_short_rate", "HTTP, 2,000 connections of one request each: rate", "requests/s", "request", 16000.0),
    (
        "http_short_away_rate",
        "HTTP, 2,000 connections of one request each, backends on another node: rate",
        "requests/s",
        "request",
        15200.0,
    ),
    ("bulk_one_rate", "TCP, one stream", "Gbit/s", "GB", 19.0),
    ("dns_rate", "DNS", "queries/s", "query", 38000.0),
)
SHARES = (("p50", "median latency"), ("p99", "latency, 99 %"), ("p999", "latency, 99.9 %"))
TIMES = (
    ("connect", "TCP connect", "µs", 90.0, 400.0, 1500.0),
    ("http_short", "HTTP, 2,000 connections of one request each", "ms", 95.0, 180.0),
)
GROWING = (
    ("resident", "Resident memory", "MB", 36.0, 60.0),
    ("kernel_memory", "Kernel memory of maps or rules", "MB", 6.0, 3.0),
    ("sync", "Full sync", "s", 0.02, 0.01),
    ("sync_cpu", "CPU time of a full sync", "s", 0.02, 0.012),
    ("change", "An endpoint's change to traffic", "ms", 6.0, 40.0),
)


def results(runs: int = 5, sizes: tuple[int, ...] = SIZES, seed: int = 7) -> Results:
    """All kinds of measures, of all peers but those that tell what a part of tcnat costs with redirect."""
    chance = random.Random(seed)
    made = Results(machine={"kernel": "6.1.0", "cpu": "Made-Up CPU", "cores": "2", "memory": "8 GiB", "tcnat": "0.1.0"})
    for key, title, unit, work, at_best in RATES:
        made.measures.append(Measure(key, title, unit, work))
        for peer in COST:
            made.series += [_rate(chance, key, peer, size, at_best, runs) for size in sizes]
    for key, title, unit, *times in TIMES:
        for (percentile, said), time in zip(SHARES, times, strict=False):
            measure = f"{key}_{percentile}"
            made.measures.append(Measure(measure, f"{title}: {said}", unit, more_is_better=False))
            made.series += [
                _rate(chance, measure, peer, size, time, runs, slower=True) for peer in COST for size in sizes
            ]
    _growing(chance, made, sizes, runs)
    _packets(chance, made)
    _virtual(chance, made, runs)
    made.figures.append(Figure("endpoint change to the maps", "ms", (11.0, 12.5, 14.0), at_most=20))
    marks = [
        Mark("http_short_rate", "tcnat", NO_PROXY, 10, at_least=1.0),
        Mark("http_short_rate", "tcnat", "kube-proxy iptables-legacy", 5000, at_least=1.6),
        Mark("http_short_rate", "tcnat", NO_PROXY, 50000, at_least=0.97, at_most=1.03, than=10),
        Mark("http_short_rate", "tcnat", "kube-proxy IPVS", 10, at_least=1.3),
    ]
    made.verdicts += verdicts(marks, made.series)
    return made


def _rate(
    chance: random.Random, key: str, peer: str, size: int, best: float, runs: int, slower: bool = False
) -> Series:
    if peer in LIMITED and size >= 50000:
        return Series(key, peer, size, note=LOST)
    start, fall = COST[peer]
    share = start - fall * (len(str(size)) - 2)
    values = [best * (1 / share if slower else share) * chance.uniform(0.96, 1.04) for _ in range(runs)]
    cpu = () if slower else tuple(2 / each * chance.uniform(0.97, 1.03) for each in values)
    return Series(key, peer, size, tuple(values), cpu)


def _growing(chance: random.Random, made: Results, sizes: tuple[int, ...], runs: int) -> None:
    for key, title, unit, ours, theirs in GROWING:
        made.measures.append(Measure(key, title, unit, more_is_better=False))
        for peer in ("tcnat", *LIMITED):
            for size in sizes:
                if peer in LIMITED and size >= 50000:
                    made.series.append(Series(key, peer, size, note=LOST))
                    continue
                base = ours if peer == "tcnat" else theirs
                grown = base * (1 + size / (20000 if peer == "tcnat" else 800))
                made.series.append(
                    Series(key, peer, size, tuple(grown * chance.uniform(0.9, 1.1) for _ in range(runs)))
                )
    title = "Requests failed in 60 s of rolling restarts"
    made.measures.append(Measure("restarts_failed", title, "requests", more_is_better=False))
    for peer, failed in (("tcnat", 0), ("nftables maps", 3), ("kube-proxy iptables-legacy", 41)):
        made.series.append(Series("restarts_failed", peer, 1000, (float(failed),)))


def _packets(chance: random.Random, made: Results) -> None:
    for family in ("IPv4", "IPv6"):
        for key, title, cost in (("forward_open_tcp", "to a Service, open TCP flow", 90), ("pass", "no Service's", 20)):
            made.measures.append(Measure(f"{key}_{family}", f"{title}, {family}", "ns", more_is_better=False))
            for peer, nanoseconds in (("tcnat", cost), ("calibration", 40), ("empty tc program", 6)):
                runs = tuple(nanoseconds * chance.uniform(0.97, 1.1) for _ in range(5))
                made.series.append(Series(f"{key}_{family}", peer, 0, runs))


def _virtual(chance: random.Random, made: Results, runs: int) -> None:
    title = "Linux 6.1.0, emulated: HTTP, 200 connections of one request each: rate"
    made.measures.append(Measure("vm_http_short_few_rate", title, "requests/s", "request"))
    for peer in (NO_PROXY, "tcnat", "kube-proxy IPVS"):
        values = tuple(300 * chance.uniform(0.9, 1.1) for _ in range(runs))
        made.series.append(Series("vm_http_short_few_rate", peer, 10, values, tuple(1 / each for each in values)))
