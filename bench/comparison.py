"""Every load on every peer, in rounds: in each round each peer once, so that what else the machine does meets all."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import click

from tests.lab.commands import CommandFailed

from .goals import MARKS
from .loads import Load, LoadFailed, Outcome
from .loads.http import HTTP_SHORT
from .machine import machine
from .marks import verdicts
from .peers.lineup import AtWork, LineUp, Slow
from .peers.stand import Stand, TooSlow
from .plans import Plan, Work
from .progress import Progress
from .results import Results
from .series import Measure, Series

_Thing = TypeVar("_Thing")
_TRIES = 3
_NOT_LOADED = re.compile(r"not loaded within ([\d.]+) s")
_MOST = 500
"""Characters of an error that are printed."""


@dataclass(slots=True)
class _Runs:
    """What one peer did under one load, round by round."""

    outcomes: list[Outcome] = field(default_factory=list)
    again: int = 0
    """Runs that came to nothing at first."""
    ended: str = ""
    """Why there are no more runs."""

    def series(self, load: Load, peer: str, services: int) -> list[Series]:
        """A series for each of the load's measures. CPU time stands at the first."""
        cpu = tuple(each.cpu for each in self.outcomes)
        return [
            Series(
                measure.key,
                peer,
                services,
                tuple(each.values[measure.key] for each in self.outcomes),
                cpu if measure.work else (),
                self._note(measure),
            )
            for measure in load.measures
        ]

    def _note(self, measure: Measure) -> str:
        failed = sum(each.failed for each in self.outcomes) if measure.work else 0
        words = [
            f"{failed:,} failed in {len(self.outcomes)} runs" if failed else "",
            f"{self.again} of the runs not at the first try" if self.again else "",
            self.ended,
        ]
        return "; ".join(filter(None, words))


def compare(lineup: LineUp, plan: Plan) -> Results:
    """Every work of the plan on all peers, with verdicts on what came of it. The line-up is the caller's to build, with
    what answers the loads (:func:`bench.loads.servers.serving`)."""
    series: list[Series] = []
    with Progress(plan.runs(peer.name for peer in lineup.peers)) as progress:
        for services, works in plan.works.items():
            progress.stage(f"{services:,} Services: loading")
            without = [peer.name for peer in lineup.peers if not plan.has(peer.name, services)]
            with lineup.at_work(services, plan.patience, without) as at_work:
                series += _at_work(at_work, services, works, progress)
    measures = {measure.key: measure for work in plan.every for measure in work.load.measures}
    return Results(machine(), list(measures.values()), series, verdicts=verdicts(plan.of(MARKS), series))


def _at_work(at_work: AtWork, services: int, works: Sequence[Work], progress: Progress) -> Iterator[Series]:
    yield from compared(works, at_work.stands, services, progress.step)
    for slow in at_work.too_slow:
        yield from without_runs(works, slow.peer, services, slow.note)
        progress.skip(sum(work.rounds for work in works))


def order(things: Sequence[_Thing], number: int) -> list[_Thing]:
    """In which order they come in a round, from 0 on: shuffled, then turned by one place with each round, and
    backwards in each second one. So nobody always comes first, and nobody always comes behind the same other.
    """
    shuffled = list(things)
    random.Random(len(shuffled)).shuffle(shuffled)  # the same for every run of the bench
    at = number % len(shuffled) if shuffled else 0
    turned = shuffled[at:] + shuffled[:at]
    return turned[::-1] if number % 2 else turned


def compared(
    works: Iterable[Work], stands: Sequence[Stand], services: int, tick: Callable[[str], None] = lambda _: None
) -> list[Series]:
    """One load after the other, each in its rounds over all stands. ``tick`` is told after each run what it was of.

    A run that comes to nothing is made once more, and again. If that comes to nothing too, it ends that peer's runs of
    that load: its series say so, and have the rounds before.
    """
    return [series for work in works for series in _rounds(work, stands, services, tick)]


def _rounds(work: Work, stands: Sequence[Stand], services: int, tick: Callable[[str], None]) -> list[Series]:
    runs: defaultdict[str, _Runs] = defaultdict(_Runs)
    for number in range(work.rounds):
        for stand in order(stands, number):
            if not runs[stand.name].ended:
                _run(work, stand, runs[stand.name], f"in round {number + 1} of {work.rounds}")
            tick(f"{services:,} Services, {work.load.name}")
    return [each for stand in stands for each in runs[stand.name].series(work.load, stand.name, services)]


def _run(work: Work, stand: Stand, own: _Runs, when: str) -> None:
    for tried in range(1, _TRIES + 1):
        try:
            own.outcomes.append(work.load.run(stand, work.seconds))
        except (LoadFailed, CommandFailed, TimeoutError) as error:
            click.echo(f"{stand.name}, {work.load.name}, {when}: {str(error)[:_MOST]}", err=True)
            if tried == _TRIES:
                own.ended = f"{when}: {_in_short(error)}"
        else:
            own.again += tried > 1
            return


def without_runs(works: Iterable[Work], peer: str, services: int, note: str) -> list[Series]:
    """The series of a peer that is not at work; ``note``: why."""
    return [Series(measure.key, peer, services, note=note) for work in works for measure in work.load.measures]


def found_slow(results: Results) -> Slow:
    """Who did not load how many Services in time, by what a comparison has left."""
    runless = (each for each in results.series if each.measure == HTTP_SHORT.measures[0].key and not each.runs)
    found = ((each.peer, each.services, _NOT_LOADED.fullmatch(each.note)) for each in runless)
    return {(peer, services): TooSlow(peer, services, float(match[1])) for peer, services, match in found if match}


def _in_short(error: Exception) -> str:
    """What came of it, without the command that it came of and all that that said."""
    found = re.search(r"(status -?\d+|not done after .*)$", str(error), re.MULTILINE)
    return found[1] if found else str(error).split(": ", 1)[0].split("\n", 1)[0]
