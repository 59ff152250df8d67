"""What the netlink codecs cost, and that they leave pyroute2 whole for others."""

from __future__ import annotations

import subprocess
import sys


def told(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_attaching_needs_neither_asyncio_nor_the_rest_of_pyroute2():
    heavy = told(
        "import sys, tcnat.keeper;"
        "print([m for m in ('asyncio', 'pyroute2', 'pyroute2.ndb', 'pyroute2.iproute', 'ssl') "
        "if m in sys.modules])"
    )
    assert heavy == "[]"


def test_pyroute2_itself_still_works_afterwards():
    assert told("import tcnat.codecs, pyroute2; print(pyroute2.IPRoute.__name__)") == "IPRoute"


def test_it_also_works_after_pyroute2_itself():
    assert told("import pyroute2, tcnat.codecs; print(tcnat.codecs.tcmsg is not None, pyroute2.IPRoute.__name__)") == (
        "True IPRoute"
    )
