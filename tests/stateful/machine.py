"""The hypothesis machine: what can happen, in any order."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tcnat.layout import Choice
from tests.packets.harness import Harness
from tests.packets.names import names_of
from tests.stateful.minimise import minimise
from tests.stateful.script import Become, Event, Set, Wait, write
from tests.stateful.traffic import Traffic
from tests.stateful.twin import Mismatch, Twin
from tests.stateful.worlds import FATES, STATES, start_world, with_endpoint, with_front_end

BUILD = Path(__file__).parents[2] / "build"
PAUSES = (0.5, 1, 5, 11, 29, 31, 61, 121, 181, 599, 601, 3601, 86401)
"""Seconds, on both sides of the time-outs."""
FRONT_END_STATES = (*STATES, "gone", "serves", "serves", "serves with other backends", "remembers clients")
BURST = 400
"""Random bytes for a burst of traffic; a frame takes about ten."""


class DatapathMachine(RuleBasedStateMachine):
    """A world, its traffic, and time. Model and programs go through all of it together."""

    def __init__(self, harness: Harness, count: list[int]) -> None:
        super().__init__()
        self._twin = Twin(harness)
        self._count = count
        self._events: list[Event] = []
        self._names = names_of(harness.family)
        self._start = start_world(self._names)
        self._world = self._start
        self._traffic = Traffic(harness.family)
        self._generation = 1

    @initialize()
    def begin(self) -> None:
        """A fresh world."""
        self._twin.reset(self._start)

    @rule(seed=st.binary(min_size=8, max_size=8))
    def traffic_flows(self, seed: bytes) -> None:
        """A burst of packets. Hypothesis likes to draw the same again, so what has happened before counts, too."""
        history = len(self._events).to_bytes(4, "big")
        events = self._traffic.events(Random(seed + history).randbytes(BURST))
        result: bytes | None = None
        while True:
            try:
                event = events.send(result) if result is not None else next(events)
            except StopIteration:
                break
            result = self._happen(event)
        self._check()

    @rule(pause=st.sampled_from(PAUSES))
    def time_passes(self, pause: float) -> None:
        """The clock moves."""
        self._happen(Wait(pause))

    @rule(number=st.integers(0, 7), fate=st.sampled_from(FATES))
    def an_endpoint_changes(self, number: int, fate: str) -> None:
        """An endpoint leaves, moves or goes for good; later ones may bring it back."""
        self._generation += 1
        start = self._start.endpoints[number]
        self._world = with_endpoint(self._world, start, fate, self._generation, self._names.backend_three)
        self._happen(Become(self._world))

    @rule(number=st.integers(0, 15), state=st.sampled_from(FRONT_END_STATES))
    def a_front_end_changes(self, number: int, state: str) -> None:
        """A Service loses its endpoints, is deleted, comes back, or gets others."""
        self._world = with_front_end(self._world, self._start.front_ends[number], state)
        self._happen(Become(self._world))

    @rule(
        unknown_port=st.sampled_from((Choice.PASS, Choice.DROP, Choice.REJECT)),
        echo=st.sampled_from((Choice.ANSWER, Choice.DROP, Choice.PASS)),
        rejects=st.sampled_from((0, 1, 3, 1000)),
        masquerade=st.sampled_from(("nobody", "nobody", "outside", "all")),
        overlay=st.booleans(),
    )
    def somebody_configures(
        self, *, unknown_port: Choice, echo: Choice, rejects: int, masquerade: str, overlay: bool
    ) -> None:
        """The settings change."""
        self._happen(Set(unknown_port, echo, rejects, masquerade, overlay))

    def teardown(self) -> None:
        """Count what was sent."""
        self._count[0] += self._twin.frames

    def _happen(self, event: Event) -> bytes | None:
        self._events.append(event)
        try:
            return self._twin.play(event)
        except Mismatch as mismatch:
            raise self._report(mismatch) from None

    def _check(self) -> None:
        try:
            self._twin.compare()
        except Mismatch as mismatch:
            raise self._report(mismatch) from None

    def _report(self, mismatch: Mismatch) -> Mismatch:
        """The mismatch of the smallest run that still shows one, kept in a capture."""
        family = self._twin.harness.family
        events = minimise(self._events, self._fails)
        path = BUILD / f"mismatch-ipv{int(family)}.pcapng"
        write(path, family, events)
        told = self._failure(events) or mismatch
        return Mismatch(
            f"{told}\n\n{len(events)} events show it, in {path.relative_to(BUILD.parent)}; to run them again:\n"
            f"    .venv/bin/python -m tests.stateful.replay {path.relative_to(BUILD.parent)}"
        )

    def _fails(self, events: list[Event]) -> bool:
        return self._failure(events) is not None

    def _failure(self, events: list[Event]) -> Mismatch | None:
        self._twin.reset(self._start)
        try:
            self._twin.play_all(events)
        except Mismatch as mismatch:
            return mismatch
        return None
