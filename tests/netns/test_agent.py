"""The agent as a process: what it refuses, what it leaves behind, what it tells, and that it is small."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcnat import loader
from tcnat.layout import Choice, FlowState
from tcnat.lock import lock_path
from tcnat.notes import notes_path
from tests.lab import Lab
from tests.lab.agent import HEALTH_PORT, METRICS_PORT
from tests.lab.commands import CommandFailed, Program, run, wait_until

from .node import Node, service

SMALL = 48 * 1024
"""KiB of resident memory that the agent may have with 10 Services."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backends=1) as made:
        yield made


_numbers = itertools.count(1)


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    node = Node(lab, next(_numbers))
    node.write(service(1), service(2))
    yield node
    node.remove()


@pytest.fixture
def agent(node: Node) -> Iterator[Program]:
    """An agent that is ready."""
    program = node.ready_agent()
    yield program
    program.stop()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_second_agent_on_the_same_pins_is_told_who_holds_them(node: Node, agent: Program) -> None:
    line = node.refused()
    assert f"pid {agent.pid}" in line
    assert str(node.pins) in line
    assert agent.running
    assert node.filters() == 4


def test_a_second_agent_on_other_pins_leaves_the_first_ones_devices_alone(node: Node, agent: Program) -> None:
    other = node.pins.with_name(f"{node.pins.name}-other")
    line = node.refused("--pin-path", other)
    assert f"pid {agent.pid}, pins at {node.pins}" in line
    assert "serves the devices of this network namespace" in line
    assert not other.exists()
    assert agent.running
    assert node.filters() == 4


def test_cleanup_of_other_pins_leaves_an_agents_devices_alone(node: Node, agent: Program) -> None:
    other = node.pins.with_name(f"{node.pins.name}-other")
    with pytest.raises(CommandFailed, match=f"pid {agent.pid}, pins at {node.pins}"):
        run(node.lab.node.command([sys.executable, "-m", "tcnat", "cleanup", "--pin-path", other]))
    assert node.filters() == 4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--objects", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["--network-device", "eth*"], "give the exact name of a device"),
        (["--healthz-bind-address", "192.0.2.1:10256"], "cannot listen at 192.0.2.1:10256 for healthz"),
        (["--pin-path", "/tmp/not-a-bpffs"], "is not in a bpffs"),
    ],
)
def test_a_start_that_cannot_go_on_changes_nothing(node: Node, options: list[str], word: str) -> None:
    assert word in node.refused(*options)
    assert not node.pins.exists()
    assert node.filters() == 0


# --- the end ----------------------------------------------------------------------------------------------------------


def test_what_it_made_stays_when_it_ends_and_goes_with_cleanup(node: Node, agent: Program) -> None:
    assert agent.stop(signal.SIGTERM) == 0
    assert node.filters() == 4
    assert node.serves(service(1))
    run(node.lab.node.command([sys.executable, "-m", "tcnat", "agent", "--cleanup", "--pin-path", node.pins]))
    assert node.filters() == 0
    assert not node.pins.exists()


def test_cleanup_on_exit_leaves_nothing(node: Node) -> None:
    program = node.ready_agent("--cleanup-on-exit")
    assert node.filters() == 4
    assert program.stop(signal.SIGTERM) == 0
    assert node.filters() == 0
    assert not node.pins.exists()
    assert not lock_path(node.pins).exists()
    assert not notes_path(node.pins).exists()


# --- objects ----------------------------------------------------------------------------------------------------------


def test_a_changed_file_is_in_the_maps_at_once(node: Node, agent: Program) -> None:
    began = time.monotonic()
    node.write(service(3), file="more.json")
    wait_until(lambda: node.serves(service(3)), "the new Service")
    assert time.monotonic() - began < 2
    (node.objects / "more.json").unlink()
    wait_until(lambda: not node.serves(service(3)), "the Service to go")
    assert node.serves(service(1))


def test_sighup_finds_what_the_watcher_cannot_see(node: Node, agent: Program) -> None:
    elsewhere = node.objects.with_name(f"{node.objects.name}-elsewhere.json")
    os.link(node.objects / "all.json", elsewhere)
    content = json.loads(elsewhere.read_text())
    elsewhere.write_text(json.dumps({**content, "items": content["items"][:3]}))
    time.sleep(0.5)
    assert node.serves(service(2))
    agent.send(signal.SIGHUP)
    wait_until(lambda: not node.serves(service(2)), "the change that was made through another directory")
    assert node.serves(service(1))


def test_a_broken_file_is_told_and_costs_nothing(node: Node, agent: Program) -> None:
    file = node.objects / "all.json"
    good = file.read_text()
    node.write(service(3), file="more.json")
    broken = json.loads(good)
    broken["items"][0]["spec"]["ports"][0]["port"] = 70000
    file.write_text(json.dumps(broken))
    wait_until(lambda: node.health()["objectErrors"], "the error in /healthz")
    [error] = node.health()["objectErrors"]
    assert error.startswith(f"{file}: Service default/service-1: spec.ports[0].port: ")
    assert error in agent.output()
    assert node.metric("tcnat_object_errors") == 1
    assert node.ask(HEALTH_PORT, "/healthz")[0] == 200
    assert all(node.serves(service(number)) for number in (1, 2, 3))
    file.write_text(good)
    wait_until(lambda: not node.health()["objectErrors"], "the error to go")


