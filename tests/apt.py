"""apt as this machine has it set up, with lists and downloads kept apart: nothing is installed, and nothing of the
machine's own is changed.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def own_codename() -> str:
    """The code name of the Debian release that this machine runs; "" if it has none."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def own_targets() -> str:
    """Where this machine's apt takes packages from: lines of "URI suite component"."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def source_lines(targets: str, suites: Mapping[str, str], kind: str = "deb") -> list[str]:
    """Lines of a sources.list, from ``targets`` (see :func:`own_targets`): of their main components those in
    ``suites``, which names the suite to put in the place of each. ``kind`` is deb or deb-src."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines: dict[str, None] = {}
    for line in targets.splitlines():
        uri, suite, component = line.split()
        if suite in suites and component == "main":
            lines[f"{kind} {signed}{uri} {suites[suite]} main"] = None
    return list(lines)


class Apt:
    """apt with sources, lists and cache of its own below ``scratch``, where downloads end up, too."""

    def __init__(self, scratch: Path, sources: list[str]) -> None:
        self._scratch = scratch
        for directory in ("lists/partial", "archives/partial"):
            (scratch / directory).mkdir(parents=True)
        (scratch / "sources.list").write_text("".join(line + "\n" for line in sources))

    def run(self, *command: str) -> str:
        """What apt printed; CalledProcessError, for which :func:`reason` has words."""
        options = {
            "Dir::Etc::sourcelist": self._scratch / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": self._scratch / "lists",
            "Dir::Cache": self._scratch,
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
            "APT::Update::Error-Mode": "any",
        }
        if os.geteuid() == 0:
            options["APT::Sandbox::User"] = "root"
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        done = subprocess.run(
            [command[0], *words, *command[1:]], cwd=self._scratch, capture_output=True, text=True, check=True
        )
        return done.stdout


def reason(error: subprocess.CalledProcessError) -> str:
    """The last thing that a failed program said."""
    said = (error.stderr or error.stdout or "").strip().splitlines()
    return said[-1] if said else str(error)
