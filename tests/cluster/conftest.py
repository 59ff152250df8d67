"""One cluster for all tests here that need a real one, and a stand-in server for each of those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tcnat.sources.kubernetes import reflector
from tests.lab import Lab
from tests.lab.agent import BareAgent
from tests.lab.echo import Echo
from tests.lab.stage import ECHO_TARGET

from . import binaries
from .apiserver import ApiServer
from .following import Following, endpoint_slice, service
from .objects import node
from .standin import SERVICES, SLICES_V1, StandIn, serving

NODE = "tcnat"
"""The name of the node that tcnat serves."""


@dataclass(slots=True)
class Cluster:
    """A lab whose node has one pod, with an echo server on each backend, and an API server."""

    lab: Lab
    server: ApiServer
    binaries: binaries.Binaries

    def agent(self, *options: str) -> BareAgent:
        """An agent for the lab's node, not started yet; it has the administrator's rights unless told otherwise."""
        given = " ".join(options)
        kubeconfig = [] if "--kubeconfig" in given else [f"--kubeconfig={self.server.kubeconfig}"]
        periods = ["--sync-period=1h", "--min-sync-period=0s"]
        return BareAgent(self.lab, [*kubeconfig, *periods, f"--hostname-override={NODE}", "--v=4", *options])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster; its API server has a Node for the lab's, and no Service but its own."""
    built = binaries.found()
    with Lab(backends=3, pods=1) as lab, ExitStack() as stack:
        for backend in lab.backends:
            stack.enter_context(Echo(backend, backend.role, ECHO_TARGET))
        server = ApiServer(lab, lab.add_host("apiserver"), built)
        server.apply(node(NODE))
        yield Cluster(lab, server, built)


@pytest.fixture
def new_agent(cluster: Cluster) -> Iterator[Callable[..., BareAgent]]:
    """Makes agents (see :meth:`Cluster.agent`); in the end they are stopped, and their pins and filters removed."""
    made: list[BareAgent] = []

    def make(*options: str) -> BareAgent:
        made.append(cluster.agent(*options))
        return made[-1]

    yield make
    for agent in made:
        agent.stop()
        agent.tcnat("cleanup")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off and wait as usual, but a hundred times faster."""
    monkeypatch.setattr(reflector, "FIRST_BACK_OFF", 0.01)
    monkeypatch.setattr(reflector, "LAST_BACK_OFF", 0.05)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a stand-in server's certificate and kubeconfig."""
    return tmp_path_factory.mktemp("standin")


@pytest.fixture
def server(certificates: Path) -> Iterator[tuple[StandIn, Path]]:
    """A stand-in server with one Service, and a kubeconfig for it."""
    with serving(certificates) as (state, kubeconfig):
        state.put(SERVICES, service())
        state.put(SLICES_V1, endpoint_slice("10.1.0.1"))
        yield state, kubeconfig


@pytest.fixture
def following(server: tuple[StandIn, Path]) -> Iterator[Following]:
    """A source in step with that server."""
    made = Following(server[1])
    yield made.synced()
    made.source.stop()
