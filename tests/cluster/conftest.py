"""One cluster for all tests here that need a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.lab import Lab
from tests.lab.agent import BareAgent
from tests.lab.echo import Echo
from tests.lab.stage import ECHO_TARGET

from . import binaries
from .apiserver import ApiServer
from .objects import node

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
