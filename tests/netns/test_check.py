"""The probes on the running kernel: what they find, what they leave, and that each can find something missing."""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tcnat import probes
from tcnat.assemble import passing
from tcnat.bpf import BpfError, Map, Program
from tcnat.bytecode import bytecode
from tcnat.check import Floor, check, kernel_results, probe_datapath
from tcnat.features import FEATURES, KERNEL_GROUPS
from tcnat.layout import Family, MapType
from tcnat.links import NetlinkFailure
from tcnat.netlink import Netlink
from tcnat.probes import State

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
NOWHERE = Path("/sys/fs/bpf/tcnat-test-none")


def state(name: str) -> State:
    return kernel_results()[name].state


def test_every_feature_is_looked_at():
    report = check(NOWHERE)
    assert [finding.feature for finding in report.findings] == list(FEATURES)


def test_this_kernel_runs_it_in_full():
    """So do the kernels on which the tests run; older ones are tried in an emulator."""
    report = check(NOWHERE)
    assert report.verdict.floor is Floor.FULL
    assert [f.feature.name for f in report.findings if f.lacking and f.feature.need == "required"] == []


def test_a_quick_look_agrees():
    found = probe_datapath()
    assert (found.usable, found.lru) == (True, True)
    assert found.line.startswith("runs: full")


def test_nothing_is_left_behind():
    check(NOWHERE)
    before = _surroundings()
    check(NOWHERE)
    assert _surroundings() == before


def _surroundings() -> list[object]:
    """Descriptors, limits, threads, network namespace, its devices and qdiscs."""
    gc.collect()  # or what other tests have left would go meanwhile
    tc = subprocess.run(["tc", "qdisc", "show", "dev", "lo"], capture_output=True, text=True, check=True).stdout
    return [
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
        os.readlink("/proc/thread-self/ns/net"),
        tc,
        NOWHERE.exists(),
    ]


def test_a_helper_that_the_kernel_does_not_know_is_missing(monkeypatch):
    monkeypatch.setitem(probes.HELPERS, "redirect", (9999, (1, 0)))
    assert state("redirect") is State.MISSING
    assert not probe_datapath().usable
    assert "redirect" in probe_datapath().line


@pytest.mark.parametrize("name", list(probes.HELPERS))
def test_each_helper_is_really_called_with_its_arguments(monkeypatch, name):
    """With an argument too few the verifier finds an uninitialised register; a helper without arguments takes any."""
    number, arguments = probes.HELPERS[name]
    if arguments:
        monkeypatch.setitem(probes.HELPERS, name, (number, arguments[:-1]))
        assert state(name) is State.MISSING


@pytest.mark.parametrize("family", Family)
def test_each_helper_that_the_programs_call_is_probed(family):
    calls = {
        immediate
        for program in bytecode(family).programs
        for operation, registers, _, immediate in struct.iter_unpack("=BBhi", program.instructions)
        if operation == 0x85 and registers >> 4 == 0
    }
    calls |= {number for program in bytecode(family).programs for _, number in program.newer}
    assert calls
    assert calls <= {number for number, _ in probes.HELPERS.values()}


@pytest.mark.parametrize(("kind", "floor"), [(MapType.LRU_HASH, Floor.SWEPT), (MapType.PERCPU_ARRAY, Floor.NONE)])
def test_a_map_type_that_the_kernel_does_not_know(monkeypatch, kind, floor):
    really = Map.create

    def create(type, *arguments, **options):
        if type is kind:
            raise BpfError("unknown", errno.EINVAL)
        return really(type, *arguments, **options)

    monkeypatch.setattr(Map, "create", create)
    found = probe_datapath()
    assert found.lru is False
    assert found.usable is (floor is not Floor.NONE)


@pytest.mark.parametrize(("method", "name"), [("add_clsact", "clsact"), ("replace_filter", "cls_bpf")])
def test_what_tc_lacks_is_found(monkeypatch, method, name):
    def refuse(self, *arguments):
        raise NetlinkFailure("qdisc: No such file or directory", errno.ENOENT)

    monkeypatch.setattr(Netlink, method, refuse)
    assert state(name) is State.MISSING
    assert not probe_datapath().usable


def test_a_kernel_without_test_run_still_runs(monkeypatch):
    def refuse(self, *arguments):
        raise BpfError("test run: Invalid argument", errno.EINVAL)

    monkeypatch.setattr(Program, "test_run", refuse)
    assert probe_datapath().line == "runs: full; without PROG_TEST_RUN"


