"""The tests' stand-in for an API server in a process of its own, with more Services than a real one is filled with in
good time.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from tcnat import netns
from tests.cluster.standin import SERVICES, SLICES_V1, serving
from tests.lab.namespace import Namespace

from .objects import made_up_endpoints, service

FILL_SECONDS = 300
Change = tuple[int, int]
"""A Service's number, and the number of the change to its last endpoint."""


class StandInServer:
    """A server at work. ``kubeconfig`` is for it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        if not pipe.poll(FILL_SECONDS):
            raise RuntimeError(f"the stand-in server was not ready after {FILL_SECONDS} s")
        self.kubeconfig: Path = pipe.recv()

    def change(self, number: int, change: int) -> None:
        """Give a Service another last endpoint. Returns before that is done."""
        self._pipe.send([(number, change)])

    def change_all(self, changes: Sequence[Change]) -> None:
        """The same for many, as one change after the other; returns when they are about to be told."""
        self._pipe.send(changes)
        self._pipe.send(None)
        self._pipe.recv()


@contextmanager
def standing_in(host: Namespace, services: int, endpoints: int) -> Iterator[StandInServer]:
    """The server on the loopback of ``host`` with the Services 1 … ``services`` of so many endpoints each."""
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as directory:
        words = (there, host.name, services, endpoints, Path(directory))
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=words, daemon=True)
        process.start()
        there.close()  # so that the end of that process is seen
        try:
            yield StandInServer(here)
        finally:
            process.terminate()
            process.join()


def _serve(pipe: Connection, namespace: str, services: int, endpoints: int, directory: Path) -> None:
    with netns.entered(namespace), serving(directory) as (state, kubeconfig):
        made = (service(number, made_up_endpoints(number, endpoints)) for number in range(1, services + 1))
        heads, slices = zip(*made, strict=True)
        state.put(SERVICES, *heads)
        state.put(SLICES_V1, *slices)
        del heads, slices
        pipe.send(kubeconfig)
        while True:
            changes = pipe.recv()
            if changes is None:
                pipe.send(None)
                continue
            ends = ((number, made_up_endpoints(number, endpoints, change)) for number, change in changes)
            state.put(SLICES_V1, *[service(number, them)[1] for number, them in ends])
