"""Importing a few modules of a package without all that the package itself imports.

Packages like to import everything that they have, which costs an agent that is to be a small guest megabytes of memory
and a tenth of a second. Where the modules that are needed do not depend on that, they can be had without.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without_running(package: str) -> Iterator[None]:
    """Let modules below a package be imported while the package itself is not; a later import of it runs as ever."""
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None:
        yield
        return
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def without_entities() -> Iterator[None]:
    """Let modules that escape HTML be imported without the table of all of HTML's entities (a quarter of a megabyte),
    which serves only unescaping; a later import of ``html`` has it as ever."""
    if "html" in sys.modules:
        yield
        return
    stand_in = ModuleType("html.entities")
    stand_in.__dict__.update(html5={}, name2codepoint={}, codepoint2name={})
    sys.modules["html.entities"] = stand_in
    try:
        yield
    finally:
        for name in ("html", "html.entities"):
            sys.modules.pop(name, None)
