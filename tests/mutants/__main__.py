"""Break the C, run the tests, expect red: ``python -m tests.mutants [WORDS OF A SENTENCE]``."""

from __future__ import annotations

import sys

from tests.mutants.catalogue import MUTANTS
from tests.mutants.nursery import Fate, try_mutant, try_unbroken


def main(words: str) -> int:
    """Try the mutants whose sentence has these words in it; 1 if one survives, or cannot be built."""
    chosen = [mutant for mutant in MUTANTS if words in mutant.sentence]
    if not chosen:
        print(f"no mutant is about {words!r}", file=sys.stderr)
        return 2
    unbroken = try_unbroken()
    if unbroken.fate is not Fate.SURVIVED:
        print(f"the tests fail without any mutant: {unbroken.told}", file=sys.stderr)
        return 1
    caught = 0
    for mutant in chosen:
        trial = try_mutant(mutant)
        caught += trial.fate is Fate.CAUGHT
        print(f"{trial.fate.value:11}  {mutant.sentence}\n             {trial.told}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