def test_a_program_array_that_refuses_a_program_is_the_end(monkeypatch):
    """As where one is compiled to machine code and the other is not."""

    def refuse(self, *arguments):
        raise BpfError("map : update: Invalid argument", errno.EINVAL)

    monkeypatch.setattr(Map, "update", refuse)
    assert state("tail calls") is State.MISSING


@pytest.mark.parametrize(
    ("compiled", "setting", "state", "detail"),
    [
        pytest.param("1", None, State.THERE, "", id="in a pod's namespace, where the setting is not shown"),
        pytest.param("1", "0", State.THERE, "", id="where the setting does not matter"),
        pytest.param("0", "0", State.MISSING, "net.core.bpf_jit_enable is 0", id="switched off"),
        pytest.param("0", "1", State.MISSING, "the kernel does not compile", id="a kernel that has none"),
        pytest.param(None, "1", State.THERE, "", id="on 4.9, on"),
        pytest.param(None, "0", State.MISSING, "net.core.bpf_jit_enable is 0", id="on 4.9, off"),
        pytest.param(None, None, State.UNTRIED, "is not shown here", id="on 4.9 in a pod's namespace"),
    ],
)
def test_jit(monkeypatch, tmp_path, compiled, setting, state, detail):
    if setting is not None:
        (tmp_path / "jit").write_text(f"{setting}\n")
    monkeypatch.setattr(probes, "JIT", tmp_path / "jit")
    monkeypatch.setattr(probes, "_descriptor_fact", lambda fd, name: compiled)
    found = probes.jit()
    assert found.state is state
    assert detail in found.detail


def test_jit_agrees_with_bpftool():
    """Its list says of each program whether it is compiled."""
    program = Program.load(passing(), "jit")
    facts = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{program.fd}").read_text().splitlines())
    shown = subprocess.run(
        ["bpftool", "-j", "prog", "show", "id", facts["prog_id"].strip()], capture_output=True, text=True, check=True
    )
    assert (probes.jit().state is State.THERE) is json.loads(shown.stdout)["jited"]


@pytest.mark.parametrize(
    ("counted", "limit", "state", "words"),
    [
        (False, 1 << 16, State.THERE, "not counted"),
        (True, resource.RLIM_INFINITY, State.THERE, "can be lifted"),
        (True, 1 << 30, State.THERE, "1024 MiB at most, the maps take 100 MiB"),
        (True, 1 << 16, State.MISSING, "0 MiB at most, the maps take 100 MiB"),
    ],
)
def test_memlock(monkeypatch, counted, limit, state, words):
    monkeypatch.setattr(probes, "_counts_memlock", lambda *limits: counted)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    found = probes.memlock(100 << 20)
    assert found.state is state
    assert words in found.detail


def test_counting_leaves_the_limit_as_it_was():
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    probes.memlock(1)
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == before


def test_without_bpf_nothing_else_is_blamed(monkeypatch):
    monkeypatch.setattr(probes, "syscall", lambda: probes.missing("not permitted"))
    results = kernel_results()
    assert {results[f.name].state for f in FEATURES if f.group in KERNEL_GROUPS} == {State.UNTRIED}


class TestCommand:
    def run(self, *arguments: str, without: str = "") -> tuple[int, str]:
        command = [sys.executable, "-m", "tcnat", "check", "--pin-path", str(NOWHERE), *arguments]
        if without:
            command = ["setpriv", f"--inh-caps=-{without}", f"--bounding-set=-{without}", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.stderr == ""
        return done.returncode, done.stdout

    def test_the_last_line_is_the_verdict(self):
        code, said = self.run()
        assert code == 0
        assert said.splitlines()[-1].startswith("runs: full")

    def test_json(self):
        code, said = self.run("-o", "json")
        assert code == 0
        assert [feature["name"] for feature in json.loads(said)["features"]] == [feature.name for feature in FEATURES]

    def test_without_cap_net_admin_it_does_not_run(self):
        code, said = self.run(without="net_admin")
        assert code == 1
        assert said.splitlines()[-1] == "does not run: CAP_NET_ADMIN: nothing can be attached"

    def test_without_cap_sys_admin_the_hooks_cannot_be_tried(self):
        code, said = self.run(without="sys_admin")
        assert code == 0
        assert "not tried: clsact, cls_bpf" in said.splitlines()[-1]

    def test_somebody_else_is_told_what_is_missing(self):
        command = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
        done = subprocess.run(
            [*command, sys.executable, "-m", "tcnat", "check"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (done.returncode, done.stderr) == (1, "")
        assert "does not run: bpf(2) (not permitted): no program can be loaded" in done.stdout
