"""The agent at work in a lab, on objects that the test changes."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import signal
import time
from collections.abc import Iterable
from typing import Any

from tcnat.loader import open_pinned

from .commands import wait_until
from .objects import Service, write
from .site import Ground
from .versions import CHECKOUT, Runnable

HEALTH_PORT = 10256
METRICS_PORT = 10249


REDIRECT = "TCNAT_LAB_REDIRECT"
"""Environment variable: what agents get as --redirect unless a test says so itself, to run tests in each way."""


class BareAgent:
    """``tcnat agent`` on the lab's node, with pins of the lab's own, and the source that ``options`` name."""

    def __init__(self, lab: Ground, options: Iterable[str], version: Runnable = CHECKOUT) -> None:
        self.lab = lab
        self.options = list(options)
        self.version = version

    def command(self) -> list[str]:
        """The words that start it."""
        wanted = os.environ.get(REDIRECT) if self.version is CHECKOUT else None
        redirect = ["--redirect", wanted] if wanted else []
        words = [*self.lab.served, "--pin-path", str(self.lab.pins), *redirect, *self.options]
        return [*self.version.command(), "agent", "--datapath=tc", *words]

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        earlier = len(list(self.lab.directory.glob("agent-*.log")))
        self.program = self.lab.start(self.lab.node, *self.command(), log=f"agent-{earlier + 1}.log")

    def start(self) -> None:
        """Start it, and wait until it has done its first sync."""
        began = time.time()
        self.launch()
        self.program.wait_for(lambda: self.updated_since(began), "the agent's first sync", timeout=90)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        return self.program.stop(number)

    def tcnat(self, *words: str) -> str:
        """Run another command of tcnat's on the node, on the same pins; what it printed."""
        return self.lab.node.run(*self.version.command(), *words, "--pin-path", self.lab.pins)

    def filters(self) -> list[str]:
        """The lines in which tc tells of bpf filters on the device that the agent serves, with their programs' ids."""
        device = self.lab.served[1].replace("*", "1")
        hooks = [self.lab.node.run("tc", "filter", "show", "dev", device, hook) for hook in ("ingress", "egress")]
        return [line for line in "".join(hooks).splitlines() if " bpf " in line and " handle " in line]

    def state(self) -> list[object]:
        """The filters, and what the maps hold of what is wanted."""
        shown: list[object] = [self.filters()]
        for loaded in open_pinned(self.lab.pins).values():
            arrays = [loaded.maps[name] for name in ("slots", "backends")]
            shown.append(sorted(loaded.maps["services"].items()))
            shown += [hash(bytes(array.read_array(array.max_entries))) for array in arrays]
        return shown

    def ask(self, port: int, path: str) -> tuple[int, str]:
        """Ask one of the agent's HTTP servers; the status and the body. OSError when nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with self.lab.node.entered():
            connection.connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def health(self) -> dict[str, Any]:
        """What /healthz says."""
        health: dict[str, Any] = json.loads(self.ask(HEALTH_PORT, "/healthz")[1])
        return health

    def updated_since(self, when: float) -> bool:
        """Whether it has synced since then (seconds since the epoch)."""
        try:
            updated = datetime.datetime.fromisoformat(self.health()["lastUpdated"])
        except OSError:
            return False
        return updated.timestamp() > when


class Agent(BareAgent):
    """The agent with objects of the lab's own in a file.

    Changes of the Services return when the agent has told that they are in the maps.
    """

    def __init__(
        self,
        lab: Ground,
        services: Iterable[Service] = (),
        options: Iterable[str] = (),
        version: Runnable = CHECKOUT,
    ) -> None:
        self.services = {service.number: service for service in services}
        self.objects = lab.directory / "objects" / "services.json"
        self.objects.parent.mkdir(exist_ok=True)
        super().__init__(lab, ["--objects", str(self.objects), *options], version)
        write(self.objects, list(self.services.values()))
        self.start()

    def put(self, *services: Service) -> None:
        """Add Services, or change those of the same numbers."""
        self.services.update({service.number: service for service in services})
        self._apply()

    def remove(self, service: Service) -> None:
        """Delete a Service."""
        del self.services[service.number]
        self._apply()

    def write_unheeded(self, services: Iterable[Service]) -> None:
        """Put other Services in the place of those there are, while no agent runs to take notice."""
        self.services = {service.number: service for service in services}
        write(self.objects, list(self.services.values()))

    def _apply(self) -> None:
        began = time.time()
        write(self.objects, list(self.services.values()))
        wait_until(lambda: self.updated_since(began), f"the agent to sync; it said:\n{self.program.output()}")