def test_a_restart_on_broken_objects_removes_nothing_until_they_are_mended(node: Node, agent: Program) -> None:
    agent.stop(signal.SIGKILL)
    file = node.objects / "all.json"
    file.write_text('{"kind": "List", "items": [')
    again = node.ready_agent()
    assert node.serves(service(1))
    assert node.serves(service(2))
    node.write(service(2))
    wait_until(lambda: not node.serves(service(1)), "what nobody wants to go")
    assert node.serves(service(2))
    again.stop()


def test_front_ends_without_room_are_named_everywhere_and_served_when_there_is(node: Node) -> None:
    loader.load(node.pins, entries={"backends": 8})
    node.write(service(1, 3), service(2, 3), service(3, 3))
    program = node.ready_agent()
    [full] = [number for number in (1, 2, 3) if not node.serves(service(number))]
    name = f"default/service-{full}:web"
    assert f"service={name} map=backends entries=8" in program.output()
    assert node.metric('tcnat_front_ends_unfit{map="backends"}') == 2  # one in each family
    status = node.lab.node.run(sys.executable, "-m", "tcnat", "status", "--pin-path", node.pins)
    assert name in status.split("NO ROOM FOR")[1]
    other = full % 3 + 1
    node.write(*(service(number, 3) for number in (1, 2, 3) if number != other))
    wait_until(lambda: node.serves(service(full)), "the Service that now fits")
    assert node.metric('tcnat_front_ends_unfit{map="backends"}') == 0
    program.stop()


# --- devices ----------------------------------------------------------------------------------------------------------


def test_a_device_that_comes_later_is_served(node: Node) -> None:
    program = node.ready_agent(device="later0")
    assert "no network device later0 yet" in program.output()
    node.lab.node.ip("link add later0 type veth peer name later1")
    try:
        wait_until(lambda: node.filters("later0") == 4, "the filters of the new device")
        assert node.metric('tcnat_devices{role="network"}') == 1
    finally:
        node.lab.node.ip("link del later0")
    wait_until(lambda: node.metric('tcnat_devices{role="network"}') == 0, "the device to be forgotten")
    program.stop()


def test_what_others_removed_is_put_back(node: Node, agent: Program) -> None:
    node.lab.node.run("tc", "qdisc", "del", "dev", "eth0", "clsact")
    wait_until(lambda: agent.output().count("programs attached") == 2, "the filters to be back")
    assert node.filters() == 4


# --- what it goes by and tells ----------------------------------------------------------------------------------------


def test_flags_reach_the_programs_settings_and_a_restart_changes_them(node: Node) -> None:
    options = ["--unknown-port=reject", "--echo=drop", "--tcp-timeout=2h", "--udp-timeout=40s", "--sctp-timeout=50s"]
    node.ready_agent(*options, "--tcp-half-closed-timeout=10m").stop()
    settings = node.store().read_settings()
    assert (settings.unknown_port, settings.echo) == (Choice.REJECT, Choice.DROP)
    expected = {
        FlowState.OPEN: 7200,
        FlowState.ANSWERED: 40,
        FlowState.CLIENT_CLOSED: 600,
        FlowState.BACKEND_CLOSED: 600,
    }
    assert {state: settings.timeouts[state] for state in expected} == expected
    assert settings.sctp_timeout == 50
    node.ready_agent().stop()
    assert node.store().read_settings().echo is Choice.ANSWER


def test_a_config_file_does_what_flags_do(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(f"objects: [{node.objects}]\nnetwork-device: eth0\npin-path: {node.pins}\nsyncPeriod: 10s\n")
    words = [sys.executable, "-m", "tcnat", "agent", "--config", file]
    program = node.lab.start(node.lab.node, *words, log="configured.log")
    program.wait_for(lambda: " ready after " in program.output(), "the agent to be ready", timeout=30)
    assert node.filters() == 4
    assert program.stop() == 0


def test_it_tells_its_mode_its_health_and_what_it_chose(node: Node, agent: Program) -> None:
    assert node.ask(METRICS_PORT, "/proxyMode") == (200, "tc")
    assert node.health()["healthy"] is True
    assert node.ask(HEALTH_PORT, "/livez")[0] == 200
    assert node.metric("tcnat_front_ends") == 4
    assert node.metric('tcnat_map_capacity{family="ipv4",map="flows"}') == 131072
    assert node.metric('tcnat_packets_total{family="ipv6",reason="forwarded",verdict="rewrite"}') == 0
    assert "datapath=tc (auto: " in agent.output()


# --- its size ---------------------------------------------------------------------------------------------------------


def test_with_ten_services_it_is_small_and_has_no_compiler_in_it(node: Node) -> None:
    node.write(*(service(number, 3) for number in range(1, 11)))
    program = node.ready_agent()
    node.metric("tcnat_front_ends")
    status = Path(f"/proc/{program.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    mapped = Path(f"/proc/{program.pid}/maps").read_text()
    program.stop()
    assert resident <= SMALL
    assert "libbcc" not in mapped
    assert "LLVM" not in mapped
