"""The labs in which real sockets speak through tcnat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.stage import Stage, stage


class Scenes:
    """Labs with a running agent, made when they are first asked for, and again when their agent has ended since."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[int, Stage] = {}

    def with_pods(self, pods: int) -> Stage:
        """The lab with so many pods."""
        known = self._made.get(pods)
        if known is None or not known.agent.program.running:
            lab = self._stack.enter_context(Lab(pods=pods))
            known = self._made[pods] = self._stack.enter_context(stage(lab))
        return known


@pytest.fixture(scope="session")
def scenes() -> Iterator[Scenes]:
    """The labs that the modules share."""
    with ExitStack() as stack:
        yield Scenes(stack)


@pytest.fixture(scope="module", params=[0, 2], ids=["network-facing", "workload-facing"])
def scene(request: pytest.FixtureRequest, scenes: Scenes) -> Stage:
    """The agent on a device of each role: eth0 of a pod VM, and the host's ends of two pods' veths.

    Tests share it, and make Services of their own. Those that harm it need a lab of their own.
    """
    return scenes.with_pods(request.param)


@pytest.fixture(params=[Family.IPV4, Family.IPV6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> Family:
    """Each test that asks for it runs once for each address family."""
    found: Family = request.param
    return found
