"""A lab's node on which a test starts agents with pins and objects of its own, and on which no traffic flows."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tcnat import loader
from tcnat.layout import Family, service_key
from tcnat.maps import MapStore
from tcnat.model import Protocol, parse_address
from tests.lab import Lab
from tests.lab.addresses import Addresses
from tests.lab.agent import HEALTH_PORT, METRICS_PORT
from tests.lab.commands import Program, run
from tests.lab.objects import Port, Service, write

WEB = (Port("web", 80, 8080),)
"""Any port will do."""


def service(number: int, endpoints: int = 1) -> Service:
    """A Service on as many made-up endpoints."""
    numbers = range(1, endpoints + 1)
    return Service(number, WEB, tuple(Addresses(f"10.9.{number}.{at}", f"fd09:{number}::{at}") for at in numbers))


class Node:
    """A lab's node, with pins and objects for one test."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.lab = lab
        self.pins = lab.pins.with_name(f"{lab.pins.name}-agent{number}")
        self.objects = lab.directory / f"objects{number}"
        self.objects.mkdir()
        self.within: list[str] = []
        """Words that start another program, which is to start the agent."""
        self._number = number
        self._starts = itertools.count(1)

    def agent(self, *options: str | Path, device: str = "eth0") -> Program:
        """Start an agent."""
        log = f"agent{self._number}-{next(self._starts)}.log"
        return self.lab.start(self.lab.node, *self.command(*options, device=device), log=log)

    def ready_agent(self, *options: str | Path, device: str = "eth0") -> Program:
        """Start an agent, and wait until it has written the maps and attached the programs."""
        program = self.agent(*options, device=device)
        program.wait_for(lambda: " ready after " in program.output(), "the agent to be ready", timeout=30)
        return program

    def command(self, *options: str | Path, device: str = "eth0") -> list[str | Path]:
        """The words that start the agent on this node's pins and objects."""
        given = ["--objects", self.objects, "--network-device", device, "--pin-path", self.pins]
        return [*self.within, sys.executable, "-m", "tcnat", "agent", *given, *options]

    def refused(self, *options: str | Path) -> str:
        """The line with which an agent that cannot start ends."""
        words = self.lab.node.command([str(word) for word in self.command(*options)])
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr.splitlines()[-1]

    def write(self, *services: Service, file: str = "all.json") -> None:
        """Put a file with these Services among the objects."""
        write(self.objects / file, services)

    def filters(self, device: str = "eth0") -> int:
        """How many of tcnat's filters a device carries."""
        hooks = [self.lab.node.run("tc", "filter", "show", "dev", device, hook) for hook in ("ingress", "egress")]
        return "".join(hooks).count(" tcnat_")

    def serves(self, service: Service) -> bool:
        """Whether the service's first port is a front end in the IPv4 maps."""
        store = self.store()
        front = store.present.front(service_key(parse_address(service.addresses.v4), 80, Protocol.TCP))
        return front is not None and not front.draining

    def store(self) -> MapStore:
        """The IPv4 maps, as they are now."""
        store = MapStore(Family.IPV4, loader.open_pinned(self.pins)[Family.IPV4].maps)
        store.read()
        return store

    def ask(self, port: int, path: str) -> tuple[int, str]:
        """Status and body of an HTTP answer of the agent's."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with self.lab.node.entered():
            connection.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = json.loads(self.ask(HEALTH_PORT, "/healthz")[1])
        return health

    def metric(self, sample: str) -> float | None:
        """The value of a sample, written as in the text format."""
        for line in self.ask(METRICS_PORT, "/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return None

    def remove(self) -> None:
        """Take away what the test left."""
        run(self.lab.node.command([sys.executable, "-m", "tcnat", "cleanup", "--force", "--pin-path", self.pins]))
        shutil.rmtree(self.pins, ignore_errors=True)
