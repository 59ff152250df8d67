"""Real traffic that goes on while something is done to the datapath: wrk's short connections, iperf3's long ones."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Self

from tcnat.layout import Family

from .commands import Program, wait_until
from .lab import Lab
from .objects import Port, Service
from .servers import WEB_PORT, Web, start_iperf

WEB_SERVICE_PORT, BULK_SERVICE_PORT = 80, 5000
BULK_PORTS = {Family.IPV4: 5201, Family.IPV6: 5202}
"""Where iperf3 listens: a server of it takes one client at a time."""
CONNECTIONS = 10
"""Of wrk, at a time and for each family."""
PAUSE = 20
"""Milliseconds between a connection's end and the next, so that the machine has time for something else."""
BITRATE = "20M"
_UNTIL_STOPPED = "3600"
"""Seconds: longer than any test."""
_INTERVAL = re.compile(r"^\[ *\d+\] +[\d.]+-[\d.]+ +sec +[1-9][\d.]* [KMG]Bytes", re.MULTILINE)
"""iperf3 tells each second how much it sent."""
_ERRORS = re.compile(r"(?:Socket errors|Non-2xx or 3xx responses): .*")
_REQUESTS = re.compile(r"(\d+) requests in ")


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the traffic of one family."""

    requests: int
    errors: tuple[str, ...]
    """What wrk says of requests that did not get their answer."""
    broken: str
    """What iperf3 said when its connection ended early; empty where it did not."""


class SteadyLoad:
    """Web servers and iperf3 on the lab's backends; between entering and leaving ``with``, requests over a new
    connection each, and one long stream for each family, to the Services in ``services``."""

    def __init__(self, lab: Lab, numbers: tuple[int, int, int] = (1, 2, 3)) -> None:
        """``numbers``: of the Services that it makes."""
        for backend in lab.backends:
            Web(lab, backend)
        for port, backend in zip(BULK_PORTS.values(), lab.backends, strict=False):
            start_iperf(lab, backend, port)
        self._lab = lab
        web = (Port("web", WEB_SERVICE_PORT, WEB_PORT),)
        self.services = [
            Service(numbers[0], web, tuple(backend.addresses for backend in lab.backends)),
            *(
                Service(number, (Port("bulk", BULK_SERVICE_PORT, port),), (backend.addresses,))
                for number, port, backend in zip(numbers[1:], BULK_PORTS.values(), lab.backends, strict=False)
            ),
        ]
        self._programs: dict[tuple[str, Family], Program] = {}

    @property
    def web(self) -> Service:
        """The Service that wrk asks."""
        return self.services[0]

    def __enter__(self) -> Self:
        script = self._lab.directory / "pause.lua"
        script.write_text(f"function delay() return {PAUSE} end\n")
        for family, bulk in zip(BULK_PORTS, self.services[1:], strict=True):
            url = self.web.addresses.url(family, WEB_SERVICE_PORT, "/")
            options = ["-t1", f"-c{CONNECTIONS}", f"-d{_UNTIL_STOPPED}s", "--timeout", "10s", "-s", str(script)]
            self._start("wrk", family, *options, "-H", "Connection: close", url)
            target = ["--client", bulk.addresses.of(family), "--port", str(BULK_SERVICE_PORT)]
            self._start("iperf3", family, *target, "--time", _UNTIL_STOPPED, "--bitrate", BITRATE, "--forceflush")
        for family in BULK_PORTS:
            stream = self._programs["iperf3", family]
            stream.wait_for(lambda s=stream: _INTERVAL.search(s.output()), "iperf3's first interval")
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs.values():
            program.stop(signal.SIGINT)

    def tally(self) -> dict[Family, Tally]:
        """End it, and tell what became of it."""
        broken = {family: self._end_of_stream(family) for family in BULK_PORTS}
        self.__exit__()
        return {family: self._tally(family, broken[family]) for family in BULK_PORTS}

    def _end_of_stream(self, family: Family) -> str:
        """What iperf3 said when it ended; empty if it has not, and has sent something again just now."""
        stream = self._programs["iperf3", family]
        before = len(_INTERVAL.findall(stream.output()))
        wait_until(
            lambda: not stream.running or len(_INTERVAL.findall(stream.output())) > before + 1, "iperf3 to go on"
        )
        return "" if stream.running else stream.output()

    def _tally(self, family: Family, broken: str) -> Tally:
        said = self._programs["wrk", family].output()
        done = _REQUESTS.search(said)
        assert done is not None, f"wrk said no sum:\n{said}"
        return Tally(requests=int(done[1]), errors=tuple(_ERRORS.findall(said)), broken=broken)

    def _start(self, program: str, family: Family, *words: str) -> None:
        log = f"{program}-client-{int(family)}.log"
        self._programs[program, family] = self._lab.start(self._lab.client, program, *words, log=log)
