"""Running ``tcnat replay`` as people do: within this process, or as one of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from tcnat.cli import main
from tests.captures.catalogue import OBJECTS, Case

REPOSITORY = Path(__file__).parents[2]


class Done(NamedTuple):
    """How the command ended, and what it said."""

    code: int
    output: str
    errors: str


def replay(case: Case, *arguments: str | Path) -> Done:
    """A case with its own options and others."""
    return run(case.capture, "--objects", OBJECTS, *case.options, *arguments)


def run(*arguments: str | Path) -> Done:
    """``tcnat replay`` with these arguments."""
    output, errors = io.StringIO(), io.StringIO()
    cpus = os.sched_getaffinity(0)
    code: object = 0
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            main(["replay", *(str(argument) for argument in arguments)])
    except SystemExit as end:
        code = end.code
    finally:
        os.sched_setaffinity(0, cpus)
    assert isinstance(code, int)
    return Done(code, output.getvalue(), errors.getvalue())


def run_process(*arguments: str | Path, data: bytes | None = None) -> Done:
    """The same as a process of its own; ``data`` goes to its standard input."""
    command = [sys.executable, "-m", "tcnat", "replay", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, input=data, capture_output=True, cwd=REPOSITORY, check=False, timeout=300)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
