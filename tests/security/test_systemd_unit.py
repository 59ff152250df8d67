"""deploy/systemd/tcnat.service: systemd takes it, and the agent can live with what it sets.

No systemd runs the tests; what the unit sets is set by other means, or, for system calls, compared with those made.
"""

from __future__ import annotations

import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcnat.config import configure
from tests.lab import Lab
from tests.lab.commands import run
from tests.lab.versions import REPOSITORY, Installed

from .confined import READ_ONLY, at_work, listed, only, serve

DIRECTORY = REPOSITORY / "deploy" / "systemd"
UNIT = (DIRECTORY / "tcnat.service").read_text()
NO_NEW_MACHINE_CODE = """\
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    sys.exit("this kernel cannot refuse it")
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""MemoryDenyWriteExecute=yes, by prctl(2); the kernel has that from 6.3 on."""


def values(name: str) -> list[str]:
    """Each line of a setting."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backends=1) as made:
        yield made


def test_it_is_a_unit_that_names_what_is_shipped() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    assert parser.sections() == ["Unit", "Service", "Install"]
    assert frozenset(values("CapabilityBoundingSet")[0].split()) == listed()[0]
    assert "--config /etc/tcnat/agent.yaml" in values("ExecStart")[0]
    assert configure({}, DIRECTORY / "agent.yaml").network_device == ("eth0",)
    assert "TCNAT_OPTIONS" in (DIRECTORY / "tcnat.default").read_text()


@pytest.mark.slow
def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    unit = tmp_path / "tcnat.service"
    unit.write_text(UNIT.replace("/opt/tcnat/bin/tcnat", "/bin/true"))
    assert run(["systemd-analyze", "verify", "--man=no", unit]) == ""


@pytest.mark.root
@pytest.mark.slow
def test_the_agent_serves_within_what_it_sets(lab: Lab, tmp_path: Path) -> None:
    """Capabilities, no new privileges, a read-only file system, no new machine code; and of system calls and families
    of sockets only those that it allows."""
    log = tmp_path / "calls"
    confined = only(listed()[0]).command()
    traced = ["strace", "-D", "-f", "-qq", "-o", str(log), "unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
    words = [*traced, sys.executable, "-c", NO_NEW_MACHINE_CODE, *confined]
    with at_work(lab, Installed(tuple(words))) as scene:
        serve(scene)
        scene.agent.stop()
    lines = log.read_text().splitlines()
    begins = max(number for number, line in enumerate(lines) if '"-m", "tcnat", "agent"' in line)
    called = {match[1] for line in lines[begins + 1 :] if (match := re.match(r"\d+ +(\w+)\(", line))}
    assert {"bpf", "sendto"} <= called
    assert called - allowed() == set()
    families = {match[1] for line in lines[begins:] if (match := re.search(r" socket\((AF_\w+),", line))}
    assert families - set(values("RestrictAddressFamilies")[0].split()) == set()


def allowed() -> set[str]:
    """The system calls that the unit's filters leave, line by line as systemd.exec(5) has it."""
    groups: dict[str, set[str]] = {}
    name = ""
    for line in run(["systemd-analyze", "syscall-filter"]).splitlines():
        if line.startswith("@"):
            name = line.strip()
        elif line.startswith("    ") and "#" not in line:
            groups.setdefault(name, set()).add(line.strip())

    def expanded(word: str) -> set[str]:
        return set().union(*map(expanded, groups[word])) if word in groups else {word}

    found: set[str] = set()
    for filters in values("SystemCallFilter"):
        calls = set().union(*(expanded(word) for word in filters.lstrip("~").split()))
        found = found - calls if filters.startswith("~") else found | calls
    return found
