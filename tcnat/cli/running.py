"""What a running agent was told, from its command line and the config file that this names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tcnat.cli.agent import command
from tcnat.config import SETTINGS, AgentConfig, configure
from tcnat.errors import TcnatError


@dataclass(frozen=True, slots=True)
class Running:
    """An agent's words, and what they name: the settings in force and the file that some are from."""

    words: tuple[str, ...]
    config_file: Path | None
    config: AgentConfig


def running(pid: int, proc: Path = Path("/proc")) -> Running:
    """Of the agent with this process id; TcnatError if there is none, or it was started some other way."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
    except OSError as error:
        raise TcnatError(f"process {pid}: {error.strerror}") from None
    if "agent" not in words:
        raise TcnatError(f"process {pid} is not `tcnat agent` here; does it run in a container?")
    given = command.make_context("agent", words[words.index("agent") + 1 :], resilient_parsing=True).params
    file: Path | None = given["config_file"]
    # The agent may have another root than this process.
    there = proc / str(pid) / "root" / file.relative_to("/") if file and file.is_absolute() else file
    return Running(tuple(words), file, configure(_given_flags(given), there))


def _given_flags(given: dict[str, Any]) -> dict[str, Any]:
    return {setting.key: given[setting.field] for setting in SETTINGS if given.get(setting.field) not in {None, ()}}
