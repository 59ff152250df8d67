"""When syncs run: the rule of kube-proxy's BoundedFrequencyRunner, with a clock of the test's own."""

from __future__ import annotations

import pytest

from tcnat.pace import Pace

MIN, MAX = 1.0, 30.0


@pytest.fixture
def pace() -> Pace:
    return Pace(100.0, MIN, MAX)


def test_a_lone_change_is_applied_at_once(pace: Pace) -> None:
    assert not pace.sync_due(100.0)
    pace.want(107.0)
    assert pace.sync_due(107.0)
    assert pace.deadline(107.0) == 107.0


def test_of_a_burst_two_syncs_run_at_once_and_then_one_a_period(pace: Pace) -> None:
    ran = []
    now = 100.0
    while now < 105.0:
        pace.want(now)
        if pace.sync_due(now):
            ran.append(round(now, 2))
            pace.synced(now)
        now += 0.05
    assert ran == pytest.approx([100.0, 100.05, 101.05, 102.05, 103.05, 104.05], abs=0.11)


def test_5000_changes_in_two_seconds_are_few_syncs(pace: Pace) -> None:
    syncs = 0
    for change in range(5000):
        now = 100.0 + change * 0.0004
        pace.want(now)
        if pace.sync_due(now):
            syncs += 1
            pace.synced(now)
    assert syncs <= 4
    assert pace.deadline(102.0) <= 103.0


def test_tokens_come_back_but_never_more_than_the_burst(pace: Pace) -> None:
    pace.resynced(1000.0)
    for now in (1000.0, 1000.0, 1000.0):
        pace.want(now)
        if pace.sync_due(now):
            pace.synced(now)
    assert pace.wanted_since == 1000.0
    assert pace.deadline(1000.0) == pytest.approx(1001.0)


def test_without_a_minimum_every_change_is_applied_at_once() -> None:
    pace = Pace(0.0, 0.0, MAX)
    for _ in range(10):
        pace.want(1.0)
        assert pace.sync_due(1.0)
        pace.synced(1.0)


def test_the_resync_comes_with_or_without_changes(pace: Pace) -> None:
    assert pace.deadline(100.0) == 130.0
    pace.want(129.0)
    pace.synced(129.0)
    assert not pace.resync_due(129.9)
    assert pace.resync_due(130.0)
    pace.resynced(130.0)
    assert pace.deadline(130.0) == 160.0


def test_the_oldest_change_that_waits_is_remembered(pace: Pace) -> None:
    assert pace.wanted_since is None
    pace.want(101.0)
    pace.want(102.0)
    assert pace.wanted_since == 101.0
    pace.synced(103.0)
    assert pace.wanted_since is None
