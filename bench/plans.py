"""What is compared in one go: which loads, in how many rounds, at which numbers of Services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .comparison import Work
from .loads import HTTP_SHORT, LOADS
from .loads.bulk import BULK_EIGHT, BULK_ONE
from .loads.datagrams import DATAGRAMS
from .loads.dns import DNS_QUERIES
from .loads.first import FIRST_CONNECT, FIRST_DATAGRAM
from .loads.http import HTTP_KEPT, HTTP_SHORT_AWAY

_SHORT = Work(HTTP_SHORT, rounds=7, seconds=2)
_NEW_FLOWS = (_SHORT, Work(FIRST_CONNECT, 5, 1), Work(DNS_QUERIES, 5, 1))
_EVERY = (
    *_NEW_FLOWS,
    Work(HTTP_SHORT_AWAY, 5, 2),
    Work(HTTP_KEPT, 5, 1),
    Work(FIRST_DATAGRAM, 5, 1),
    Work(DATAGRAMS, 5, 1),
    Work(BULK_ONE, 5, 1),
    Work(BULK_EIGHT, 5, 1),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The works for each number of Services, in their order."""

    works: Mapping[int, tuple[Work, ...]]
    patience: float
    """Seconds that peers may take to load their Services."""

    @property
    def runs(self) -> int:
        """How many runs each peer makes."""
        return sum(work.rounds for works in self.works.values() for work in works)


FULL = Plan({10: _EVERY, 1000: (_SHORT,), 5000: _NEW_FLOWS, 50000: _EVERY}, patience=600)
"""The number of Services matters to new flows first: the numbers in between have those alone."""
QUICK = Plan({10: tuple(Work(load, 3, 1) for load in LOADS)}, patience=30)
