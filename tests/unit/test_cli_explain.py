"""``tcnat explain`` as people and programs call it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tcnat.cli import main
from tests.unit.kube import V4, V6, Json, endpoint, endpoint_slice, port, service

POD = ["--from", "pod", "--src", f"{V4.pod_client}:40000"]
TO_WEB = ["--dst", f"{V4.service}:80/TCP"]
WEB = service(V4.service, ports=[port(node_port=30080)], type="NodePort", externalTrafficPolicy="Local")
SLICE = endpoint_slice("IPv4", endpoint(V4.pod_one, "here"), endpoint(V4.pod_two, "away"))
FIELDS = ["verdict", "frontend", "backends", "chosen", "masquerade", "rule", "reason"]


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: str
    err: str

    @property
    def answers(self) -> list[Json]:
        """Its output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tcnat explain`` with arguments."""

    def ran(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(["explain", *map(str, arguments)])
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return ran


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """A file with a Service and its slice."""
    path = tmp_path / "web.yaml"
    path.write_text(yaml.safe_dump_all([WEB, SLICE]))
    return path


def line(**fields: Any) -> str:
    """A question as JSON."""
    usual = {"from": "pod", "src_ip": V4.pod_client, "dst_ip": V4.service, "dst_port": 80, "proto": "TCP"}
    return json.dumps({name: value for name, value in {**usual, **fields}.items() if value is not ...})


class TestOneFlow:
    def test_text_for_people(self, run: Run, objects: Path) -> None:
        result = run("--objects", objects, *POD, *TO_WEB)
        assert result.code == 0
        assert result.err == ""
        lines = [text.split() for text in result.out.splitlines()]
        assert lines[0] == ["DNAT", "pod", "10.244.1.99:40000", "->", "10.96.0.10:80/TCP"]
        assert lines[1] == ["service", "default/web:http"]
        assert [text[1] for text in lines[2:4]] == ["10.244.1.1:8080", "10.244.2.2:8080"]
        assert sum("chosen" in text for text in lines[2:4]) == 1
        assert lines[4] == ["masquerade", "no"]
        assert lines[5][0] == "reason"

    def test_json_has_its_documented_fields_in_order(self, run: Run, objects: Path) -> None:
        (answer,) = run("--objects", objects, *POD, *TO_WEB, "-o", "json").answers
        assert list(answer) == FIELDS
        assert (answer["verdict"], answer["frontend"], answer["masquerade"]) == ("dnat", "10.96.0.10:80/TCP", False)
        assert [(each["address"], each["port"]) for each in answer["backends"]] == [
            (V4.pod_one, 8080),
            (V4.pod_two, 8080),
        ]
        assert sum(each["share"] for each in answer["backends"]) == pytest.approx(1, abs=0.001)
        assert all(0.475 <= each["share"] <= 0.525 for each in answer["backends"])
        assert answer["chosen"] in {f"{each['address']}:{each['port']}" for each in answer["backends"]}
        assert answer["rule"] == 12

    def test_json_of_a_packet_that_passes(self, run: Run, objects: Path) -> None:
        (answer,) = run("--objects", objects, *POD, "--dst", "9.9.9.9:53/udp", "-o", "json").answers
        assert (answer["verdict"], answer["frontend"], answer["backends"]) == ("pass", None, [])
        assert (answer["chosen"], answer["masquerade"], answer["rule"]) == (None, False, 16)

    def test_yaml(self, run: Run, objects: Path) -> None:
        result = run("--objects", objects, *POD, *TO_WEB, "-o", "yaml")
        assert list(yaml.safe_load(result.out)) == FIELDS

    @pytest.mark.parametrize("source", [V6.pod_client, f"[{V6.pod_client}]", f"[{V6.pod_client}]:40000"])
    def test_ipv6(self, run: Run, tmp_path: Path, source: str) -> None:
        path = tmp_path / "six.json"
        path.write_text(json.dumps(service(V6.service)))
        to = ["--dst", f"[{V6.service}]:80/TCP", "-o", "json"]
        (answer,) = run("--objects", path, "--from", "pod", "--src", source, *to).answers
        assert (answer["verdict"], answer["frontend"]) == ("reject", f"[{V6.service}]:80/TCP")


class TestManyFlows:
    def test_each_line_has_its_line_in_order(self, run: Run, objects: Path, tmp_path: Path) -> None:
        flows = tmp_path / "flows.jsonl"
        lines = [
            line(src_port=40000),
            line(dst_port=81),
            "",
            line(dst_ip=V4.outsider, proto="udp"),
            line(src_port=None),
        ]
        flows.write_text("\n".join(lines))
        result = run("--objects", objects, "--flows", flows)
        assert result.code == 0
        assert [answer["verdict"] for answer in result.answers] == ["dnat", "pass", "pass", "dnat"]
        assert [answer["chosen"] is None for answer in result.answers] == [False, True, True, True]
        assert [list(answer) for answer in result.answers] == [FIELDS] * 4

    def test_the_same_question_one_by_one_has_the_same_answer(self, run: Run, objects: Path, tmp_path: Path) -> None:
        flows = tmp_path / "flows.jsonl"
        flows.write_text(line(src_port=40000))
        many = run("--objects", objects, "--flows", flows)
        assert many.out == run("--objects", objects, *POD, *TO_WEB, "-o", "json").out

    def test_from_standard_input(self, run: Run, objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line().encode() + b"\n")))
        assert len(run("--objects", objects, "--flows", "-").answers) == 1

    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            ("{", "not JSON"),
            ("[]", "Expected `object`"),
            (line(dst_ip=...), "missing required field `dst_ip`"),
            (line(src_ip="10.0.0"), "src_ip: '10.0.0' is not an IP address"),
            (line(dst_port=70000), "dst_port: Expected `int` <= 65535"),
            (line(proto="icmp"), "proto: 'icmp' is not TCP, UDP or SCTP"),
            (line(**{"from": "moon"}), "from: Invalid enum value 'moon'"),
            (line(src_ip=V6.node), "source and destination are of different address families"),
        ],
    )
    def test_a_bad_line_is_named_after_the_earlier_ones_were_answered(
        self, run: Run, objects: Path, tmp_path: Path, broken: str, message: str
    ) -> None:
        flows = tmp_path / "flows.jsonl"
        flows.write_text("\n".join([line(), line(), broken, line()]))
        result = run("--objects", objects, "--flows", flows)
        assert result.code == 2
        assert len(result.answers) == 2
        (told,) = result.err.splitlines()
        assert told.startswith(f"tcnat: {flows}:3: ")
        assert message in told


class TestOptions:
    """Lists are taken repeated, several at once, and separated by commas."""

    @pytest.mark.parametrize(
        "given",
        [
            ["--cluster-cidr", "10.1.0.0/16", "10.244.0.0/16"],
            ["--cluster-cidr", "10.1.0.0/16,10.244.0.0/16"],
            ["--cluster-cidr=10.1.0.0/16", "--cluster-cidr=10.244.0.0/16"],
        ],
    )
    def test_cluster_cidrs(self, run: Run, objects: Path, given: list[str]) -> None:
        outside = ["--from", "external", "--src", V4.outsider]
        assert run("--objects", objects, *given, *POD, *TO_WEB, "-o", "json").answers[0]["masquerade"] is False
        assert run("--objects", objects, *given, *outside, *TO_WEB, "-o", "json").answers[0]["masquerade"] is True

    @pytest.mark.parametrize(
        "several", [lambda a, b: [a, b], lambda a, b: [f"{a},{b}"], lambda a, b: [a, "--objects", b]]
    )
    def test_objects_in_several_files_the_later_one_wins(
        self, run: Run, objects: Path, tmp_path: Path, several: Callable[[Path, Path], list[Any]]
    ) -> None:
        later = tmp_path / "later.json"
        later.write_text(json.dumps(service(V4.other_service)))
        for order, verdict in (((objects, later), "pass"), ((later, objects), "dnat")):
            result = run("--objects", *several(*order), *POD, *TO_WEB, "-o", "json")
            assert result.answers[0]["verdict"] == verdict

    def test_a_directory_stands_for_its_files_by_name(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "b.json").write_text(json.dumps(SLICE))
        (tmp_path / "a.yml").write_text(yaml.safe_dump(WEB))
        (tmp_path / "notes.txt").write_text("not for us")
        assert run("--objects", tmp_path, *POD, *TO_WEB, "-o", "json").answers[0]["verdict"] == "dnat"

    def test_objects_from_standard_input(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(WEB).encode())))
        assert run("--objects", "-", *POD, *TO_WEB, "-o", "json").answers[0]["verdict"] == "reject"

    @pytest.mark.parametrize(
        ("given", "verdict"),
        [
            (["--node-ip", V4.node], "dnat"),
            (["--node-ip", V4.other_node], "pass"),
            (["--node-ip", V4.other_node, V4.node], "dnat"),
            (["--node-ip", V4.node, "--nodeport-addresses", V4.elsewhere_cidr], "pass"),
            (["--node-ip", V4.node, "--nodeport-addresses", V4.elsewhere_cidr, "primary"], "dnat"),
            ([], "pass"),
        ],
    )
    def test_rule_19_node_ports(self, run: Run, objects: Path, given: list[str], verdict: str) -> None:
        to = ["--from", "external", "--src", V4.outsider, "--dst", f"{V4.node}:30080/TCP", "-o", "json"]
        (answer,) = run("--objects", objects, "--node-name", "here", *given, *to).answers
        assert answer["verdict"] == verdict

    def test_rule_19_primary_is_the_node_object_s(self, run: Run, objects: Path, tmp_path: Path) -> None:
        node = tmp_path / "node.json"
        addresses = [{"type": "InternalIP", "address": V4.node}]
        labels = {"topology.kubernetes.io/zone": "zone-a"}
        node.write_text(
            json.dumps(
                {"kind": "Node", "metadata": {"name": "here", "labels": labels}, "status": {"addresses": addresses}}
            )
        )
        common = ["--objects", objects, node, "--node-name", "here", "--node-ip", V4.other_node]
        for address, verdict in ((V4.node, "dnat"), (V4.other_node, "pass")):
            asked = ["--from", "external", "--src", V4.outsider, "--dst", f"{address}:30080/TCP", "-o", "json"]
            (answer,) = run(*common, "--nodeport-addresses", "primary", *asked).answers
            assert answer["verdict"] == verdict

    def test_rule_14_the_zone(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "hints.json"
        hinted = endpoint_slice("IPv4", endpoint(V4.pod_one, zones=["zone-a"]), endpoint(V4.pod_two, zones=["zone-b"]))
        path.write_text(json.dumps({"kind": "List", "items": [WEB, hinted]}))
        (answer,) = run("--objects", path, "--node-zone", "zone-b", *POD, *TO_WEB, "-o", "json").answers
        assert [each["address"] for each in answer["backends"]] == [V4.pod_two]

    @pytest.mark.parametrize("choice", ["pass", "reject", "drop"])
    def test_rule_25(self, run: Run, objects: Path, choice: str) -> None:
        ask = ["--objects", objects, "--unknown-port", choice, "--service-cidr", V4.service_cidr, *POD, "-o", "json"]
        assert run(*ask, "--dst", f"{V4.service}:81/TCP").answers[0]["verdict"] == choice
        assert run(*ask, "--dst", f"{V4.unallocated}:80/TCP").answers[0]["verdict"] == "drop"

    def test_rule_26_masquerade_all(self, run: Run, objects: Path) -> None:
        (answer,) = run("--objects", objects, "--masquerade-all", *POD, *TO_WEB, "-o", "json").answers
        assert answer["masquerade"] is True

    def test_rule_20_localhost(self, run: Run, objects: Path) -> None:
        ask = [
            "--objects",
            objects,
            "--from",
            "node",
            "--src",
            "127.0.0.1",
            "--dst",
            "127.0.0.1:30080/TCP",
            "-o",
            "json",
        ]
        assert run(*ask).answers[0]["verdict"] == "pass"
        assert run(*ask, "--localhost-nodeports").answers[0]["verdict"] == "dnat"


class TestWrong:
    """One clear line, and an exit code that is not 0."""

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["--src", "10.0.0"], "--src: '10.0.0' is not an IP address"),
            (["--src", "10.0.0.1:99999"], "--src: '10.0.0.1:99999' is not of the form IP:PORT"),
            (["--src", "[fd00::1"], "--src: '[fd00::1' is not of the form IP:PORT"),
            (["--src", "[fd00::1]80"], "is not of the form IP:PORT"),
            (["--dst", "10.0.0.1:80"], "--dst: '10.0.0.1:80' is not of the form IP:PORT/PROTO"),
            (["--dst", "10.0.0.1/TCP"], "--dst: '10.0.0.1/TCP' is not of the form IP:PORT/PROTO"),
            (["--dst", "10.0.0.1:80/ICMP"], "--dst: 'ICMP' is not TCP, UDP or SCTP"),
            (["--dst", f"[{V6.service}]:80/TCP"], "different address families"),
            (["--cluster-cidr", "10.0.0.1"], "--cluster-cidr: '10.0.0.1' is not a CIDR"),
            (["--service-cidr", "10.0.0.0/33"], "--service-cidr: '10.0.0.0/33' is not a CIDR"),
            (["--node-ip", "here"], "--node-ip: 'here' is not an IP address"),
            (["--nodeport-addresses", "secondary"], "--nodeport-addresses: 'secondary' is not"),
        ],
    )
    def test_values(self, run: Run, objects: Path, given: list[str], message: str) -> None:
        result = run("--objects", objects, *POD, *TO_WEB, *given)
        assert result.code == 2
        (told,) = result.err.splitlines()
        assert message in told

    @pytest.mark.parametrize(
        "given",
        [
            [],
            POD,
            TO_WEB,
            [*POD, *TO_WEB, "--flows", "f"],
            [*POD, "--dst"],
            ["--frum", "pod"],
            [*POD, *TO_WEB, "--live"],
        ],
    )
    def test_usage(self, run: Run, objects: Path, given: list[str]) -> None:
        result = run("--objects", objects, *given)
        assert result.code == 2
        assert "Error: " in result.err
        assert result.out == ""

    def test_without_objects(self, run: Run) -> None:
        result = run(*POD, *TO_WEB)
        assert result.code == 2
        assert "--objects" in result.err

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                yaml.safe_dump_all([{**WEB, "spec": {"ports": [{"port": 0}]}}, SLICE]),
                "Service default/web: spec.ports[0].port: expected int >= 1",
            ),
            ('{"kind": ', ":1:10: not JSON"),
            ("kind: [", ": not YAML"),
            ("kind: Service\n", "missing field metadata"),
        ],
    )
    def test_objects_that_are_broken(self, run: Run, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "broken.yaml"
        path.write_text(text)
        result = run("--objects", path, *POD, *TO_WEB)
        assert result.code == 1
        assert result.out == ""
        (told,) = result.err.splitlines()
        assert told.startswith(f"tcnat: {path}")
        assert message in told

    @pytest.mark.parametrize("option", ["--objects", "--flows"])
    def test_files_that_are_not_there(self, run: Run, objects: Path, tmp_path: Path, option: str) -> None:
        missing = tmp_path / "missing"
        given = {
            "--objects": ["--objects", missing, *POD, *TO_WEB],
            "--flows": ["--objects", objects, "--flows", missing],
        }
        result = run(*given[option])
        assert result.code == 1
        assert result.err == f"tcnat: {missing}: No such file or directory\n"
