"""tcnat's agent, which serves all pods of its node."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.agent import TCNAT
from bench.objects import write
from bench.processes import cpu_seconds, map_memory
from tcnat.loader import open_pinned
from tests.lab.commands import PATIENCE as PATIENCE_FACTOR
from tests.lab.commands import Program, run
from tests.lab.nodes import Pod

from .lab import PeerLab, Place
from .services import AWAY, as_list
from .stand import PATIENCE, Loading, Stand, TooSlow, by_service

TCNAT_NAME = "tcnat"
TO_DEVICE = "tcnat to the device"
"""Its packets do not go past the other pod's device, as before Linux 5.10."""
BY_STACK = "tcnat without redirect"
"""Its packets take the node's IP stack, as they do where policy of the node's has to see them."""
_READY = " ready after "
"""What the agent says once maps are written and programs attached."""
_SOON = 0.005


class Source(Protocol):
    """Where an agent has its objects from."""

    @property
    def agent_options(self) -> list[str]:
        """The agent's options that name it."""

    def serve(self, place: Place, backends: Sequence[Pod]) -> None:
        """Give the place's own Service these endpoints."""


class ObjectFiles:
    """A directory: a file for each real Service, and one with all made-up ones."""

    def __init__(self, lab: PeerLab, place: Place, services: int) -> None:
        self.directory = place.ground.directory / "objects"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        every = lab.services(services)
        first = len(lab.places) + 1
        for service in every[:first]:
            write(self._file(service.number), as_list([service]))
        write(self.directory / "made-up.json", as_list(every[first:]))

    @property
    def agent_options(self) -> list[str]:
        """See :class:`Source`."""
        return ["--objects", str(self.directory)]

    def serve(self, place: Place, backends: Sequence[Pod]) -> None:
        """See :class:`Source`."""
        write(self._file(place.service), as_list([place.own(backends)]))

    def _file(self, number: int) -> Path:
        return self.directory / f"service-{number}.json"


class AgentAtWork:
    """An agent on a place's node."""

    def __init__(self, place: Place, source: Source, options: Sequence[str]) -> None:
        self._place = place
        self._source = source
        self._options = options
        self._program: Program | None = None
        self.loading: Loading | None = None

    @property
    def pid(self) -> int:
        """See :class:`bench.peers.stand.Proxy`."""
        assert self._program is not None
        return self._program.pid

    @property
    def kernel_memory(self) -> float:
        """Of its maps (what fdinfo of a map says as ``memlock``)."""
        return sum(
            map_memory(each.fd)
            for loaded in open_pinned(self._place.ground.pins).values()
            for each in loaded.maps.values()
        )

    def start(self, patience: float) -> None:
        """Start it, and wait until its maps are written. TimeoutError."""
        ground = self._place.ground
        earlier = len(list(ground.directory.glob("agent-*.log")))
        words = [*TCNAT, "agent", "--datapath=tc", *ground.served, "--pin-path", str(ground.pins)]
        words += ["--sync-period=1h", f"--hostname-override={ground.node.role}"]
        words += [*self._source.agent_options, *self._options]
        began = time.monotonic()
        program = ground.start(ground.node, *words, log=f"agent-{earlier + 1}.log")
        self._program = program
        program.wait_for(lambda: _READY in program.output(), "the agent to be ready", patience / PATIENCE_FACTOR, _SOON)
        self.loading = Loading(time.monotonic() - began, cpu_seconds(program.pid))

    def serve(self, backends: Sequence[Pod]) -> None:
        """See :class:`bench.peers.stand.Proxy`."""
        self._source.serve(self._place, backends)

    def remove(self) -> None:
        """End it, and take its programs and maps from the node."""
        if self._program is not None:
            self._program.stop()
        ground = self._place.ground
        run(ground.node.command([*TCNAT, "cleanup", "--pin-path", ground.pins]))


class Tcnat:
    """tcnat with these options of its agent's, on an API server that has been given the Services already, or without
    one on files."""

    def __init__(
        self, name: str = TCNAT_NAME, options: Sequence[str] = (), api: Callable[[], Source] | None = None
    ) -> None:
        self.name = name
        self._options = tuple(options)
        self._api = api

    @contextmanager
    def standing(self, lab: PeerLab, services: int, patience: float = PATIENCE) -> Iterator[Stand]:
        """See :class:`bench.peers.stand.Peer`."""
        place = lab.places[self.name]
        source = self._api() if self._api else ObjectFiles(lab, place, services)
        agent = AgentAtWork(place, source, self._options)
        try:
            try:
                agent.start(patience)
            except TimeoutError:
                raise TooSlow(self.name, services, patience) from None
            yield Stand(self.name, lab, place, services, agent, by_service(place.service), by_service(AWAY))
        finally:
            agent.remove()
