"""Both sides of the comparison: every event goes to the programs and to the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from scapy.layers.l2 import Ether

from tcnat.layout import Choice
from tests.packets.harness import SECOND, Harness, Settings
from tests.packets.names import names_of
from tests.packets.world import World
from tests.reference.nat import Datapath
from tests.reference.tables import Flow, FlowKey, Pods, State, Tables
from tests.stateful.script import Become, Event, Frame, Lose, Set, Wait
from tests.stateful.translate import fill, flow_key, flow_of

Key = TypeVar("Key")
Value = TypeVar("Value")


class Mismatch(AssertionError):
    """Model and programs differ."""


class Twin:
    """Drives both and compares them. ``frames`` counts what it has sent."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.frames = 0
        self.model = Datapath(Tables(harness.family))

    def reset(self, world: World) -> None:
        """Begin anew."""
        self.harness.reset(world)
        recent: deque[FlowKey] = deque(maxlen=self.harness.loaded.maps["recent"].max_entries)
        self.model = Datapath(Tables(self.harness.family, now=self.harness.settings.now, recent=recent))
        fill(self.model.tables, world)

    def play(self, event: Event) -> bytes | None:
        """One event. Of a frame that went on or back: what became of it."""
        if isinstance(event, Frame):
            return self._frame(event)
        if isinstance(event, Wait):
            self.harness.wait(event.seconds)
            self.model.tables.now += int(event.seconds * SECOND)
        elif isinstance(event, Become):
            self.harness.become(event.world)
            fill(self.model.tables, event.world)
        elif isinstance(event, Set):
            self._configure(event)
        else:
            self._lose(event)
        return None

    def play_all(self, events: Iterable[Event]) -> None:
        """All events, and the comparison of what they left behind."""
        for event in events:
            self.play(event)
        self.compare()

    def compare(self) -> None:
        """Both have counted the same and hold the same living flows."""
        tables = self.model.tables
        ours = {reason: (row[0], row[1]) for reason, row in tables.counters.items()}
        differ("counters", self.harness.counters(), ours)
        services = {number: tuple(row) for number, row in tables.service_counters.items()}
        differ("service counters", self.harness.service_counters(), services)
        for name, table in (("flows", tables.flows), ("flows_new", tables.flows_new)):
            entries = dict(flow_of(self.harness.family, *entry) for entry in self.harness.entries(name).items())
            differ(name, self._living(entries), self._living(table))

    def _living(self, table: Mapping[FlowKey, Flow]) -> dict[FlowKey, Flow]:
        """The flows that have not expired, without what in them has no meaning yet."""
        return {key: meaningful(key, flow) for key, flow in table.items() if self.model.tables.flow_lives(key, flow)}

    def _frame(self, event: Frame) -> bytes | None:
        self.frames += 1
        egress = event.program == "egress"
        run = (self.harness.egress if egress else self.harness.ingress)(event.frame)
        outcome = (self.model.egress if egress else self.model.ingress)(event.frame)
        if run.verdict.value != outcome.verdict.value:
            raise Mismatch(
                f"tc_{event.program} of {summary(event.frame)}: the program says {run.verdict.name}, "
                f"the model {outcome.verdict.name} ({outcome.reason})"
            )
        if run.frame is not None and run.frame != outcome.frame:
            raise Mismatch(
                f"tc_{event.program} of {summary(event.frame)} ({outcome.reason})\n"
                f"  in      {event.frame.hex()}\n  program {run.frame.hex()}\n  model   {outcome.frame.hex()}\n"
                f"  program {Ether(run.frame)!r}\n  model   {Ether(outcome.frame)!r}"
            )
        return run.frame

    def _configure(self, event: Set) -> None:
        unknown_port, echo = Choice(event.unknown_port), Choice(event.echo)
        names = names_of(self.harness.family)
        pods = Pods(names.pods, event.masquerade, event.overlay)
        self.harness.configure(
            Settings(self.harness.settings.now, unknown_port, echo, event.rejects_per_second, pods, names.router)
        )
        self.model.tables.device_address = names.router
        settings = self.model.tables.settings
        settings.pods = pods
        settings.unknown_port, settings.echo = unknown_port.name, echo.name
        settings.rejects_per_second = event.rejects_per_second

    def _lose(self, event: Lose) -> None:
        key = FlowKey(*event.key)
        for name in ("flows", "flows_new"):
            self.harness.lose(name, flow_key(key))
        self.model.tables.forget(key)


def meaningful(key: FlowKey, flow: Flow) -> Flow:
    """A flow whose ``ack`` is 0 unless it is a number that was acknowledged, or one that is awaited."""
    awaited = flow.state is State.OPENING_ANSWERED and key.forward
    return flow if flow.ack_seen or awaited else replace(flow, ack=0)


def differ(what: str, program: Mapping[Key, Value], model: Mapping[Key, Value]) -> None:
    """Raise :class:`Mismatch` with what differs, if anything does."""
    wrong = [key for key in program.keys() | model.keys() if program.get(key) != model.get(key)]
    if wrong:
        lines = (f"  {key}: program {program.get(key)}, model {model.get(key)}" for key in wrong)
        raise Mismatch(f"{what} differ:\n" + "\n".join(lines))


def summary(frame: bytes) -> str:
    """A frame in words."""
    return str(Ether(frame).summary())
