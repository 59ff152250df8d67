"""Every mutant is caught, and every one is still about the C as it stands."""

from __future__ import annotations

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.nursery import CHECKOUT, Fate, broken, try_mutant

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.sentence)


@each_mutant
def test_a_mutant_is_about_the_c_as_it_stands(mutant: Mutant) -> None:
    source = (CHECKOUT / "bpf" / mutant.file).read_text()
    assert broken(source, mutant) != source


@pytest.mark.slow
@pytest.mark.root
@each_mutant
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    trial = try_mutant(mutant)
    assert trial.fate is Fate.CAUGHT, trial.told
