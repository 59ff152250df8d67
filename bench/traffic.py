"""wrk against a Service and straight against its backends, one request a connection, in turns."""

from __future__ import annotations

import re
import tempfile
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

# wrk opens a thread's next connection to the address that the thread holds just then.
_SPREAD = """
local addresses = {}
local n = 0
function init()
    for _, target in ipairs({%s}) do
        table.insert(addresses, wrk.lookup(target, "%d")[1])
    end
end
request = function()
    n = n + 1
    wrk.thread.addr = addresses[n %% #addresses + 1]
    return wrk.format("GET", "/", {["Connection"] = "close"})
end
"""


def wrk(lab: Lab, targets: list[str], port: int, seconds: float) -> float:
    """Requests per second; each over a new connection, to the targets in turn."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SPREAD % (", ".join(f'"{target}"' for target in targets), port))
        script.flush()
        options = [f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s", "-s", script.name]
        output = lab.client.run("wrk", *options, f"http://{targets[0]}:{port}/", timeout=seconds + 30)
    match = _RATE.search(output)
    if match is None:
        raise RuntimeError(f"wrk said no rate: {output}")
    return float(match[1])


def busy() -> float:
    """CPU seconds that this machine has spent, all CPUs together."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / 100


def rates(lab: Lab, count: int, rounds: int, seconds: float) -> list[Figure]:
    """Service ÷ straight with ``count`` Services, of which one has the lab's backends, by rate and by CPU time."""
    rate_ratios, cpu_ratios = [], []
    backends = [(backend.addresses.v4, WEB_PORT) for backend in lab.backends]
    path = lab.directory / f"bench-{count}.json"
    others = [service(number, made_up_endpoints(number)) for number in range(1, count)]
    write(path, as_list([service(0, backends), *others]))
    with running(lab, path):
        for _ in range(rounds):
            cost, rate = {}, {}
            for way, targets, port in (
                ("straight", [address for address, _ in backends], WEB_PORT),
                ("service", [cluster_ip(0)], 80),
            ):
                before = busy()
                rate[way] = wrk(lab, targets, port, seconds)
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
    with Lab(backends=3) as lab:
        for backend in lab.backends:
            backend.sysctl({"core/somaxconn": 8192})
            Web(lab, backend)
        lab.client.sysctl({"ipv4/tcp_tw_reuse": 1})
        with lab.client.entered():
            Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65535\n")
        return [figure for count in (10, 5000) for figure in rates(lab, count, rounds, seconds)]
