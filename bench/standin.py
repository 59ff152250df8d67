"""The tests' stand-in for an API server in a process of its own, with more Services than a real one is filled with in
good time.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from tcnat import netns
from tests.cluster.standin import SERVICES, SLICES_V1, serving
from tests.lab.namespace import Namespace

from .objects import made_up_endpoints, service

FILL_SECONDS = 300


@contextmanager
def standing_in(host: Namespace, count: int) -> Iterator[tuple[Path, Callable[[int, int], object]]]:
    """The server on the loopback of ``host`` with the Services 1 … ``count`` of 3 endpoints each; a kubeconfig for it,
    and what changes the last endpoint of a Service (its number, the change's number)."""
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as directory:
        words = (there, host.name, count, Path(directory))
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=words, daemon=True)
        process.start()
        there.close()  # so that the end of that process is seen
        try:
            if not here.poll(FILL_SECONDS):
                raise RuntimeError(f"the stand-in server was not ready after {FILL_SECONDS} s")
            yield here.recv(), lambda number, change: here.send((number, change))
        finally:
            process.terminate()
            process.join()


def _serve(pipe: Connection, namespace: str, count: int, directory: Path) -> None:
    with netns.entered(namespace), serving(directory) as (state, kubeconfig):
        for number in range(1, count + 1):
            head, slice_ = service(number, made_up_endpoints(number))
            state.put(SERVICES, head)
            state.put(SLICES_V1, slice_)
        pipe.send(kubeconfig)
        while True:
            number, change = pipe.recv()
            state.put(SLICES_V1, service(number, made_up_endpoints(number, change=change))[1])
