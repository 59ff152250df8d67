"""Another version of tcnat takes over under traffic, and the first one again: with other programs, and with another
layout of the maps."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.agent import Agent
from tests.lab.clients import Tcp
from tests.lab.echo import Echo
from tests.lab.objects import Service
from tests.lab.stage import ECHO, ECHO_PORT, ECHO_TARGET
from tests.lab.steady import SteadyLoad
from tests.lab.versions import Version, variant

Edits = dict[str, dict[str, str]]
OTHER_PROGRAMS: Edits = {"bpf/follow.h": {"#define RST_WINDOW (1u << 24)": "#define RST_WINDOW (1u << 23)"}}
_SERVICES = {
    '"services", MapType.HASH, SERVICE_KEY, SERVICE, 262144, NO_PREALLOC': (
        '"services", MapType.HASH, SERVICE_KEY, SERVICE, 262144'
    )
}
OTHER_MAPS: Edits = {
    "tcnat/layout.py": {
        **_SERVICES,
        '"flows", MapType.LRU_HASH, FLOW_KEY, FLOW, 131072': '"flows", MapType.LRU_HASH, FLOW_KEY, FLOW, 131072, 2',
    }
}
"""Services, and with them slots and backends, are made anew, and so are the flows (2: BPF_F_NO_COMMON_LRU)."""
OTHER_STRUCTS: Edits = {
    "bpf/types.h": {
        "    __u32 backend;\n    __u32 generation;\n    __u32 service;\n": (
            "    __u32 colour;\n    __u32 backend;\n    __u32 generation;\n    __u32 service;\n"
        )
    },
    "tcnat/layout.py": {
        **_SERVICES,
        '("backend", "I"),\n        ("generation", "I"),\n        ("service", "I"),': (
            '("colour", "I"),\n        ("backend", "I"),\n        ("generation", "I"),\n        ("service", "I"),'
        ),
    },
}
"""Flows have one more field, in their middle, and so the programs are others, too."""
OTHER_VERSION: Edits = {"tcnat/layout.py": {"LAYOUT_VERSION = 1\n": "LAYOUT_VERSION = 2\n"}}
slow = pytest.mark.slow
SEED = 6
KILLS = 10


@dataclass
class Scene:
    """An agent under load, and a connection of each family that nothing but its flow keeps alive."""

    lab: Lab
    load: SteadyLoad
    agent: Agent
    moved: list[Tcp]
    """To a Service whose endpoint is another by now: who picks a backend for them again breaks them."""

    def start(self, version: Version) -> str:
        """Have this version take over; what its agent said."""
        self.agent.stop(signal.SIGTERM)
        self.agent.version = version
        self.agent.start()
        program = self.agent.program
        program.wait_for(lambda: " ready after " in program.output(), "the agent to be ready", timeout=60)
        return program.output()

    def programs(self) -> set[str]:
        """The ids of the programs in the device's filters, of which there are four."""
        filters = self.agent.filters()
        assert len(filters) == 4
        return {match[1] for line in filters if (match := re.search(r" id (\d+) ", line))}

    def sets(self) -> list[str]:
        """The sets of maps that are pinned, and in each the programs' pins."""
        families = sorted(self.lab.pins.glob("*/ipv4"))
        return [f"{path.parent.name}: {len(list(path.glob('tails_*')))}" for path in families]

    def assert_connections_live(self) -> None:
        for connection in self.moved:
            assert connection.echo(b"x" * 50_000) == b"x" * 50_000


@pytest.fixture(params=[pytest.param(0, id="network-facing", marks=slow), pytest.param(1, id="workload-facing")])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Lab(pods=request.param) as lab, ExitStack() as stack:
        for host in lab.backends:
            stack.enter_context(Echo(host, host.role, ECHO_TARGET))
        load = SteadyLoad(lab)
        agent = Agent(lab, load.services, options=["--min-sync-period=0s"])
        moving = Service(9, ECHO, (lab.backends[0].addresses,))
        agent.put(moving)
        moved = [stack.enter_context(Tcp(lab.client, moving.addresses, family, ECHO_PORT)) for family in Family]
        agent.put(moving.with_endpoints([lab.backends[1].addresses]))
        yield Scene(lab, load, agent, moved)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the other versions' bytecode is kept from test to test."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    "edits",
    [
        pytest.param(OTHER_MAPS, id="other maps"),
        pytest.param(OTHER_PROGRAMS, id="other programs", marks=slow),
        pytest.param(OTHER_STRUCTS, id="other structs", marks=slow),
    ],
)
def test_an_upgrade_and_the_way_back_cost_no_request_and_no_connection(scene: Scene, edits: Edits, cache: Path) -> None:
    own, other = scene.agent.version, variant(scene.lab.directory / "other", edits, cache)
    programs, [pinned] = scene.programs(), scene.sets()
    with scene.load as load:
        for version in (other, own):
            assert "took over from the programs of another version" in scene.start(version)
            assert not scene.programs() & programs
            programs = scene.programs()
            scene.assert_connections_live()
            [now] = scene.sets()
            assert (now == pinned) is (version is own or edits is OTHER_PROGRAMS)
        assert "took over" not in scene.start(own)
        assert scene.programs() == programs
        tallies = load.tally()
    for tally in tallies.values():
        assert (tally.errors, tally.broken) == ((), "")
        assert tally.requests > 100


@slow
def test_another_layout_version_begins_with_empty_maps_and_serves_at_once(scene: Scene, cache: Path) -> None:
    own, other = scene.agent.version, variant(scene.lab.directory / "other", OTHER_VERSION, cache)
    for version, name in ((other, "v2-"), (own, "v1-")):
        scene.start(version)
        [pinned] = scene.sets()
        assert pinned.startswith(name)
        scene.programs()
        with scene.load as load:
            tallies = load.tally()
        for tally in tallies.values():
            assert (tally.errors, tally.broken) == ((), "")
            assert tally.requests


@slow
def test_a_change_of_version_may_be_interrupted_anywhere(scene: Scene, cache: Path) -> None:
    own, other = scene.agent.version, variant(scene.lab.directory / "other", OTHER_STRUCTS, cache)
    scene.start(other)  # compiles
    began = time.monotonic()
    scene.start(own)
    longest = time.monotonic() - began
    scene.agent.stop(signal.SIGKILL)
    dice = random.Random(SEED)
    with scene.load as load:
        for turn in range(KILLS):
            scene.agent.version = (other, own)[turn % 2] if dice.random() < 0.7 else own
            scene.agent.launch()
            time.sleep(dice.uniform(0.2, longest))
            scene.agent.stop(signal.SIGKILL)
            scene.assert_connections_live()
        tallies = load.tally()
    for tally in tallies.values():
        assert (tally.errors, tally.broken) == ((), "")
    scene.start(own)
    assert len(scene.sets()) == 1
    scene.programs()
    scene.assert_connections_live()
