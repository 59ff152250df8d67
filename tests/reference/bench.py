"""The model in the programs' place: a bench on which the rows of ``tests/packets`` can be played."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from tests.packets.harness import SECOND, SMALL, Counters, ServiceCounters, Settings
from tests.packets.names import names_of
from tests.packets.runner import Run, Verdict
from tests.packets.world import World, default_world
from tests.reference import nat
from tests.reference.tables import Tables
from tests.stateful.translate import fill, flow_key


class ModelBench:
    """Plays rows on the model alone; see :class:`tests.packets.table.Bench`."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.settings = Settings()
        self.world = World()
        self._model = fresh(family)

    def reset(self, world: World | None = None) -> None:
        """Begin anew."""
        self._model = fresh(self.family)
        self.configure(Settings())
        self.become(world or default_world(names_of(self.family)))

    def become(self, world: World) -> None:
        """Have the Services of another world."""
        fill(self._model.tables, world)
        self.world = world

    def configure(self, settings: Settings) -> None:
        """Take settings over, the clock with them."""
        self.settings = settings
        tables = self._model.tables
        tables.now = settings.now
        tables.settings.unknown_port = settings.unknown_port.name
        tables.settings.echo = settings.echo.name
        tables.settings.rejects_per_second = settings.rejects_per_second
        tables.settings.pods = settings.pods
        tables.device_address = settings.device_address

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.configure(replace(self.settings, now=self.settings.now + int(seconds * SECOND)))

    def egress(self, frame: bytes) -> Run:
        """A frame from a client."""
        return run_of(self._model.egress(frame))

    def ingress(self, frame: bytes) -> Run:
        """A frame to a client."""
        return run_of(self._model.ingress(frame))

    def counters(self) -> Counters:
        """What was counted, by reason."""
        return {reason: (row[0], row[1]) for reason, row in self._model.tables.counters.items()}

    def service_counters(self) -> ServiceCounters:
        """What was counted, by Service."""
        return {number: tuple(row) for number, row in self._model.tables.service_counters.items()}

    def entries(self, name: str) -> dict[bytes, bytes]:
        """The keys of a table: the flow tables' as the maps have them, others' in some form."""
        table = getattr(self._model.tables, name)
        keys = (flow_key(key) for key in table) if name.startswith("flows") else (repr(key).encode() for key in table)
        return dict.fromkeys(keys, b"")

    def lose(self, name: str, key: bytes) -> None:
        """Delete a flow's half."""
        table = getattr(self._model.tables, name)
        for each in [each for each in table if flow_key(each) == key]:
            del table[each]


def fresh(family: int) -> nat.Datapath:
    """A model with as many recent conversations as the programs have in these tests."""
    return nat.Datapath(Tables(family, recent=deque(maxlen=SMALL["recent"])))


def run_of(outcome: nat.Outcome) -> Run:
    """An outcome as a runner would tell it."""
    verdict = Verdict(outcome.verdict.value)
    return Run(verdict, None if verdict is Verdict.DROP else outcome.frame)
