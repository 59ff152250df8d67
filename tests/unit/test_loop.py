"""The agent's loop: what is done when, with a source, maps and devices of the test's own."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

import pytest

from tcnat.bpf import BpfError
from tcnat.errors import TcnatError
from tcnat.health import Health
from tcnat.layout import Family
from tcnat.loop import Event, Inbox, Loop
from tcnat.metrics import Metrics
from tcnat.objects import Problem
from tcnat.pace import Pace
from tcnat.sync import Syncer
from tcnat.wanted import Wanted

from .samples import DNS, NODE, WEB, changes, service, slice_of
from .test_sync import DNS_OBJECTS, WEB_OBJECTS, FakeStore

WALL = 1_767_225_600.0
STARTED = 100.0


class FakeSource:
    """Gives what the test puts in."""

    def __init__(self) -> None:
        self.waiting: dict[Any, Any] = {}
        self.problems: list[Problem] = []
        self.due: float | None = None
        self.polls = 0
        self.resyncs = 0
        self.synced = True

    def put(self, *objects: Any, gone: Any = ()) -> None:
        self.waiting.update(changes(*objects, gone=gone))

    def poll(self, now: float) -> dict[Any, Any]:
        self.polls += 1
        if self.due is not None and self.due <= now:
            self.due = None
        given, self.waiting = self.waiting, {}
        return given

    def deadline(self) -> float | None:
        return self.due

    def resync(self, now: float) -> None:
        self.resyncs += 1

    def start(self, wake: Any) -> None: ...
    def stop(self) -> None: ...


class FakeDevices:
    """Notes what it is asked to do."""

    def __init__(self, store: FakeStore, health: Health) -> None:
        self.store = store
        self.health = health
        self.done: list[str] = []
        self.error: TcnatError | None = None

    def start(self) -> None:
        self.written_at_start = set(self.store.kernel)
        self.health_at_start = self.health.last_updated

    def _do(self, what: str) -> None:
        self.done.append(what)
        if self.error:
            raise self.error

    def sync(self) -> None:
        self._do("sync")

    def resync(self) -> None:
        self._do("resync")


class FakeUpkeep:
    """Notes when it runs; ``sweeps`` is for the test to choose."""

    def __init__(self) -> None:
        self.sweeps = False
        self.ran: list[float] = []
        self.error: BpfError | None = None

    def run(self, now: float) -> int:
        self.ran.append(now)
        if self.error:
            raise self.error
        return 0


class NoNode:
    """The maps about a node of which nothing is asked."""

    def write(self, local: object) -> int:
        return 0


class Bench:
    """A loop after its first sync, at time STARTED."""

    def __init__(self, *objects: Any, sweeps: bool = False) -> None:
        self.now = STARTED
        self.upkeep = FakeUpkeep()
        self.upkeep.sweeps = sweeps
        self.source = FakeSource()
        self.store = FakeStore()
        self.health = Health(60, lambda: self.now)
        self.devices = FakeDevices(self.store, self.health)
        self.metrics = Metrics()
        syncer = Syncer(Wanted(NODE), self.metrics, self.health, self.wall, lambda: self.now)
        syncer.open({Family.IPV4: self.store}, {Family.IPV4: NoNode()})
        syncer.take(changes(*objects))
        self.inbox = Inbox()
        self.loop = Loop(
            inbox=self.inbox,
            source=self.source,
            syncer=syncer,
            devices=self.devices,
            upkeep=self.upkeep,
            pace=Pace(self.now, 1.0, 30.0),
            health=self.health,
            metrics=self.metrics,
            clock=lambda: self.now,
            wall=self.wall,
        )
        self.loop.begin(self.now)
        self.store.calls.clear()

    def wall(self) -> float:
        return WALL + self.now - STARTED

    def pending(self) -> tuple[float | None, ...]:
        """Services and slices that wait, by the metrics."""
        name = "kubeproxy_sync_proxy_rules_{}_changes_pending"
        return tuple(self.metrics.registry.get_sample_value(name.format(kind)) for kind in ("service", "endpoint"))

    def turn(self, *events: Event) -> None:
        self.loop.turn(self.now, set(events))


@pytest.fixture
def bench() -> Bench:
    return Bench(*WEB_OBJECTS)


def test_the_maps_are_written_before_the_programs_are_attached_and_health_comes_last(bench: Bench) -> None:
    assert bench.devices.written_at_start == {WEB}
    assert bench.devices.health_at_start is None
    assert bench.health.last_updated == WALL


def test_a_lone_change_is_in_the_maps_in_the_same_turn(bench: Bench) -> None:
    assert set(bench.store.kernel) == {WEB}
    bench.source.put(*DNS_OBJECTS)
    bench.turn(Event.OBJECTS)
    assert set(bench.store.kernel) == {WEB, DNS}


def test_a_burst_of_changes_is_few_syncs_and_loses_nothing(bench: Bench) -> None:
    for number in range(1, 5001):
        bench.now += 0.0005
        bench.source.put(service(f"s{number:04}", f"10.97.{number // 250}.{number % 250}"))
        bench.turn(Event.OBJECTS)
    assert len(bench.store.calls) <= 5
    bench.now += 1
    bench.turn()
    assert len(bench.store.kernel) == 5001


def test_what_comes_to_nothing_spends_no_token(bench: Bench) -> None:
    for _ in range(10):
        bench.turn(Event.OBJECTS)
    assert bench.store.calls == []
    assert bench.health.last_updated == bench.wall()
    bench.source.put(*DNS_OBJECTS)
    bench.turn(Event.OBJECTS)
    assert set(bench.store.kernel) == {WEB, DNS}


def test_a_change_that_the_pace_holds_back_makes_health_wait(bench: Bench) -> None:
    for number in range(3):
        bench.source.put(slice_of("web", f"10.0.0.{number + 2}"))
        bench.turn(Event.OBJECTS)
    assert bench.health.waiting_since == bench.now
    bench.now += 1.1
    bench.turn()
    assert bench.health.waiting_since is None
    assert bench.store.kernel[WEB].backends[0].address == bytes([10, 0, 0, 4])


def test_the_source_is_polled_at_its_own_deadline_and_what_comes_of_it_is_synced(bench: Bench) -> None:
    bench.source.due = bench.now + 1
    bench.source.put(gone=WEB_OBJECTS)
    bench.turn()
    assert bench.source.polls == 0
    bench.now += 1
    bench.turn()
    assert set(bench.store.kernel) == set()


def test_a_problem_alone_reaches_health(bench: Bench) -> None:
    bench.source.due = bench.now
    bench.source.problems = [Problem("a.yaml", "is empty")]
    bench.turn()
    assert bench.health.errors == ("a.yaml: is empty",)
    bench.source.problems = []
    bench.turn(Event.OBJECTS)
    assert bench.health.errors == ()


def test_a_failed_sync_is_tried_again(bench: Bench) -> None:
    bench.store.fails = 1
    bench.source.put(*DNS_OBJECTS)
    bench.turn(Event.OBJECTS)
    assert set(bench.store.kernel) == {WEB}
    assert bench.health.waiting_since is not None
    assert bench.pending() == (1, 1)
    bench.now += 1
    bench.turn()
    assert set(bench.store.kernel) == {WEB, DNS}
    assert bench.health.waiting_since is None
    assert bench.pending() == (0, 0)


def test_a_sync_that_fails_for_long_makes_it_unhealthy(bench: Bench) -> None:
    bench.store.fails = 1000
    bench.source.put(*DNS_OBJECTS)
    for _ in range(62):
        bench.turn(Event.OBJECTS)
        bench.now += 1
    assert not bench.health.report(bench.wall(), with_node=True)[0]


def test_a_resync_comes_every_sync_period_and_with_sighup(bench: Bench) -> None:
    bench.now += 29
    bench.turn()
    assert bench.source.resyncs == 0
    bench.now += 1
    bench.turn()
    assert (bench.source.resyncs, bench.devices.done) == (1, ["resync"])
    bench.turn(Event.RESYNC)
    assert (bench.source.resyncs, bench.devices.done) == (2, ["resync", "resync"])
    bench.now += 29
    bench.turn()
    assert bench.source.resyncs == 2


def test_the_maps_are_kept_up_with_each_resync(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.upkeep.error = BpfError("map flows: walk: Bad file descriptor", 9)
    bench.now += 29
    bench.turn()
    assert bench.upkeep.ran == []
    bench.now += 1
    bench.turn()
    assert bench.upkeep.ran == [bench.now]
    assert "upkeep of the maps: map flows: walk: Bad file descriptor; tried again later" in caplog.text


def test_where_there_is_no_lru_the_maps_are_swept_every_few_seconds() -> None:
    bench = Bench(sweeps=True)
    for _ in range(21):
        bench.turn()
        bench.now += 1
    assert bench.upkeep.ran == [STARTED + 5, STARTED + 10, STARTED + 15, STARTED + 20]


def test_devices_are_seen_to_when_they_change_and_an_error_there_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.devices.error = TcnatError("eth0: no clsact")
    bench.source.put(*DNS_OBJECTS)
    bench.turn(Event.DEVICES, Event.OBJECTS)
    assert bench.devices.done == ["sync"]
    assert set(bench.store.kernel) == {WEB, DNS}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "devices: eth0: no clsact; tried again at the next resync"
    ]


def test_the_loop_waits_for_events_and_ends_with_stop(bench: Bench) -> None:
    thread = threading.Thread(target=bench.loop.run)
    thread.start()
    bench.source.put(*DNS_OBJECTS)
    bench.inbox.poster(Event.OBJECTS)()
    deadline = time.monotonic() + 5
    while DNS not in bench.store.kernel and time.monotonic() < deadline:
        time.sleep(0.001)
    assert DNS in bench.store.kernel
    bench.inbox.poster(Event.STOP)()
    thread.join(5)
    assert not thread.is_alive()


def test_a_signal_handler_wakes_the_inbox_at_once() -> None:
    inbox = Inbox()
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: inbox.poster(Event.RESYNC)())
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        began = time.monotonic()
        assert inbox.take(10) == {Event.RESYNC}
        assert time.monotonic() - began < 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_inbox_gives_everything_at_once_and_waits_no_longer_than_told() -> None:
    inbox = Inbox()
    for event in (Event.OBJECTS, Event.DEVICES, Event.OBJECTS):
        inbox.poster(event)()
    assert inbox.take(None) == {Event.OBJECTS, Event.DEVICES}
    assert inbox.take(0) == set()
    assert inbox.take(0.01) == set()
