"""`tcnat check`: which of the features that tcnat needs are here, and what that comes to.

:func:`check` looks at everything that a person would ask for; :func:`probe_datapath` only at what decides whether the
datapath can run, quickly enough for every start.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tcnat import __version__, probes, surroundings
from tcnat.bpf import possible_cpus, raise_memlock
from tcnat.features import FEATURES, KERNEL_GROUPS, Feature, Need
from tcnat.probes import Result, State, untried
from tcnat.rights import CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN

_WITHOUT_BPF = untried("cannot be told without bpf(2)")

Results = Mapping[str, Result]


class Floor(StrEnum):
    """What the features that are there come to."""

    FULL = "full"
    SWEPT = "without LRU"
    NONE = "does not run"


@dataclass(frozen=True, slots=True)
class Finding:
    """A feature and what was found of it."""

    feature: Feature
    state: State
    detail: str

    @property
    def word(self) -> str:
        """The state as a word for people: of what is only a note, plain yes or no."""
        if not self.matters and self.state is not State.UNTRIED:
            return "yes" if self.state is State.THERE else "no"
        return str(self.state)

    @property
    def matters(self) -> bool:
        """Whether the datapath uses it."""
        return self.feature.need is not Need.NOTE

    @property
    def lacking(self) -> bool:
        """Whether something that matters is missing."""
        return self.matters and self.state is State.MISSING


@dataclass(frozen=True, slots=True)
class Verdict:
    """The floor that is met, and in one line what that means."""

    floor: Floor
    line: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that `tcnat check` found."""

    tcnat: str
    kernel: str
    architecture: str
    system: str
    findings: tuple[Finding, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """What a quick look found: whether the tc datapath can run here, and in one line why."""

    usable: bool
    lru: bool
    line: str


def check(pins: Path) -> Report:
    """Look at every feature; ``pins`` is where the datapath would be pinned. Takes about a second."""
    results = kernel_results()
    lru = results["lru hash maps"].state is State.THERE
    allowed = results["bpf(2)"].state is State.THERE
    results |= {
        "CAP_NET_ADMIN": probes.capability(CAP_NET_ADMIN),
        "CAP_PERFMON": probes.capability(CAP_PERFMON, CAP_SYS_ADMIN),
        "memlock limit": probes.memlock(surroundings.maps_bytes(possible_cpus())) if allowed else _WITHOUT_BPF,
        "bpffs": probes.bpffs(),
        "arrivals": probes.arrivals() if allowed else _WITHOUT_BPF,
        "packet programs": surroundings.packet_programs(lru=lru) if allowed else _WITHOUT_BPF,
        "bytecode": surroundings.bytecode_cache(),
        "bcc": surroundings.bcc(),
        "cgroup2": surroundings.cgroup2(),
        "IPv6": surroundings.ipv6(),
        "netfilter": surroundings.netfilter(),
        "agent": surroundings.agent(pins),
        "pins": surroundings.pinned(pins),
        "devices": surroundings.devices(),
    }
    return Report(
        tcnat=__version__,
        kernel=platform.release(),
        architecture=platform.machine(),
        system=_system(),
        findings=findings(results),
        verdict=verdict(results),
    )


def probe_datapath() -> Found:
    """Whether the tc datapath can run on this kernel, by trying each of its parts."""
    results = kernel_results()
    reached = verdict(results)
    return Found(reached.floor is not Floor.NONE, reached.floor is Floor.FULL, reached.line)


def kernel_results() -> dict[str, Result]:
    """The kernel's own features, by name. Raises the memlock limit of this process, as the agent does."""
    raise_memlock()
    results = {"bpf(2)": probes.syscall()}
    if results["bpf(2)"].state is State.THERE:
        results |= probes.map_types()
        results |= probes.programs()
        results |= probes.helpers()
        results |= {
            "tail calls": probes.tail_calls(),
            "JIT": probes.jit(),
            "PROG_TEST_RUN": probes.test_run(),
            "batch operations": probes.batches(),
        }
        results |= probes.tc_hooks()
    names = [feature.name for feature in FEATURES if feature.group in KERNEL_GROUPS]
    return {**dict.fromkeys(names, _WITHOUT_BPF), **results}


def findings(results: Results) -> tuple[Finding, ...]:
    """Results with what they mean, in the features' order."""
    return tuple(
        Finding(feature, results[feature.name].state, results[feature.name].detail)
        for feature in FEATURES
        if feature.name in results
    )


def verdict(results: Results) -> Verdict:
    """What the results come to."""
    lacking = [finding for finding in findings(results) if finding.lacking]
    required = [f"{_named(f)}: {f.feature.meaning}" for f in lacking if f.feature.need is Need.REQUIRED]
    if _is_missing(results, "bytecode") and _is_missing(results, "bcc"):
        required.append("bytecode: there is none in the cache, and no bcc to make it")
    if required:
        return Verdict(Floor.NONE, f"does not run: {'; '.join(required)}")
    also = _aside("without", [f for f in lacking if f.feature.need is Need.OPTIONAL])
    also += _aside("not tried:", [f for f in findings(results) if f.state is State.UNTRIED and f.matters])
    if any(f.feature.need is Need.LRU for f in lacking):
        return Verdict(Floor.SWEPT, f"runs: without LRU maps (the agent sweeps the flow tables){also}")
    return Verdict(Floor.FULL, f"runs: full{also}")


def _aside(word: str, found: Iterable[Finding]) -> str:
    names = ", ".join(finding.feature.name for finding in found)
    return f"; {word} {names}" if names else ""


def _named(finding: Finding) -> str:
    return f"{finding.feature.name} ({finding.detail})" if finding.detail else finding.feature.name


def _is_missing(results: Results, name: str) -> bool:
    return name in results and results[name].state is State.MISSING


def _system(release: Iterable[Path] = (Path("/etc/os-release"), Path("/usr/lib/os-release"))) -> str:
    for path in release:
        if path.exists():
            facts = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
            return facts.get("PRETTY_NAME", "").strip('"')
    return ""
