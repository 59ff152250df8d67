"""Every program within its budget on the kernel at hand, and a budget that can be exceeded."""

from __future__ import annotations

import os

import pytest

from tcnat.errors import TcnatError

from .verifier_budget import Allowed, Measured, budget_here, faults, measure, read_steps, table

BUDGET = {"a": Allowed(instructions=100, steps=1000)}


@pytest.mark.root
def test_the_programs_keep_to_their_budget(capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("loading programs needs root")
    try:
        measured = measure()
    except TcnatError as error:
        pytest.skip(f"no bytecode: {error}")
    budget = budget_here()
    with capsys.disabled():
        print(f"\n{table(measured, budget)}")
    assert faults(measured, budget) == []
    assert sorted(budget) == sorted(program.name for program in measured)


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Measured("a", 101, 10), "101 instructions, 100 allowed"),
        (Measured("a", 100, 1001), "1001 verifier steps, 1000 allowed"),
        (Measured("b", 10, 10), "b: has no budget"),
        (Measured("a", 10, None, "the kernel refused program a"), "the kernel refused program a"),
    ],
    ids=["too many instructions", "too many steps", "a new program", "a refused program"],
)
def test_what_is_over_its_budget_is_said(measured: Measured, text: str) -> None:
    (said,) = faults([measured], BUDGET)
    assert text in said


def test_what_is_within_its_budget_is_not_spoken_of() -> None:
    assert faults([Measured("a", 100, 1000), Measured("a", 1, None)], BUDGET) == []


@pytest.mark.parametrize(
    ("log", "steps"),
    [
        ("0: (b7) r0 = 0\n1: (95) exit\nprocessed 2 insns\n", 2),
        (
            "verification time 9 usec\nstack depth 8\nprocessed 33560 insns (limit 1000000) max_states_per_insn 31\n",
            33560,
        ),
        ("BPF program is too large. Proccessed 98305 insn\n", None),
    ],
    ids=["4.9", "6.18", "a refusal"],
)
def test_the_steps_stand_in_the_log(log: str, steps: int | None) -> None:
    assert read_steps(log) == steps
