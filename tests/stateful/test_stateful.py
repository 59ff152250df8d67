"""Random traffic through model and programs: 20,000 frames in every run of the tests, 200,000 in the long lane.

The short lane draws the same traffic each time; the long one (``pytest -m slow``) goes on from where chance puts it,
but in CI, where a change is to be judged by what it changed.
"""

from __future__ import annotations

import itertools
import os
from random import SystemRandom

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.packets.harness import Harness, on_one_cpu
from tests.stateful.machine import DatapathMachine

pytestmark = pytest.mark.root

EXAMPLES, STEPS = 10, 20
SHORT, LONG = 10_000, 100_000
"""Frames for each of the two families."""
SHORT_SEED, LONG_SEED = 1, 1_000_000


def drive(harness: Harness, frames: int, first_seed: int) -> None:
    """Run machines, seed by seed, until that many frames were compared."""
    count = [0]
    seeds = itertools.count(first_seed)
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with on_one_cpu():
        while count[0] < frames:
            machine = seed(next(seeds))(lambda: DatapathMachine(harness, count))
            run_state_machine_as_test(machine, settings=chosen)
    print(f"{count[0]} frames, from seed {first_seed} on")


@pytest.mark.parametrize("family", [4, 6])
def test_model_and_programs_agree(harness: Harness) -> None:
    drive(harness, SHORT, SHORT_SEED)


@pytest.mark.slow
@pytest.mark.parametrize("family", [4, 6])
def test_model_and_programs_agree_for_long(harness: Harness) -> None:
    drive(harness, LONG, LONG_SEED if "CI" in os.environ else SystemRandom().getrandbits(32))
