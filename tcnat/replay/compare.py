"""Holding what leaves against a golden capture, as both stream by.

Packets are paired in order. Where two do not match, the streams are lined up again at the nearest packets, within a
window, that have the same time stamp or the same bytes: one packet too many or too few is then one difference, not a
cascade. Time stamps themselves are not compared: a golden capture may come from elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tcnat.replay.capture import Capture, CaptureError, Packet
from tcnat.replay.fate import Fate

WINDOW = 32
"""How many packets of each stream are looked at to line them up again."""


class Kind(StrEnum):
    """How what leaves differs from the golden capture."""

    CHANGED = "differs"
    MISSING = "missing"
    EXTRA = "not expected"


class Difference(NamedTuple):
    """One difference. ``fate`` is the packet's (of a missing one: that of the dropped packet with its time stamp)."""

    kind: Kind
    fate: Fate | None
    golden: Packet | None


@dataclass(slots=True)
class Result:
    """How many packets were equal, how many differences of each kind there are, and the first of them."""

    equal: int = 0
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    first: list[Difference] = field(default_factory=list)
    broken: CaptureError | None = None
    """How the golden capture is broken: what lies behind was not compared."""

    @property
    def differences(self) -> int:
        """All differences."""
        return sum(self.counts.values())


class Comparison:
    """Is given every packet in order (:meth:`put`), then asked once for the :meth:`result`. ``limit`` differences are
    kept."""

    def __init__(self, golden: Capture, limit: int) -> None:
        self._golden: Iterator[Packet] = golden.packets()
        self._limit = limit
        self._result = Result()
        self._ours: deque[Fate] = deque()
        self._theirs: deque[Packet] = deque()
        self._dropped: deque[Fate] = deque(maxlen=WINDOW * 2)

    def put(self, fate: Fate) -> None:
        """The next packet."""
        if self._result.broken is not None:
            return
        if fate.data is None:
            self._dropped.append(fate)
            return
        self._ours.append(fate)
        if len(self._ours) > WINDOW or self._is_next(fate):
            self._step()

    def result(self) -> Result:
        """Compare what is left of both streams, and tell."""
        while self._result.broken is None and (self._ours or self._fill(1)):
            self._step()
        return self._result

    def _is_next(self, fate: Fate) -> bool:
        return len(self._ours) == 1 and bool(self._fill(1)) and _equal(fate, self._theirs[0])

    def _fill(self, count: int) -> int:
        while len(self._theirs) < count:
            try:
                packet = next(self._golden, None)
            except CaptureError as error:
                self._result.broken = error
                break
            if packet is None:
                break
            self._theirs.append(packet)
        return len(self._theirs)

    def _step(self) -> None:
        if not self._fill(1):
            self._differ(Kind.EXTRA, self._ours.popleft(), None)
        elif not self._ours:
            self._missing(self._theirs.popleft())
        elif _equal(self._ours[0], self._theirs[0]):
            self._ours.popleft()
            self._theirs.popleft()
            self._result.equal += 1
        else:
            self._line_up()

    def _line_up(self) -> None:
        """Take what differs from both streams, up to where they match again (the heads alone if nowhere)."""
        self._fill(WINDOW)
        extra, missing = self._nearest() or (1, 1)
        for _ in range(min(extra, missing)):
            self._differ(Kind.CHANGED, self._ours.popleft(), self._theirs.popleft())
        for _ in range(extra - missing):
            self._differ(Kind.EXTRA, self._ours.popleft(), None)
        for _ in range(missing - extra):
            self._missing(self._theirs.popleft())

    def _nearest(self) -> tuple[int, int] | None:
        """How many packets of (ours, theirs) to leave behind so that the next ones match; None if none do."""
        ours, theirs = list(self._ours)[:WINDOW], list(self._theirs)[:WINDOW]
        if ours[0].packet.time == theirs[0].time:
            time = theirs[0].time
            ours = [fate for fate in ours if fate.packet.time == time]
            theirs = [packet for packet in theirs if packet.time == time]
            return _search(ours, theirs, _equal)
        return _search(ours, theirs, _alike)

    def _missing(self, golden: Packet) -> None:
        dropped = next((fate for fate in self._dropped if fate.packet.time == golden.time), None)
        self._differ(Kind.MISSING, dropped, golden)

    def _differ(self, kind: Kind, fate: Fate | None, golden: Packet | None) -> None:
        self._result.counts[kind] += 1
        if len(self._result.first) < self._limit:
            self._result.first.append(Difference(kind, fate, golden))


def _search(ours: list[Fate], theirs: list[Packet], match: Callable[[Fate, Packet], bool]) -> tuple[int, int] | None:
    for distance in range(1, len(ours) + len(theirs) - 1):
        for mine in range(max(0, distance - len(theirs) + 1), min(distance, len(ours) - 1) + 1):
            if match(ours[mine], theirs[distance - mine]):
                return mine, distance - mine
    return None


def _equal(fate: Fate, golden: Packet) -> bool:
    return (fate.data, fate.length, fate.packet.link_type) == (golden.data, golden.length, golden.link_type)


def _alike(fate: Fate, golden: Packet) -> bool:
    return fate.packet.time == golden.time or fate.data == golden.data
