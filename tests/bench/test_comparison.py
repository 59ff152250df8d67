"""Rounds: who comes when, and what becomes of the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import pytest

from bench.comparison import compare, compared, found_slow, order, without_runs
from bench.goals import MARKS
from bench.loads import LOADS, Load, LoadFailed, Outcome
from bench.loads.servers import serving
from bench.marks import Said
from bench.peers.control import ControlPlan, control
from bench.peers.lab import PeerLab
from bench.peers.lineup import LineUp, Slow
from bench.peers.stand import Stand, TooSlow
from bench.peers.straight import EMPTY_PROGRAM
from bench.peers.tcnat import BY_STACK, TCNAT_NAME
from bench.plans import FULL, QUICK, Plan, Work
from bench.results import Results
from bench.series import NO_PROXY, Measure, Series
from tests.lab.commands import CommandFailed

RATE = Measure("rate", "requests a second", "requests/s", work="request")
DELAY = Measure("delay", "how long", "ms", more_is_better=False)


@dataclass
class Named:
    name: str


def stands(*names: str) -> list[Stand]:
    return [cast(Stand, Named(name)) for name in names]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
def test_each_round_has_everybody_once_in_another_order(count: int) -> None:
    names = [str(number) for number in range(count)]
    rounds = [order(names, number) for number in range(2 * count)]
    assert all(sorted(each) == names for each in rounds)
    first = Counter(each[0] for each in rounds)
    assert max(first.values()) - min(first.values()) <= 2
    if count > 2:
        followed = Counter(pair for each in rounds for pair in pairwise(each))
        assert max(followed.values()) < len(rounds) - 1, "somebody always comes behind the same other"


def test_an_order_is_the_same_each_time() -> None:
    assert order("abcdef", 3) == order("abcdef", 3)
    assert order("", 3) == []


def test_runs_of_one_round_stand_at_one_index() -> None:
    said: list[str] = []

    def run(stand: Stand, seconds: float) -> Outcome:
        said.append(stand.name)
        number = float(said.count(stand.name))
        return Outcome({"rate": number * seconds, "delay": 1 / number}, number / 10, failed=said.count("b") % 2)

    ticks: list[str] = []
    work = Work(Load("made up", (RATE, DELAY), run), rounds=3, seconds=2.0)
    found = compared([work], stands("a", "b"), 10, ticks.append)
    assert found[:2] == [
        Series("rate", "a", 10, (2.0, 4.0, 6.0), (0.1, 0.2, 0.3), found[0].note),
        Series("delay", "a", 10, (1.0, 1 / 2, 1 / 3)),
    ]
    assert [each.peer for each in found] == ["a", "a", "b", "b"]
    assert found[2].note == "2 failed in 3 runs"
    assert len(ticks) == 6
    assert [sorted(said[at : at + 2]) for at in (0, 2, 4)] == [["a", "b"]] * 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LoadFailed("wrk said no figures: nothing\nat all"), "in round 2 of 4: wrk said no figures"),
        (CommandFailed("nsenter --net=/x wrk -c1: status 1\nunable to connect"), "in round 2 of 4: status 1"),
        (CommandFailed("nsenter --net=/x wrk -c1: not done after 32 s"), "in round 2 of 4: not done after 32 s"),
    ],
)
def test_who_fails_keeps_the_rounds_before_and_stops_nobody_else(error: Exception, said: str) -> None:
    done = Counter[str]()

    def run(stand: Stand, seconds: float) -> Outcome:
        done[stand.name] += 1
        if stand.name == "b" and done["b"] in (2, 3, 4):
            raise error
        return Outcome({"rate": 1.0}, 0.1)

    ticks: list[str] = []
    own, other = compared([Work(Load("made up", (RATE,), run), 4, 1.0)], stands("a", "b"), 10, ticks.append)
    assert len(own.runs) == 4
    assert other == Series("rate", "b", 10, (1.0,), (0.1,), said)
    assert done == {"a": 4, "b": 4}
    assert len(ticks) == 8


def test_a_run_that_fails_once_is_made_once_more() -> None:
    done: list[float] = []

    def run(stand: Stand, seconds: float) -> Outcome:
        done.append(1.0)
        if len(done) == 2:
            raise LoadFailed("for once")
        return Outcome({"rate": float(len(done))}, 0.1)

    [series] = compared([Work(Load("made up", (RATE,), run), 3, 1.0)], stands("a"), 10)
    assert series == Series("rate", "a", 10, (1.0, 3.0, 4.0), (0.1, 0.1, 0.1), "1 of the runs not at the first try")


def test_who_did_not_load_in_time_has_series_without_runs() -> None:
    works = [Work(Load("made up", (RATE, DELAY), lambda stand, seconds: Outcome({}, 0.0)), 3, 1.0)]
    assert without_runs(works, "slow", 50000, "too slow") == [
        Series("rate", "slow", 50000, note="too slow"),
        Series("delay", "slow", 50000, note="too slow"),
    ]


def test_no_two_measures_have_the_same_key() -> None:
    keys = [measure.key for load in LOADS for measure in load.measures]
    assert len(keys) == len(set(keys))
    assert len({load.name for load in LOADS}) == len(LOADS)


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=["full", "quick"])
def test_a_plan_has_every_load_with_the_fewest_services(plan: Plan) -> None:
    fewest = min(plan.works)
    assert {work.load.name for work in plan.works[fewest]} == {load.name for load in LOADS}
    assert plan.has(EMPTY_PROGRAM, fewest)
    assert all(plan.has(NO_PROXY, services) for services in plan.works)


def test_runs_are_counted_as_they_are_made() -> None:
    work = Work(Load("made up", (RATE,), lambda stand, seconds: Outcome({}, 0.0)), 3, 1.0)
    plan = Plan({10: (work, work), 1000: (work,)}, patience=1)
    assert plan.runs(["a"]) == 9
    assert plan.runs(["a", EMPTY_PROGRAM, BY_STACK]) == 21


def test_verdicts_are_on_measures_that_there_are() -> None:
    keys = {measure.key for load in LOADS for measure in load.measures}
    assert {mark.measure for mark in MARKS} <= keys
    measured = {(work.load.measures[0].key, services) for services, works in FULL.works.items() for work in works}
    assert {(mark.measure, mark.services) for mark in MARKS if mark.measure.endswith("_rate")} <= measured


@dataclass
class NeverLoads:
    name: str = "slow"
    tried: int = 0

    @contextmanager
    def standing(self, lab: PeerLab, services: int, patience: float = 1.0) -> Iterator[Stand]:
        self.tried += 1
        raise TooSlow(self.name, services, patience)
        yield


@pytest.mark.parametrize(("slow", "tried"), [({}, 2), (None, 4)], ids=["remembered", "not remembered"])
def test_who_is_too_slow_is_tried_once_with_each_number(slow: Slow | None, tried: int) -> None:
    peer = NeverLoads()
    for _ in range(2):  # two line-ups that know of each other
        line_up = LineUp(cluster=False, slow=slow)
        for services in (10, 1000):
            with pytest.raises(TooSlow, match=f"slow: {services:,} Services"), line_up.standing(peer, services):
                pass
    assert peer.tried == tried


@pytest.mark.root
def test_requests_that_fail_while_backends_restart_are_counted_side_by_side() -> None:
    with LineUp(cluster=False, only=(NO_PROXY, TCNAT_NAME)) as line_up:
        found = control(line_up, {10: ControlPlan(loadings=0, changes=0, restarts=1)})
    assert [(each.measure, each.peer, each.services) for each in found] == [
        ("restarts_failed", NO_PROXY, 10),
        ("restarts_failed", TCNAT_NAME, 10),
    ]
    for each in found:
        [failed], asked = each.runs, int(each.note.removeprefix("of "))
        assert 0 <= failed < asked
        assert asked > 100


@pytest.mark.root
def test_two_peers_are_compared_for_real() -> None:
    [dns] = [load for load in LOADS if load.name == "dns"]
    with LineUp(cluster=False, only=(NO_PROXY, TCNAT_NAME)) as lineup, serving(lineup.lab):
        results = compare(lineup, Plan({10: (Work(dns, 2, 0.2),)}, patience=30))
    assert [(each.peer, each.services, len(each.runs), len(each.cpu)) for each in results.series] == [
        (NO_PROXY, 10, 2, 2),
        (TCNAT_NAME, 10, 2, 2),
    ]
    assert {each.key for each in results.measures} == {"dns_rate"}
    assert {each.mark.services for each in results.verdicts} == {10}
    assert all(each.said is Said.NOT_MEASURED for each in results.verdicts), "there was no HTTP"


def test_the_control_plane_knows_who_was_too_slow_in_the_comparison() -> None:
    work = FULL.works[50000]
    slow = TooSlow("slow", 50000, 180.0)
    series = without_runs(work, slow.peer, slow.services, slow.note)
    series += without_runs(work, "other", 50000, "in round 1 of 5: status 1")
    series += [Series(work[0].load.measures[0].key, "fast", 50000, (1.0,), note=slow.note)]
    [(found, error)] = found_slow(Results(series=series)).items()
    assert found == ("slow", 50000)
    assert error.seconds == slow.seconds
