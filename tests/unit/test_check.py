"""What the results of the probes come to, and the probes that only read files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import yaml

from tcnat import probes, surroundings
from tcnat.assemble import CONTEXT, STACK, MapArgument, calling, passing
from tcnat.check import Finding, Floor, Report, Verdict, findings, verdict
from tcnat.cli.check import plain, shown
from tcnat.features import FEATURES, Need
from tcnat.probes import State, missing, there, untried
from tcnat.tables import Output

ALL_THERE = {feature.name: there() for feature in FEATURES}
DOCUMENT = Path(__file__).parents[2] / "docs" / "check.md"


def without(*names: str) -> dict:
    return {**ALL_THERE, **dict.fromkeys(names, missing("why"))}


class TestVerdict:
    def test_everything_there_runs_in_full(self):
        assert verdict(ALL_THERE) == Verdict(Floor.FULL, "runs: full")

    def test_without_lru_maps_it_runs_swept(self):
        assert verdict(without("lru hash maps")) == Verdict(
            Floor.SWEPT, "runs: without LRU maps (the agent sweeps the flow tables)"
        )

    @pytest.mark.parametrize("name", [f.name for f in FEATURES if f.need is Need.REQUIRED])
    def test_nothing_runs_without_what_is_required(self, name):
        reached = verdict(without(name))
        assert reached.floor is Floor.NONE
        assert reached.line.startswith(f"does not run: {name} (why): ")

    @pytest.mark.parametrize("name", [f.name for f in FEATURES if f.need is Need.OPTIONAL])
    def test_what_is_optional_is_only_named(self, name):
        assert verdict(without(name)) == Verdict(Floor.FULL, f"runs: full; without {name}")

    @pytest.mark.parametrize("name", [f.name for f in FEATURES if f.need is Need.NOTE])
    def test_a_note_changes_nothing(self, name):
        assert verdict(without(name)).line == "runs: full"

    def test_several_lacks_are_all_named(self):
        line = verdict(without("clsact", "csum_diff", "lru hash maps", "JIT")).line
        assert line.startswith("does not run: ")
        assert "clsact" in line
        assert "csum_diff" in line

    def test_neither_bytecode_nor_a_compiler_is_the_end(self):
        assert verdict(without("bytecode")).floor is Floor.FULL
        assert verdict(without("bcc")).floor is Floor.FULL
        both = verdict(without("bytecode", "bcc"))
        assert both == Verdict(Floor.NONE, "does not run: bytecode: there is none in the cache, and no bcc to make it")

    def test_what_could_not_be_tried_is_named(self):
        results = {**ALL_THERE, "clsact": untried("no right"), "netfilter": untried("no tool")}
        assert verdict(results) == Verdict(Floor.FULL, "runs: full; not tried: clsact")

    def test_a_quick_look_knows_only_some_results(self):
        some = {name: there() for name in ("bpf(2)", "hash maps", "clsact")}
        assert verdict(some).line == "runs: full"


class TestFeatures:
    def test_names_are_unique(self):
        assert len({feature.name for feature in FEATURES}) == len(FEATURES)

    def test_whatever_can_lack_says_what_that_means(self):
        assert [f.name for f in FEATURES if f.need is not Need.NOTE and not f.meaning] == []

    def test_what_is_required_says_what_to_do(self):
        assert [f.name for f in FEATURES if f.need is Need.REQUIRED and not f.remedy] == []

    @pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
    def test_the_document_has_it(self, feature):
        rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {feature.name} |")]
        assert len(rows) == 1
        assert f"| {feature.need} |" in rows[0]


class TestAssembler:
    def test_passing(self):
        assert passing() == bytes.fromhex("b7000000ffffffff 9500000000000000")

    def test_arguments(self):
        code = calling(12, CONTEXT, MapArgument(77), 5, STACK)
        rows = list(struct.iter_unpack("=BBhi", code))
        assert rows == [
            (0xBF, 0x16, 0, 0),  # r6 = r1
            (0x7A, 0x0A, -16, 0),  # *(u64 *)(r10 - 16) = 0
            (0x7A, 0x0A, -8, 0),
            (0xBF, 0x61, 0, 0),  # r1 = r6
            (0x18, 0x12, 0, 77),  # r2 = map 77
            (0, 0, 0, 0),
            (0xB7, 0x03, 0, 5),  # r3 = 5
            (0xBF, 0xA4, 0, 0),  # r4 = r10
            (0x07, 0x04, 0, -16),
            (0x85, 0, 0, 12),
            (0xB7, 0, 0, -1),
            (0x95, 0, 0, 0),
        ]


class TestFiles:
    @pytest.mark.parametrize(
        ("mounts", "filesystems", "state", "detail"),
        [
            ("none /sys/fs/bpf bpf rw,nosuid 0 0\n", "", State.THERE, "mounted at /sys/fs/bpf"),
            ("none /sys/fs/bpf bpf ro,nosuid 0 0\n", "", State.MISSING, "mounted read-only"),
            ("none /mnt bpf rw 0 0\n", "nodev\tbpf\n", State.THERE, "not mounted at /sys/fs/bpf; the agent mounts it"),
            ("none /sys sysfs rw 0 0\n", "\text4\n", State.MISSING, "the kernel has none"),
        ],
    )
    def test_bpffs(self, tmp_path, mounts, filesystems, state, detail):
        (tmp_path / "mounts").write_text(mounts)
        (tmp_path / "filesystems").write_text(filesystems)
        found = probes.bpffs(tmp_path / "mounts", tmp_path / "filesystems")
        assert (found.state, found.detail) == (state, detail)

    @pytest.mark.parametrize(
        ("mask", "state"), [("0000000000001000", State.THERE), ("0000000000000fff", State.MISSING)]
    )
    def test_capability(self, tmp_path, mask, state):
        status = tmp_path / "status"
        status.write_text(f"Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t{mask}\n")
        assert probes.capability(12, status=status).state is state

    def test_cgroup2(self, tmp_path):
        mounts = tmp_path / "mounts"
        mounts.write_text("none /sys/fs/cgroup/cpu cgroup rw 0 0\n")
        assert surroundings.cgroup2(mounts).state is State.MISSING
        mounts.write_text("none /sys/fs/cgroup cgroup2 rw 0 0\n")
        assert surroundings.cgroup2(mounts).detail == "mounted at /sys/fs/cgroup; tcnat does not use it"


class TestNetfilter:
    @pytest.fixture
    def tool(self, tmp_path, monkeypatch):
        """Makes a directory with one program, which prints a text, the whole PATH."""
        monkeypatch.setenv("PATH", str(tmp_path))

        def make(name: str, text: str) -> None:
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}\nEND\n")
            path.chmod(0o755)

        return make

    def test_without_tools_it_is_not_known(self, tool):
        assert surroundings.netfilter().state is State.UNTRIED

    def test_rules_of_kube_proxy_in_iptables(self, tool):
        tool("iptables-save", "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\nCOMMIT")
        found = surroundings.netfilter()
        assert found.state is State.THERE
        assert found.detail.startswith("KUBE-SERVICES: remove them with kube-proxy --cleanup")

    def test_a_table_of_kube_proxy_in_nftables(self, tool):
        tool("nft", "table inet filter\ntable ip kube-proxy")
        assert surroundings.netfilter().detail.startswith("kube-proxy: ")

    def test_other_rules_are_none_of_its(self, tool):
        tool("iptables-save", '*nat\n-A X -m comment --comment "not :KUBE-SERVICES"\nCOMMIT')
        tool("nft", "table ip kube-proxy-like")
        assert surroundings.netfilter().state is State.MISSING

    def test_a_tool_that_fails_says_nothing(self, tool):
        tool("iptables-save", "")
        assert surroundings.netfilter().state is State.MISSING


REPORT = Report("0.1.0", "4.9.115", "x86_64", "", findings(without("lru hash maps")), verdict(without("lru hash maps")))


class TestFormats:
    def test_the_table_ends_with_what_to_do_and_the_verdict(self):
        lines = shown(REPORT, Output.TABLE).splitlines()
        assert lines[0].split() == ["GROUP", "FEATURE", "STATE", "DETAIL"]
        assert lines[-3].startswith("lru hash maps is missing: flow tables make no room by themselves")
        assert lines[-2:] == [
            "tcnat 0.1.0, Linux 4.9.115 x86_64, unknown system",
            "runs: without LRU maps (the agent sweeps the flow tables)",
        ]

    def test_wide_tells_meaning_and_remedy_only_of_what_lacks(self):
        lines = shown(REPORT, Output.WIDE).splitlines()
        assert lines[0].split() == ["GROUP", "FEATURE", "NEED", "STATE", "DETAIL", "MEANING", "TODO"]
        assert "take a kernel of 4.10" in next(line for line in lines if "lru hash maps" in line)
        assert "bpf(2)" in lines[1]
        assert lines[1].endswith("-")

    @pytest.mark.parametrize(("output", "load"), [(Output.JSON, json.loads), (Output.YAML, yaml.safe_load)])
    def test_programs_get_the_same_in_json_and_yaml(self, output, load):
        told = load(shown(REPORT, output))
        assert told == plain(REPORT)
        assert told["floor"] == "without LRU"
        lru = next(feature for feature in told["features"] if feature["name"] == "lru hash maps")
        assert lru["state"] == "missing"
        assert lru["need"] == "lru"
        assert lru["meaning"]
        assert lru["todo"]

    def test_a_note_is_a_plain_yes_or_no(self):
        agent = next(feature for feature in FEATURES if feature.name == "agent")
        assert [Finding(agent, state, "").word for state in State] == ["yes", "no", "not tried"]
