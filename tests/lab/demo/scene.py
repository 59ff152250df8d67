"""The lab of the demo: three backends with a web server and a DNS server each, two Services, and the agent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tcnat.layout import Family

from ..agent import Agent
from ..commands import Program
from ..lab import Host, Lab
from ..load import dns_requests, web_requests
from ..objects import Port, Service
from ..servers import DNS_PORT, WEB_PORT, Web, start_dns
from .paper import Paper

WEB = Service(1, (Port("http", 80, WEB_PORT),), title="web")
DNS = Service(2, (Port("dns", 53, DNS_PORT, "UDP"), Port("dns-tcp", 53, DNS_PORT, "TCP")), title="dns")
FAMILIES = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}


@dataclass(slots=True)
class Scene:
    """The lab, its servers by their hosts' roles, and the paper."""

    lab: Lab
    paper: Paper
    webs: dict[str, Web] = field(default_factory=dict)
    names: dict[str, Program] = field(default_factory=dict)
    agent: Agent = field(init=False)

    def serve(self, host: Host) -> None:
        """Start the two servers of a backend."""
        self.webs[host.role] = Web(self.lab, host)
        self.names[host.role] = start_dns(self.lab, host)

    def start(self) -> float:
        """Start all servers and the agent; how many seconds the agent took until the Services were in force."""
        for host in self.lab.backends:
            self.serve(host)
        began = time.monotonic()
        self.agent = Agent(self.lab, self.services(self.lab.backends))
        return time.monotonic() - began

    def use(self, hosts: list[Host]) -> None:
        """Let both Services have these backends, and no others."""
        self.agent.put(*self.services(hosts))

    def services(self, hosts: list[Host]) -> tuple[Service, Service]:
        """Both Services on these backends."""
        endpoints = [host.addresses for host in hosts]
        return WEB.with_endpoints(endpoints), DNS.with_endpoints(endpoints)

    def questions(self, count: int) -> dict[str, Callable[[], Counter[str]]]:
        """What can be asked of the Services, each ``count`` times at one call; the calls return who answered how
        often."""
        client = self.lab.client
        asked: dict[str, Callable[[], Counter[str]]] = {}
        for family, name in FAMILIES.items():
            asked[f"HTTP over {name}"] = partial(web_requests, client, WEB.addresses, family, 80, count)
            asked[f"DNS over {name}"] = partial(dns_requests, client, DNS.addresses, family, 53, count)
        return asked
