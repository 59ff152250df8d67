"""Each load once, for a moment, on the backends themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bench.loads import LOADS, Load
from bench.loads.datagrams import arrived
from bench.loads.load import quantile, spending
from bench.loads.servers import serving
from bench.peers.lab import PeerLab
from bench.peers.stand import Stand
from bench.peers.straight import NoProxy

SECONDS = 0.3


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    peer = NoProxy()
    with PeerLab([peer.name]) as lab, serving(lab), peer.standing(lab, 0) as standing:
        yield standing


@pytest.mark.root
@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_a_run_has_a_value_for_each_measure(stand: Stand, load: Load) -> None:
    outcome = load.run(stand, SECONDS)
    assert outcome.values.keys() == {measure.key for measure in load.measures}
    assert all(value > 0 for value in outcome.values.values())
    assert outcome.failed == 0
    assert load.measures[0].work
    assert 0 < outcome.cpu < 100


@pytest.mark.root
def test_every_backend_has_its_share_of_the_packets(stand: Stand) -> None:
    [load] = [each for each in LOADS if each.name == "datagrams"]
    before = [arrived([backend]) for backend in stand.backends]
    load.run(stand, SECONDS)
    assert all(arrived([backend]) - old > 100 for backend, old in zip(stand.backends, before, strict=True))
    time.sleep(0.1)
    after = arrived(stand.backends)
    time.sleep(0.1)
    assert arrived(stand.backends) - after < 50, "it goes on"


def test_a_loop_spends_a_cpu() -> None:
    with spending() as spent:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    assert spent.cpu >= 0.25
    assert spent.seconds >= 0.3


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(value) for value in range(1, 1001)]
    assert [quantile(values, share) for share in (0.5, 0.99, 0.999)] == [501, 991, 1000]
    assert quantile([3.0], 0.99) == 3.0
