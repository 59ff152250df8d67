"""Real sockets through ``tcnat agent``: ``python -m tests.vm.guest.smoke`` prints a line for each step that works.

A small part of ``tests/netns``, chosen for what old kernels do differently, and without a test runner, which takes long
to start in an emulator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.agent import Agent
from tests.lab.clients import Tcp, Udp
from tests.lab.echo import Echo
from tests.lab.objects import Port, Service

T = TypeVar("T")
ECHO_PORT = 7
PORTS = (Port("tcp", 80, ECHO_PORT), Port("udp", 53, ECHO_PORT, "UDP"))
SERVED, EMPTY = 1, 2
"""Numbers of the Services: one with endpoints, one without."""


class Smoke:
    """A client, two backends, the agent, and what is tried with them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.service = Service(SERVED, PORTS, tuple(backend.addresses for backend in lab.backends))
        self.empty = Service(EMPTY, PORTS)
        self.agent = Agent(lab, [self.service, self.empty])

    def tcp(self, family: Family, size: int = 100_000) -> str:
        """A connection that carries ``size`` random bytes there and back; who served it."""
        data = os.urandom(size)
        with Tcp(self.lab.client, self.service.addresses, family, 80) as connection:
            assert connection.echo(data) == data, "TCP data came back changed"
            return connection.server

    def udp(self, family: Family, size: int = 400) -> str:
        """A datagram there and back; who answered."""
        with Udp(self.lab.client, self.service.addresses, family, 53) as client:
            return client.ask(os.urandom(size))

    def spreads(self) -> None:
        """New connections and datagrams reach every backend."""
        for family in Family:
            for ask in (self.tcp, self.udp):
                names = {ask(family, 20) for _ in range(16)}
                assert len(names) == len(self.lab.backends), f"only {names} of IPv{int(family)} served"

    def carries(self) -> None:
        """Much data, and datagrams that are fragmented."""
        for family in Family:
            self.tcp(family, 1_000_000)
            self.udp(family, 20_000)

    def refuses(self) -> None:
        """A Service without endpoints refuses a connection at once."""
        for family in Family:
            start = time.monotonic()
            try:
                Tcp(self.lab.client, self.empty.addresses, family, 80).socket.close()
            except ConnectionRefusedError:
                assert time.monotonic() - start < 5, "refused, but late"
            else:
                raise AssertionError("a Service without endpoints took a connection")
            with Udp(self.lab.client, self.empty.addresses, family, 53) as client:
                client.send(b"?")
                try:
                    client.receive()
                except ConnectionRefusedError:
                    continue
                raise AssertionError("a Service without endpoints answered a datagram")

    def follows(self) -> None:
        """One backend goes: the other serves all, open connections go on; it comes back: both serve."""
        left = self.lab.backends[0]
        connections = [Tcp(self.lab.client, self.service.addresses, family, 80) for family in Family for _ in range(4)]
        self.agent.put(self.service.with_endpoints([left.addresses]))
        for family in Family:
            names = {self.tcp(family, 20) for _ in range(8)} | {self.udp(family) for _ in range(8)}
            assert names == {left.role}, f"{names} served, with {left.role} alone left"
        for connection in connections:
            with connection:
                assert connection.echo(b"still here") == b"still here"
        self.agent.put(self.service)
        self.spreads()

    def survives(self) -> None:
        """The agent is killed: traffic goes on, also the new; the next one takes over without a gap."""
        with Tcp(self.lab.client, self.service.addresses, Family.IPV4, 80) as connection:
            self.agent.stop()
            self.spreads()
            self.agent.start()
            assert connection.echo(b"still here") == b"still here"
        self.spreads()

    def tells(self) -> None:
        """The commands that read the maps see the traffic."""
        assert "service-1" in self.agent.tcnat("get", "services")
        assert self.agent.tcnat("get", "flows").count("\n") > 10
        print(self.agent.tcnat("status"), flush=True)


def main() -> None:
    """Everything in turn; the first thing that does not work ends it with a traceback, which the console shows."""
    with Lab(backends=2) as lab, ExitStack() as servers:
        for backend in lab.backends:
            servers.enter_context(Echo(backend, backend.role, ECHO_PORT))
        smoke = timed("the agent starts", lambda: Smoke(lab))
        timed("connections and datagrams reach every backend", smoke.spreads)
        timed("a megabyte over TCP, fragmented datagrams over UDP", smoke.carries)
        timed("a Service without endpoints refuses at once", smoke.refuses)
        timed("endpoints go and come", smoke.follows)
        timed("get and status read the maps", smoke.tells)
        timed("the agent goes and comes", smoke.survives)


def timed(what: str, do: Callable[[], T]) -> T:
    """Do it, and say that it works, and how long that took."""
    start = time.monotonic()
    result = do()
    print(f"ok {time.monotonic() - start:6.1f} s  {what}", flush=True)
    return result


if __name__ == "__main__":
    main()
