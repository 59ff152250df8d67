"""Where mutants are tried: a copy of the checkout with a bytecode cache of its own, so that nothing else sees them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.catalogue import Mutant

CHECKOUT = Path(__file__).parents[2]
PARTS = ("bpf", "tcnat", "tests", "pyproject.toml")
LANES = (("tests/packets",), ("tests/stateful", "-m", "not slow"))
"""What must catch a mutant, one after the other."""
PATIENCE = 1800
"""Seconds for a lane."""
PASSED, FAILED = 0, 1
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class Fate(Enum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    STILLBORN = "STILLBORN"
    """It could not be built or loaded, or its text is not in the C any more: it proves nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A fate, and which test or error told it."""

    fate: Fate
    told: str


def broken(source: str, mutant: Mutant) -> str:
    """The text of a C file with the mutant in it; ValueError if its piece of text does not stand there just once.

    How the C is laid out does not matter: any white space stands for any other.
    """
    pattern = re.compile(r"\s+".join(map(re.escape, mutant.old.split())))
    found = pattern.findall(source)
    if len(found) != 1:
        raise ValueError(f"{mutant.file} has its text {len(found)} times, not once")
    return source.replace(found[0], mutant.new)


def try_mutant(mutant: Mutant) -> Trial:
    """Break, build, run."""
    with nursery() as place:
        path = place / "bpf" / mutant.file
        try:
            path.write_text(broken(path.read_text(), mutant))
        except ValueError as error:
            return Trial(Fate.STILLBORN, str(error))
        return run_lanes(place)


def try_unbroken() -> Trial:
    """Run the same without a mutant: it must survive."""
    with nursery() as place:
        return run_lanes(place)


@contextmanager
def nursery() -> Iterator[Path]:
    """A copy of the checkout that is gone afterwards."""
    with TemporaryDirectory(prefix="tcnat-mutant-") as name:
        place = Path(name)
        for part in PARTS:
            copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy
            copy(CHECKOUT / part, place / part)
        yield place


def run_lanes(place: Path) -> Trial:
    """Build the programs of a copy and run the lanes on them until one fails."""
    built = run(
        place, "-c", "from tcnat.loader import load_private as l; from tcnat.layout import Family as f; [*map(l, f)]"
    )
    if built.returncode != 0:
        return Trial(Fate.STILLBORN, built.stderr.strip().splitlines()[-1])
    for lane in LANES:
        done = run(place, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *lane)
        if done.returncode == FAILED:
            found = _FAILURE.search(done.stdout)
            return Trial(Fate.CAUGHT, found[1] if found else "a test")
        if done.returncode != PASSED:
            return Trial(Fate.STILLBORN, f"pytest ended with {done.returncode}: {done.stdout[-300:]}")
    return Trial(Fate.SURVIVED, "no test failed")


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, with the copy's own modules."""
    environment = {**os.environ, "TCNAT_CACHE": str(place / "cache"), "PYTHONPATH": str(place)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
