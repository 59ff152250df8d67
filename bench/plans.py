"""What is compared in one go: which loads, in how many rounds, at which numbers of Services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .loads import LOADS, Load
from .loads.bulk import BULK_EIGHT, BULK_ONE
from .loads.datagrams import DATAGRAMS
from .loads.dns import DNS_QUERIES
from .loads.first import FIRST_CONNECT, FIRST_DATAGRAM
from .loads.http import HTTP_KEPT, HTTP_SHORT, HTTP_SHORT_AWAY
from .marks import Mark
from .peers.straight import EMPTY_PROGRAM
from .peers.tcnat import BY_STACK, TO_DEVICE


@dataclass(frozen=True, slots=True)
class Work:
    """A load, in how many rounds, and how many seconds each of its runs takes."""

    load: Load
    rounds: int
    seconds: float


_SHORT = Work(HTTP_SHORT, rounds=11, seconds=1)
"""What most marks are for: 11 rounds leave two on each side out of the interval."""
_AWAY = Work(HTTP_SHORT_AWAY, rounds=8, seconds=1)
_NEW_FLOWS = (_SHORT, Work(FIRST_CONNECT, 5, 0.6), Work(DNS_QUERIES, 5, 0.6))
_EVERY = (
    *_NEW_FLOWS,
    _AWAY,
    Work(HTTP_KEPT, 5, 1),
    Work(FIRST_DATAGRAM, 5, 0.6),
    Work(DATAGRAMS, 5, 0.6),
)
_BULK = (Work(BULK_ONE, 5, 1), Work(BULK_EIGHT, 5, 1))
_PARTS = (EMPTY_PROGRAM, TO_DEVICE, BY_STACK)
"""Peers that only tell what a part of tcnat costs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The works for each number of Services, in their order."""

    works: Mapping[int, tuple[Work, ...]]
    patience: float
    """Seconds that peers may take to load their Services."""

    @property
    def every(self) -> Iterator[Work]:
        """All works, one after the other."""
        return (work for works in self.works.values() for work in works)

    def has(self, peer: str, services: int) -> bool:
        """Whether a peer is compared with that many Services: those that only tell what a part of tcnat costs are
        compared with the first number alone."""
        return peer not in _PARTS or services == next(iter(self.works))

    def of(self, marks: Iterable[Mark]) -> list[Mark]:
        """Those marks that are for its numbers of Services."""
        return [mark for mark in marks if {mark.services, mark.than} - {0} <= self.works.keys()]

    def runs(self, peers: Iterable[str]) -> int:
        """How many runs these peers make."""
        return sum(
            work.rounds
            for peer in peers
            for services, works in self.works.items()
            if self.has(peer, services)
            for work in works
        )


FULL = Plan(
    {10: (*_EVERY, *_BULK), 1000: (Work(HTTP_SHORT, 5, 1),), 5000: _NEW_FLOWS, 50000: _EVERY},
    patience=210,
)
"""The number of Services matters to new flows first: the numbers in between have those alone, and with many of them no
bulk is moved, of which a packet in forty is looked at."""
QUICK = Plan({10: tuple(Work(load, 3, 1) for load in LOADS)}, patience=30)
