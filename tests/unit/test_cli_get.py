"""``tcnat get`` and ``tcnat status`` on pinned maps, with no agent."""

from __future__ import annotations

import json
import re
import shutil
import struct
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tcnat import view
from tcnat.attach import Attacher
from tcnat.cli import root
from tcnat.errors import TcnatError
from tcnat.filters import EGRESS, INGRESS, Attachment, Role
from tcnat.layout import Direction, Family, FlowState
from tcnat.links import Filter, Hook
from tcnat.loader import Loaded, load
from tcnat.lock import PinsLock
from tcnat.maps import MapStore
from tcnat.model import Protocol
from tcnat.notes import remove_notes, write_news
from tcnat.resources import ServiceRef
from tcnat.translate import Unserved

from .fakes import FakeSyncer
from .flow_entries import flow_entry
from .front_ends import front_end, service_name

pytestmark = pytest.mark.root

WEB = replace(front_end("10.96.0.1", "web", "10.0.0.1", "10.0.0.2"), affinity_seconds=10800)
EMPTY = front_end("10.96.0.2", "empty")
GONE = front_end("10.96.0.3", "gone", "10.0.0.9")
LARGE = front_end("10.96.0.99", "large", *(f"10.0.1.{n}" for n in range(1, 30)))
DNS = front_end("fd00::a", "dns", "fd00:1::1", port=53, protocol=Protocol.UDP)
OUTSIDE = service_name("outside")
CONVERSATION = "10.1.0.1:40000", "10.96.0.1:80", "10.0.0.1:8080"
QUERY = "[fd00::7]:5353", "[fd00::a]:53", "[fd00:1::1]:8080"


@pytest.fixture(scope="module")
def pins() -> Iterator[Path]:
    pins = Path(f"/sys/fs/bpf/tcnat-test-{uuid.uuid4().hex[:8]}")
    try:
        loaded = load(pins, entries={"services": 128, "slots": 1024, "backends": 64})
        fill(pins, loaded)
        yield pins
    finally:
        shutil.rmtree(pins, ignore_errors=True)
        remove_notes(pins)


def fill(pins: Path, loaded: dict[Family, Loaded]) -> None:
    """Two families with front ends, a flow each, and something counted."""
    stores = {family: MapStore(family, each.maps) for family, each in loaded.items()}
    for store in stores.values():
        store.read()
    stores[Family.IPV4].sync({each.key: each for each in (WEB, EMPTY, GONE, LARGE)})
    stores[Family.IPV4].sync({GONE.key: None})
    stores[Family.IPV6].sync({DNS.key: DNS})
    external_ip = Unserved(OUTSIDE, "externalIP", bytes([192, 0, 2, 1]), 80)
    node_port = Unserved(OUTSIDE, "nodePort", bytes(4), 30080)
    write_news(pins, stores, syncer=FakeSyncer({ServiceRef("default", "outside"): (external_ip, node_port)}))
    now = int(time.monotonic())
    ipv4, ipv6 = loaded[Family.IPV4].maps, loaded[Family.IPV6].maps
    ipv4["flows"].update(*flow_entry(*CONVERSATION, seen=now - 70, timeout=1000))
    ipv4["flows"].update(*flow_entry(*CONVERSATION, seen=now, direction=Direction.REPLY))
    query = flow_entry(*QUERY, protocol=Protocol.UDP, state=FlowState.UNANSWERED, seen=now, timeout=1000)
    ipv6["flows_new"].update(*query)
    for maps, packets in ((ipv4, 3), (ipv6, 4)):
        size = len(maps["counters"].lookup(bytes(4)) or b"")
        maps["counters"].update(bytes(4), struct.pack("=2Q", packets, 1000) + bytes(size - 16))


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(root, [str(each) for each in arguments], standalone_mode=False, catch_exceptions=False)
    assert (result.return_value or 0) == code
    return result.output


def cells(text: str) -> list[list[str]]:
    """The lines of a table, cut at its gutters."""
    return [re.split(r" {2,}", line) for line in text.splitlines()]


def in_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "-o", "json", code=code))


def test_services_are_one_line_each(pins: Path) -> None:
    assert cells(run("get", "services", "--pin-path", pins)) == [
        ["NAMESPACE", "NAME", "PORT", "ADDRESS", "STATE", "BACKENDS"],
        ["default", "web", "main", "10.96.0.1:80/TCP", "serving", "2"],
        ["default", "empty", "main", "10.96.0.2:80/TCP", "rejecting", "0"],
        ["default", "gone", "main", "10.96.0.3:80/TCP", "draining", "0"],
        ["default", "large", "main", "10.96.0.99:80/TCP", "no room", "0"],
        ["default", "outside", "main", "192.0.2.1:80/TCP", "not served", "0"],
        ["default", "outside", "main", "0.0.0.0:30080/TCP", "not served", "0"],
        ["default", "dns", "main", "[fd00::a]:53/UDP", "serving", "1"],
    ]


