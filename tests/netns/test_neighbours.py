"""News of neighbours: of those in question, and word in time whatever others do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from tcnat import neighbours
from tcnat.neighbours import NeighbourWatcher
from tests.lab.commands import wait_until
from tests.lab.lab import Lab

PERIOD = 0.3


class Watched:
    """A watcher in a lab's client, and when it had word."""

    def __init__(self, lab: Lab) -> None:
        self.host = lab.client
        self.words: list[float] = []
        self.watcher = NeighbourWatcher(lambda: self.words.append(time.monotonic()))
        with self.host.entered():
            self.watcher.start()

    def change(self, number: int) -> None:
        """A neighbour behind eth0 has another link-layer address."""
        self.host.ip(f"neigh replace {self.host.addresses.v4[:-1]}99 dev eth0 lladdr 02:00:00:00:00:{number:02x}")

    def index(self) -> int:
        """That of eth0."""
        return int(self.host.run("ip", "-o", "link", "show", "eth0").partition(":")[0])


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(neighbours, "PERIOD", PERIOD)
    with Lab(backends=0) as lab:
        made = Watched(lab)
        yield made
        made.watcher.stop()


def test_there_is_word_in_time_though_other_neighbours_change_all_the_while(watched: Watched) -> None:
    """Or the leave to hand packets on would run out."""
    end = time.monotonic() + 5 * PERIOD
    for number in itertools.cycle(range(256)):
        watched.change(number)
        if time.monotonic() > end:
            break
    assert len(watched.words) >= 2


def test_a_change_behind_a_device_in_question_is_told_of(watched: Watched) -> None:
    watched.watcher.devices = frozenset({watched.index()})
    watched.words.clear()
    began = time.monotonic()
    watched.change(1)
    wait_until(lambda: watched.words, "word of the change")
    assert watched.words[0] >= began
