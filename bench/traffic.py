"""wrk against a Service and straight against its backend, one request a connection, in turns.

It is one backend: wrk opens its connections in bursts, and a burst to each of several addresses in turn costs less than
the same connections mixed, as a Service spreads them. That difference is not the datapath's.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.servers import WEB_PORT, Web

from .agent import running
from .figures import Figure
from .objects import as_list, cluster_ip, made_up_endpoints, service, write

CONNECTIONS = 2000
THREADS = 2
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")


def wrk(lab: Lab, target: str, port: int, seconds: float) -> float:
    """Requests per second, each over a new connection."""
    options = [f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s", "-H", "Connection: close"]
    output = lab.client.run("wrk", *options, f"http://{target}:{port}/", timeout=seconds + 30)
    match = _RATE.search(output)
    if match is None:
        raise RuntimeError(f"wrk said no rate: {output}")
    return float(match[1])


def busy() -> float:
    """CPU seconds that this machine has spent, all CPUs together."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / 100


def rates(lab: Lab, count: int, rounds: int, seconds: float) -> list[Figure]:
    """Service ÷ straight with ``count`` Services, of which one has the lab's backend, by rate and by CPU time."""
    rate_ratios, cpu_ratios = [], []
    backend = lab.backends[0].addresses.v4
    path = lab.directory / f"bench-{count}.json"
    others = [service(number, made_up_endpoints(number)) for number in range(1, count)]
    write(path, as_list([service(0, [(backend, WEB_PORT)]), *others]))
    with running(lab, path):
        for _ in range(rounds):
            cost, rate = {}, {}
            for way, target, port in (("straight", backend, WEB_PORT), ("service", cluster_ip(0), 80)):
                before = busy()
                rate[way] = wrk(lab, target, port, seconds)
                cost[way] = (busy() - before) / (rate[way] * seconds)
                time.sleep(0.5)
            rate_ratios.append(rate["service"] / rate["straight"])
            cpu_ratios.append(cost["service"] / cost["straight"])
    name = f"wrk, {CONNECTIONS} connections, one request each, {count:,} Services: Service ÷ straight"
    return [
        Figure(f"{name}, rate", "ratio", tuple(rate_ratios), at_least=0.95),
        Figure(f"{name}, CPU per request", "ratio", tuple(cpu_ratios)),
    ]


def compare(rounds: int, seconds: float) -> list[Figure]:
    """With 10 and with 5,000 Services."""
    with Lab(backends=1) as lab:
        lab.backends[0].sysctl({"core/somaxconn": 8192})
        Web(lab, lab.backends[0])
        lab.client.sysctl({"ipv4/tcp_tw_reuse": 1})
        with lab.client.entered():
            Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65535\n")
        return [figure for count in (10, 5000) for figure in rates(lab, count, rounds, seconds)]