def test_services_can_be_asked_for_by_name_and_namespace(pins: Path) -> None:
    assert [row["name"] for row in in_json("get", "services", "web", "dns", "--pin-path", pins)] == ["web", "dns"]
    assert in_json("get", "services", "-n", "other", "--pin-path", pins) == []


def test_a_service_in_json_has_its_backends(pins: Path) -> None:
    [web] = in_json("get", "services", "web", "--pin-path", pins)
    backends = web.pop("backends")
    assert [(each["address"], each["port"], each["id"]) for each in backends] == [
        ("10.0.0.1", 8080, 1),
        ("10.0.0.2", 8080, 2),
    ]
    assert sum(each["share"] for each in backends) == pytest.approx(1, abs=0.001)
    assert web == {
        "namespace": "default", "name": "web", "port_name": "main", "protocol": "TCP", "family": 4,
        "address": "10.96.0.1", "port": 80, "state": "serving", "affinity_seconds": 10800, "service_id": 1,
        "slots": 127, "forward_packets": 0, "forward_bytes": 0, "reply_packets": 0, "reply_bytes": 0, "flows_begun": 0,
    }  # fmt: skip


def test_yaml_says_the_same_as_json(pins: Path) -> None:
    for what in ("services", "backends", "flows"):
        text = run("get", what, "-o", "yaml", "--pin-path", pins)
        assert yaml.safe_load(text) == in_json("get", what, "--pin-path", pins)


def test_backends_have_the_name_of_their_service(pins: Path) -> None:
    heading, *rows = cells(run("get", "backends", "-o", "wide", "--pin-path", pins))
    assert heading == ["NAMESPACE", "NAME", "PORT", "BACKEND", "FRONT-ENDS", "ID", "GENERATION"]
    assert rows == [
        ["default", "web", "main", "10.0.0.1:8080/TCP", "1", "1", "1"],
        ["default", "web", "main", "10.0.0.2:8080/TCP", "1", "2", "1"],
        ["default", "dns", "main", "[fd00:1::1]:8080/UDP", "1", "1", "1"],
    ]


def test_flows_tell_who_speaks_with_whom(pins: Path) -> None:
    heading, tcp, udp = cells(run("get", "flows", "--pin-path", pins))
    assert heading == ["PROTOCOL", "CLIENT", "FRONT-END", "BACKEND", "STATE", "IDLE", "SERVICE"]
    assert tcp[:5] == ["TCP", *CONVERSATION, "open"]
    assert re.fullmatch(r"1m\d+s", tcp[5])
    assert udp[:5] == ["UDP", *QUERY, "unanswered"]
    assert (tcp[6], udp[6]) == ("default/web:main", "default/dns:main")


@pytest.mark.parametrize(
    ("asked", "clients"),
    [
        (("--client", "10.1.0.1"), ["10.1.0.1"]),
        (("--front-end", "10.96.0.1"), ["10.1.0.1"]),
        (("--front-end", "10.96.0.1:81"), []),
        (("--front-end", "[fd00::a]:53"), ["fd00::7"]),
        (("--front-end", "fd00::a"), ["fd00::7"]),
        (("--backend", "fd00:1::1"), ["fd00::7"]),
        (("--service", "default/web"), ["10.1.0.1"]),
        (("--service", "dns"), ["fd00::7"]),
        (("--protocol", "udp"), ["fd00::7"]),
        (("--state", "open"), ["10.1.0.1"]),
    ],
)
def test_flows_can_be_asked_for(pins: Path, asked: tuple[str, str], clients: list[str]) -> None:
    rows = in_json("get", "flows", *asked, "--pin-path", pins)
    assert [row["client_address"] for row in rows] == clients


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--client", "web"), "--client web: not an IPv4 or IPv6 address"),
        (("--front-end", "10.96.0.1:http"), "http is no port number"),
        (("--front-end", "10.96.0.1:"), "nothing is no port number"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(pins: Path, asked: tuple[str, str], message: str) -> None:
    with pytest.raises(TcnatError, match=re.escape(message)) as failure:
        run("get", "flows", *asked, "--pin-path", pins)
    assert failure.value.exit_code == 2


@pytest.mark.parametrize("command", [("get", "services"), ("get", "flows"), ("status",)])
def test_where_nothing_is_loaded_it_is_said_in_one_line(command: tuple[str, ...]) -> None:
    with pytest.raises(TcnatError, match="no datapath is loaded under /sys/fs/bpf/tcnat-test-none"):
        run(*command, "--pin-path", "/sys/fs/bpf/tcnat-test-none")


def filters(*, complete: bool = True) -> tuple[Filter, ...]:
    places = ((EGRESS, Hook.EGRESS, 11), (INGRESS, Hook.INGRESS, 12))
    return tuple(
        Filter(3, hook, 1004, 0x0800, 0x7C17, "bpf", name=name, direct_action=True, program=program)
        for name, hook, program in places[: 2 if complete else 1]
    )


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Attachment]:
    """The devices that carry the programs, as if the kernel listed them."""
    there: list[Attachment] = []
    monkeypatch.setattr(Attacher, "find_ours", lambda _: there)
    return there


