"""The pure modules stay pure: what they import, directly or through each other, touches neither kernel nor clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tcnat

PACKAGE = Path(tcnat.__file__).parent
PURE = (
    *("hashing", "maglev", "model", "layout", "blueprint", "settings"),
    *("wire", "texts", "resources", "conversion", "objects", "inventory"),
    *("endpoints", "services", "translate", "sources", "wanted"),
    *("catalogue", "reasoning", "explain", "questions", "live"),
    *("allocate", "entries", "mirror", "present", "steps", "order", "plan", "recover", "sizing"),
)
ALLOWED = {
    *("__future__", "array", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib"),
    *("heapq", "itertools", "json", "operator", "re", "socket", "struct", "sys", "types", "typing"),
    *("msgspec", "yaml"),
}
"""``socket`` is here for the texts of addresses, ``sys`` for interning names."""
ONLY_THESE = {
    "socket": {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"},
    "sys": {"intern"},
}


def imported(source: str) -> set[str]:
    """The modules that a source imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.update(f"tcnat.{alias.name}" for alias in node.names if node.module == "tcnat")
            if node.module != "tcnat":
                found.add(node.module or "")
    return found


def used(source: str, module: str) -> set[str]:
    """The names of a module that a source uses."""
    tree = ast.walk(ast.parse(source))
    found: set[str] = set()
    for node in tree:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module:
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == module:
            found.update(alias.name for alias in node.names)
    return found


def impurities(source: str) -> set[str]:
    """What a pure module must not import or use."""
    modules = imported(source)
    own = {name for name in modules if name.split(".")[0] == "tcnat"}
    foreign = {name.split(".")[0] for name in modules - own} - ALLOWED
    impure = {name for name in own if name.removeprefix("tcnat.") not in (*PURE, "errors")}
    names = {f"{module}.{name}" for module, few in ONLY_THESE.items() for name in used(source, module) - few}
    return foreign | impure | names


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_only_pure_ones(name: str) -> None:
    package = PACKAGE / name / "__init__.py"
    assert impurities((package if package.exists() else PACKAGE / f"{name}.py").read_text()) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("from time import monotonic", {"time"}),
        ("def f():\n    import bcc", {"bcc"}),
        ("from pyroute2 import IPRoute", {"pyroute2"}),
        ("import kubernetes.client", {"kubernetes"}),
        ("from tcnat.maps import MapStore", {"tcnat.maps"}),
        ("from tcnat import loader, maglev", {"tcnat.loader"}),
        ("import socket\nsocket.socket()", {"socket.socket"}),
        ("from socket import create_connection", {"socket.create_connection"}),
        ("import sys\nsys.stdin.read()", {"sys.stdin"}),
        ("from tcnat.model import Backend\nimport socket\nsocket.inet_pton(1, '')", set()),
    ],
)
def test_the_check_can_fail(source: str, found: set[str]) -> None:
    assert impurities(source) == found
