"""The agent is killed at moments that nobody chose, while real traffic runs and Services change."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.agent import Agent
from tests.lab.clients import Tcp
from tests.lab.echo import Echo
from tests.lab.objects import Service
from tests.lab.stage import ECHO, ECHO_PORT, ECHO_TARGET
from tests.lab.steady import SteadyLoad

CHANGING = range(100, 140)
"""Numbers of the Services that change all the time."""
SEED = 5
slow = pytest.mark.slow


@dataclass
class Scene:
    """An agent under load, and Services that change beside those that the load goes to."""

    lab: Lab
    load: SteadyLoad
    agent: Agent
    random: random.Random = field(default_factory=lambda: random.Random(SEED))

    def change(self) -> None:
        """Give some of the changing Services other endpoints or none, take some away, and bring some back."""
        for number in self.random.sample(CHANGING, self.random.randint(1, len(CHANGING))):
            hosts = self.random.sample(self.lab.backends, self.random.randint(0, len(self.lab.backends)))
            self.agent.services.pop(number, None)
            if self.random.random() < 0.8:
                self.agent.services[number] = Service(number, ECHO, tuple(host.addresses for host in hosts))
        self.agent.write_unheeded(list(self.agent.services.values()))

    def live_and_die(self, longest: float) -> None:
        """Start the agent on changed objects, and kill it somewhere: while it starts, or after that amid a change.
        ``longest``: seconds that a start takes."""
        self.change()
        self.agent.launch()
        if self.random.random() < 0.7:
            time.sleep(self.random.uniform(0, longest))
        else:
            program = self.agent.program
            program.wait_for(lambda: " ready after " in program.output(), "the agent to be ready", timeout=60)
        if self.random.random() < 0.7:
            self.change()
            time.sleep(self.random.uniform(0, 0.1))
        self.agent.stop(signal.SIGKILL)


@pytest.fixture(params=[pytest.param(0, id="network-facing", marks=slow), pytest.param(1, id="workload-facing")])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Lab(pods=request.param) as lab:
        load = SteadyLoad(lab)
        yield Scene(lab, load, Agent(lab, load.services, options=["--min-sync-period=0s"]))


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=slow)])
def test_kills_at_any_moment_cost_no_request_and_no_connection(scene: Scene, kills: int) -> None:
    agent = scene.agent
    filters = agent.filters()
    assert len(filters) == 4
    agent.stop(signal.SIGKILL)
    began = time.monotonic()
    agent.start()
    longest = time.monotonic() - began
    with scene.load as load:
        agent.stop(signal.SIGKILL)
        for _ in range(kills):
            scene.live_and_die(longest)
            assert agent.filters() == filters
        tallies = load.tally()
    for tally in tallies.values():
        assert (tally.errors, tally.broken) == ((), "")
        assert tally.requests > 20 * kills
    agent.start()
    assert_served(scene)
    assert_next_start_writes_nothing(agent)
    assert_next_start_writes_the_difference(scene)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=slow)])
def test_first_starts_that_are_killed_anywhere_are_made_up_for(scene: Scene, kills: int) -> None:
    agent = scene.agent
    for _ in range(kills):
        agent.stop()
        agent.tcnat("cleanup")
        agent.launch()
        time.sleep(scene.random.uniform(0.2, 1.2))
        agent.stop(signal.SIGKILL)
        assert len(agent.filters()) <= 4
        agent.start()
        assert len(agent.filters()) == 4
        assert_next_start_writes_nothing(agent)


def assert_served(scene: Scene) -> None:
    """Every changing Service is served by one of its endpoints, and one without endpoints refuses."""
    names = {host.addresses: host.role for host in scene.lab.backends}
    with ExitStack() as stack:
        for host in scene.lab.backends:
            stack.enter_context(Echo(host, host.role, ECHO_TARGET))
        for service in scene.agent.services.values():
            for family in Family if service.number in CHANGING else ():
                if service.endpoints:
                    with Tcp(scene.lab.client, service.addresses, family, ECHO_PORT) as connection:
                        assert connection.server in {names[endpoint] for endpoint in service.endpoints}
                else:
                    with pytest.raises(ConnectionRefusedError):
                        Tcp(scene.lab.client, service.addresses, family, ECHO_PORT)


def assert_next_start_writes_nothing(agent: Agent) -> None:
    before = agent.state()
    agent.stop(signal.SIGKILL)
    agent.start()
    assert agent.state() == before
    assert "written=" not in agent.program.output()
    assert "programs attached" not in agent.program.output()


def assert_next_start_writes_the_difference(scene: Scene) -> None:
    """One Service with its two ports is new: a look-up entry for each port and the address, in each family, and slots
    and a backend id for each port."""
    agent = scene.agent
    agent.stop(signal.SIGKILL)
    new = Service(CHANGING.stop, ECHO, (scene.lab.backends[0].addresses,))
    agent.write_unheeded([*agent.services.values(), new])
    agent.start()
    [line] = [line for line in agent.program.output().splitlines() if "written=" in line]
    assert int(line.partition("written=")[2].split()[0]) < 30
