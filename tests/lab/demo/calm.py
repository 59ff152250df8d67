"""What the demo shows while nothing changes: the lab, how requests spread, and the counters."""

from __future__ import annotations

from tcnat.layout import Family

from ..load import FAILED
from ..servers import DNS_PORT, NAME, WEB_PORT
from .scene import DNS, WEB, Scene

REQUESTS = 300
LEAST_SHARE = 0.5
"""Of an even share, what each backend must get: of 100 expected, 6 standard deviations below."""


def show_lab(scene: Scene) -> None:
    """Who is there, and the start of the servers and the agent."""
    lab, paper = scene.lab, scene.paper
    paper.section("A lab of network namespaces, whose client is the pod VM")
    rows = [[host.role, host.addresses.v4, host.addresses.v6, ""] for host in (lab.client, lab.router)]
    for host in lab.backends:
        runs = f"nginx on port {WEB_PORT}, dnsmasq on {DNS_PORT}"
        rows.append([host.role, host.addresses.v4, host.addresses.v6, runs])
    for title, service in (("Service web", WEB), ("Service dns", DNS)):
        port = service.ports[0]
        rows.append(
            [title, service.addresses.v4, service.addresses.v6, f"{port.port}/{port.protocol} to {port.target}"]
        )
    paper.table(["host", "IPv4", "IPv6", "what"], rows)
    seconds = scene.start()
    paper.gap()
    paper.text("In the client:")
    paper.command("tcnat " + " ".join(scene.agent.command()[3:]))
    paper.check(True, f"the Services were in force {seconds:.1f} s after the agent's start")


def show_spread(scene: Scene) -> None:
    """Requests with curl and dig, and who answered them."""
    paper, roles = scene.paper, [host.role for host in scene.lab.backends]
    paper.section(f"{REQUESTS} requests of each kind to the Services, with curl and dig")
    found = {title: ask() for title, ask in scene.questions(REQUESTS).items()}
    paper.command(f"curl {WEB.addresses.url(Family.IPV4, 80)}")
    paper.command(f"dig +short @{DNS.addresses.v4} {NAME} TXT")
    for title, counts in found.items():
        paper.bars(title, {role: counts[role] for role in roles})
    paper.gap()
    failed = sum(counts[FAILED] for counts in found.values())
    least = int(LEAST_SHARE * REQUESTS / len(roles))
    even = all(counts[role] >= least for counts in found.values() for role in roles)
    paper.check(failed == 0, f"{failed} of {REQUESTS * len(found)} requests failed")
    paper.check(even, f"each backend answered at least {least} of each {REQUESTS}")


def show_counters(scene: Scene) -> None:
    """What the maps have counted."""
    scene.paper.section("What the datapath counted")
    scene.paper.command("tcnat status")
    scene.paper.text(scene.agent.tcnat("status"))
    scene.paper.gap()
    scene.paper.command("tcnat get services")
    scene.paper.text(scene.agent.tcnat("get", "services"))