ETH0 = Attachment("eth0", 3, Role.NETWORK, (Family.IPV4,), True, filters())
VETH = Attachment("veth1", 7, None, (Family.IPV4,), False, filters(complete=False))


def test_devices_and_their_filters(devices: list[Attachment]) -> None:
    devices += [ETH0, VETH]
    assert cells(run("get", "devices", "-o", "wide")) == [
        ["DEVICE", "ROLE", "FAMILIES", "STATE", "INDEX", "FILTERS", "PROGRAMS"],
        ["eth0", "network", "ipv4", "complete", "3", "tcnat_egress@egress:1004,tcnat_ingress@ingress:1004", "11,12"],
        ["veth1", "-", "ipv4", "incomplete", "7", "tcnat_egress@egress:1004", "11"],
    ]
    assert in_json("get", "devices")[0]["filters"][1] == {
        "name": "tcnat_ingress", "hook": "ingress", "family": 4, "priority": 1004, "program": 12
    }  # fmt: skip


def test_status_says_whether_the_datapath_stands(pins: Path, devices: list[Attachment]) -> None:
    text = run("status", "--pin-path", pins, code=1)
    assert "datapath  loaded, but no device carries its programs" in text
    devices.append(VETH)
    assert "incomplete" in run("status", "--pin-path", pins, code=1)
    devices.append(ETH0)
    assert "datapath  stands" in run("status", "--pin-path", pins)


def test_status_counts(pins: Path, devices: list[Attachment]) -> None:
    devices.append(ETH0)
    text = run("status", "--pin-path", pins)
    lines = cells(text)
    assert ["ipv4", "2", "1", "2", "1", "0"] in lines
    assert ["ipv6", "1", "0", "1", "0", "1"] in lines
    assert ["services", "ipv4", "9", "128", "7.0%"] in lines
    assert ["slots", "ipv4", "127", "1024", "12.4%"] in lines
    assert ["flows", "ipv4", "2", "131072", "0.0%"] in lines
    assert ["forwarded", "rewrite", "7", "2.0K", "sent on to a backend"] in lines
    assert ["10.96.0.99:80/TCP", "default/large:main", "slots", "1024"] in lines
    assert "reversed" not in text
    assert "reversed" in run("status", "-o", "wide", "--pin-path", pins)


def test_status_in_json(pins: Path, devices: list[Attachment]) -> None:
    devices.append(ETH0)
    found = in_json("status", "--pin-path", pins)
    assert list(found) == [
        "stands", "pins", "agent_running", "agent_pid", "devices", "families", "reasons", "no_room"
    ]  # fmt: skip
    assert found["stands"] is True
    assert found["reasons"][0] == {
        "reason": "forwarded", "verdict": "rewrite", "packets": 7, "bytes": 2000, "words": "sent on to a backend"
    }  # fmt: skip
    assert [each["address"] for each in found["no_room"]] == ["10.96.0.99"]
    assert yaml.safe_load(run("status", "-o", "yaml", "--pin-path", pins)) == found


def test_status_names_the_agent_that_holds_the_pins(pins: Path, devices: list[Attachment]) -> None:
    devices.append(ETH0)
    assert "agent     not running" in run("status", "--pin-path", pins)
    with PinsLock(pins) as lock:
        try:
            assert re.search(r"agent     running \(pid \d+\)", run("status", "--pin-path", pins))
        finally:
            lock.path.unlink()


def test_watching_shows_it_again(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("tcnat.cli.reading.sleep", sleep)
    result = CliRunner().invoke(root, ["get", "services", "-w", "--interval", "0.5", "--pin-path", str(pins)])
    assert result.output.count("NAMESPACE") == 1  # into a pipe, what has not changed is not shown again
    assert slept == [0.5, 0.5]


def test_the_clock_of_a_replay_is_the_clock_that_flows_go_by(pins: Path) -> None:
    assert view.programs_seconds({"settings": Clock(5_000_000_000)}, 77.9) == 5
    assert view.programs_seconds({"settings": Clock(0)}, 77.9) == 77


class Clock:
    """A settings map with that time in it."""

    def __init__(self, now: int) -> None:
        self._value = struct.pack("=Q6I", now, *[0] * 6)

    def lookup(self, _key: bytes) -> bytes:
        return self._value
