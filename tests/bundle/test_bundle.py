"""``make bundle``: real traffic, by an agent whose machine holds the bundle, /proc, /sys, a bpffs, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.bundle.__main__ import pack
from deploy.bundle.modules import WITHOUT, needed
from deploy.bundle.tree import lay_out
from tcnat.cli import COMMANDS
from tcnat.layout import Family
from tests.cluster.standin import SERVICES, SLICES_V1, serving
from tests.lab import Lab
from tests.lab.addresses import service_addresses
from tests.lab.agent import METRICS_PORT
from tests.lab.bare import BareMachine
from tests.lab.clients import Tcp
from tests.lab.commands import CommandFailed
from tests.lab.stage import ECHO, ECHO_PORT, Stage, stage
from tests.lab.versions import Installed

pytestmark = [pytest.mark.root, pytest.mark.slow]

PACKED, RESIDENT = 10_000_000, 33 * 1024
"""At most so many bytes, packed, and so many KiB of memory with 10 Services that came one by one, and once it has been
asked for its metrics. (The mark is 32 MB after a start with 10 Services, which is for the bench to measure.)"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle") / "tcnat"
    lay_out(directory, needed())
    return directory


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backends=2) as made:
        yield made


@pytest.fixture(scope="module")
def machine(lab: Lab, bundle: Path) -> BareMachine:
    return BareMachine(lab, bundle)


@pytest.fixture(scope="module")
def scene(lab: Lab, machine: BareMachine) -> Iterator[Stage]:
    with stage(lab, version=Installed(tuple(machine.command([machine.content / "tcnat"])))) as made:
        yield made


def contents(directory: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_packed_it_is_small(bundle: Path) -> None:
    assert pack(bundle).stat().st_size <= PACKED


@pytest.mark.parametrize("family", list(Family), ids=lambda family: f"IPv{family}")
def test_it_serves_where_there_is_nothing_else(
    scene: Stage, machine: BareMachine, bundle: Path, family: Family
) -> None:
    before = contents(bundle)
    service = scene.service()
    with scene.tcp(service, family) as connection:
        assert connection.server in scene.echoes
        assert connection.echo(b"x" * 50_000) == b"x" * 50_000
    with scene.udp(service, family) as socket:
        assert socket.ask(b"question") in scene.echoes
    assert contents(machine.root / bundle.name).keys() == before.keys(), "it wrote something into itself"
    assert {path.name for path in machine.root.iterdir()} == {"tcnat", "proc", "sys", "tmp", "run"}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_there(scene: Stage, machine: BareMachine, command: str) -> None:
    assert "Usage: tcnat" in scene.lab.node.run(*machine.command([machine.content / "tcnat", command, "--help"]))


def test_what_needs_a_module_that_is_left_out_says_what_it_would_need(scene: Stage) -> None:
    with pytest.raises(
        CommandFailed, match=r"1\ntcnat: this needs the Python module scapy, which is not installed here"
    ):
        scene.agent.tcnat("trace", "--pcap", "/tmp/none.pcap")


def test_the_commands_read_what_the_agent_wrote(scene: Stage) -> None:
    service = scene.service()
    rows = msgspec.json.decode(scene.agent.tcnat("get", "services", "-o", "json"))
    assert {row["address"] for row in rows if row["name"] == service.name} == {
        service.addresses.v4,
        service.addresses.v6,
    }
    assert msgspec.json.decode(scene.agent.tcnat("status", "-o", "json"))["stands"]
    assert msgspec.json.decode(scene.agent.tcnat("check", "-o", "json"))["floor"] == "full"
    assert service.name in scene.agent.tcnat("get", "services", "-o", "yaml")


def test_it_is_scraped_and_stays_small(scene: Stage) -> None:
    while len(scene.agent.services) < 10:
        scene.service()
    assert "tcnat_front_ends " in scene.agent.ask(METRICS_PORT, "/metrics")[1]
    status = Path(f"/proc/{scene.agent.program.pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) <= RESIDENT


def test_it_follows_an_api_server(lab: Lab, machine: BareMachine, scene: Stage) -> None:
    address, backend = service_addresses(200).v4, lab.backends[0]
    port = {"name": "echo", "port": ECHO_PORT, "protocol": "TCP"}
    service = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [port]},
    }
    endpoints = {
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{**port, "port": ECHO[0].target}],
        "endpoints": [{"addresses": [backend.addresses.v4]}],
    }
    scene.agent.stop()
    with lab.node.entered():
        server = serving(lab.directory)
        state, kubeconfig = server.__enter__()
    try:
        state.put(SERVICES, service)
        state.put(SLICES_V1, endpoints)
        words = ["agent", "--kubeconfig", kubeconfig, "--network-device", "eth0", "--pin-path", lab.pins]
        agent = lab.start(lab.node, *machine.command([machine.content / "tcnat", *words]), log="api.log")
        agent.wait_for(lambda: " ready after " in agent.output(), "the agent to be ready", timeout=60)
        with Tcp(lab.node, service_addresses(200), Family.IPV4, ECHO_PORT) as connection:
            assert connection.server == backend.role
        agent.stop()
    finally:
        server.__exit__(None, None, None)


def test_what_is_left_out_is_not_in_it(bundle: Path) -> None:
    there = {path.parts[-1].partition(".")[0] for path in (bundle / "lib" / "python3.11").iterdir()}
    assert there & {name for name in WITHOUT if "." not in name} == set()
    assert os.access(bundle / "tcnat", os.X_OK)


def test_the_launcher_finds_its_bundle_through_a_symbolic_link(lab: Lab, bundle: Path, tmp_path: Path) -> None:
    link = tmp_path / "somewhere" / "tcnat"
    link.parent.mkdir()
    link.symlink_to(bundle / "tcnat")
    assert "tcnat " in lab.node.run(link, "version")
