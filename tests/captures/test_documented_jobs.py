"""The CI jobs of docs/replay-in-ci.md do what they say, as far as they can be run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.captures.catalogue import OBJECTS, cases
from tests.captures.replaying import REPOSITORY

pytestmark = pytest.mark.root
DOCUMENT = (REPOSITORY / "docs" / "replay-in-ci.md").read_text()


def jobs() -> tuple[Any, Any]:
    """The GitHub workflow and the GitLab job."""
    github, gitlab = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL))
    return github, gitlab


def github_steps() -> dict[str, Any]:
    return {step.get("name", step.get("uses")): step for step in jobs()[0]["jobs"]["replay"]["steps"]}


def test_both_jobs_replay_alike() -> None:
    (script,) = jobs()[1]["replay"]["script"]
    assert script == github_steps()["Replay"]["run"]


def test_the_packages_are_those_that_the_project_needs() -> None:
    known = (REPOSITORY / "scripts" / "packages.txt").read_text().split()
    for script in (github_steps()["Install what tcnat needs"]["run"], "\n".join(jobs()[1]["replay"]["before_script"])):
        packages = re.search(r"--no-install-recommends (.*)", script)
        assert packages is not None
        assert set(packages[1].split()) - {"ca-certificates", "git"} <= set(known)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As the document wants it, with a few captures."""
    (tmp_path / "captures").mkdir()
    for case in cases():
        if case.name in {"dns-ipv4", "http-ipv6"}:
            shutil.copy(case.capture, tmp_path / "captures")
            shutil.copy(case.golden, tmp_path / "captures")
    shutil.copy(OBJECTS, tmp_path / "cluster.yaml")
    return tmp_path


def replay(repository: Path) -> subprocess.CompletedProcess[str]:
    script = github_steps()["Replay"]["run"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=repository,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_passes_and_leaves_reports(repository: Path) -> None:
    done = replay(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(file.name for file in (repository / "reports").iterdir()) == [
        "dns-ipv4.out.pcap",
        "dns-ipv4.xml",
        "http-ipv6.out.pcap",
        "http-ipv6.xml",
    ]


def test_the_script_ends_with_the_worst_code_and_replays_all(repository: Path) -> None:
    captures = repository / "captures"
    shutil.copy(captures / "dns-ipv4.pcap", captures / "dns-ipv4.golden.pcap")
    done = replay(repository)
    assert done.returncode == 1
    assert "== http-ipv6" in done.stdout
    assert "IP destination address" in done.stdout
