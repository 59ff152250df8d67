"""Random traffic through model and programs: 20,000 frames in every run of the tests, 200,000 in the long lane.

The short lane draws the same traffic each time; the long one (``pytest -m slow``) goes on from where chance puts it,
but in CI, where a change is to be judged by what it changed.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.packets.harness import Harness, on_one_cpu
from tests.stateful.machine import DatapathMachine

pytestmark = pytest.mark.root

STEPS = 20
SHORT, LONG = 10_000, 100_000
"""Frames for each of the two families."""


def drive(harness: Harness, frames: int, *, repeatable: bool) -> None:
    """Run machines until that many frames were compared."""
    count = [0]
    while count[0] < frames:
        chosen = settings(
            max_examples=max(1, frames // 400),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=repeatable,
            phases=(Phase.generate,),
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        before = count[0]
        with on_one_cpu():
            run_state_machine_as_test(lambda: DatapathMachine(harness, count), settings=chosen)
        assert count[0] > before
    print(f"{count[0]} frames")


@pytest.mark.parametrize("family", [4, 6])
def test_model_and_programs_agree(harness: Harness) -> None:
    drive(harness, SHORT, repeatable=True)


@pytest.mark.slow
@pytest.mark.parametrize("family", [4, 6])
def test_model_and_programs_agree_for_long(harness: Harness) -> None:
    drive(harness, LONG, repeatable="CI" in os.environ)
