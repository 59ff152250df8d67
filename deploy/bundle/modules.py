"""Which Python modules the bundle needs: all that tcnat's commands can come to import, whichever way they take."""

from __future__ import annotations

import importlib.util
import modulefinder
import sys
from dataclasses import dataclass
from pathlib import Path

from tcnat.cli import COMMANDS

REPOSITORY = Path(__file__).parents[2]
SUBSTITUTES = Path(__file__).parent / "substitutes"
"""Modules that stand in for others of the same name, whose imports are too much for what tcnat uses of them."""
WITHOUT = {
    "bcc": "compiles, and the bytecode is there",
    "tcnat.compiler": "needs bcc",
    "scapy": "replay --expect and trace --pcap, which say so where it is missing",
    "google": "Google's plugin of the kubernetes client; where it is missing the client goes on without",
    "OpenSSL": "an alternative of urllib3's to the ssl module",
    "brotli": "a compression that no API server answers in",
    "brotlicffi": "a compression that no API server answers in",
    "zstandard": "a compression that no API server answers in",
    "h2": "HTTP/2, which urllib3 uses only when told to",
    "urllib3.contrib.emscripten": "for browsers",
    "socks": "proxies of a kind that needs a package of its own anyway",
    "bz2": "a compression that nothing here is in",
    "_bz2": "a compression that nothing here is in",
    "lzma": "a compression that nothing here is in",
    "_lzma": "a compression that nothing here is in",
    "_uuid": "uuid goes on without",
    "_hashlib": "OpenSSL's digests; Python has its own",
    "simplejson": "an alternative to the json module",
    "cryptography": "signatures of OAuth 1, which Kubernetes does not use",
    "jwt": "signatures of OAuth 1, which Kubernetes does not use",
    "chardet": "an alternative to charset_normalizer",
    "wcwidth": "widths of East Asian text in tables",
    "IPython": "an interactive shell",
    "numpy": "not used",
    "pydoc": "interactive help",
    "pdb": "a debugger",
    "doctest": "tests",
    "unittest": "tests",
    "test": "tests",
    "_testcapi": "tests",
    "tkinter": "windows",
    "turtle": "windows",
    "distutils": "builds packages",
    "setuptools": "builds packages",
    "pkg_resources": "builds packages",
    "lib2to3": "translates Python 2",
    "sqlite3": "a database",
}
"""What is left out, with all below it, and why it is not missed."""
ALWAYS = ("encodings.utf_8", "encodings.ascii", "encodings.latin_1", "encodings.idna", "encodings.aliases")
"""What the interpreter itself imports by name."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module with a file: its dotted name, and the source or extension module."""

    name: str
    path: Path

    @property
    def is_extension(self) -> bool:
        """Whether it is machine code."""
        return self.path.suffix == ".so"

    @property
    def place(self) -> Path:
        """Where it belongs below a directory of modules; for a source, without the ending."""
        parts = Path(*self.name.split("."))
        if self.is_extension:
            return parts.with_name(self.path.name)
        return parts / "__init__" if self.path.stem == "__init__" else parts


def needed() -> list[Module]:
    """Every module that any command can import, but those left out, by name."""
    _substitute()
    path = [str(SUBSTITUTES), str(REPOSITORY), *(entry for entry in sys.path if entry and "-packages" in entry)]
    path += [entry for entry in sys.path if entry not in path]
    finder = modulefinder.ModuleFinder(path, excludes=list(WITHOUT))
    for name in (*ALWAYS, *(f"tcnat.cli.{command}" for command in COMMANDS)):
        finder.import_hook(name)
    return [
        Module(name, Path(found.__file__).resolve())
        for name, found in sorted(finder.modules.items())
        if found.__file__ and name != "__main__"
    ]


def _substitute() -> None:
    """Let packages with a substitute have their other modules from where they really are."""
    for init in SUBSTITUTES.rglob("__init__.py"):
        name = ".".join(init.parent.relative_to(SUBSTITUTES).parts)
        real = importlib.util.find_spec(name.partition(".")[0])
        if real is None or real.origin is None:
            raise ModuleNotFoundError(name)
        modulefinder.AddPackagePath(name, str(Path(real.origin).parent.joinpath(*name.split(".")[1:])))
