"""``tcnat version``: what runs here."""

from __future__ import annotations

import importlib.util
import platform
import re
from pathlib import Path

import click

from tcnat import __version__


@click.command("version")
def command() -> None:
    """Show the versions of tcnat, bcc and the kernel.

    \b
    Example:
      tcnat version
    """
    click.echo(versions())


def versions() -> str:
    """A line for each thing that has a version."""
    kernel = f"{platform.release()} {platform.machine()}"
    return f"tcnat   {__version__}\nbcc     {_bcc_version()}\nkernel  {kernel}"


def _bcc_version() -> str:
    """The version that the bcc binding's own file gives. Importing it would load LLVM, and the metadata would not tell
    it from the unrelated package of that name on PyPI."""
    spec = importlib.util.find_spec("bcc")
    if spec is None or spec.origin is None:
        return "not installed (needed only where the bytecode cache is cold)"
    folder = Path(spec.origin).parent
    if not (folder / "libbcc.py").exists():
        return f"not the eBPF binding ({folder}); install python3-bpfcc"
    try:
        found = re.search(r"__version__\s*=\s*['\"]([^'\"]+)", (folder / "version.py").read_text())
    except OSError:
        found = None
    return found.group(1) if found else "unknown"
