"""Cleanup in a namespace and below pins of its own: everything of tcnat's goes, and nothing else."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tcnat.attach import Attacher, Programs, Role
from tcnat.bpf import Map
from tcnat.cleanup import cleanup
from tcnat.errors import TcnatError
from tcnat.layout import MapType
from tcnat.lock import PinsLock
from tests.lab.namespace import Namespace
from tests.netns.filtering import SHOT, Loaded, program, qdiscs, shown, tc, veth_namespace

pytestmark = pytest.mark.root


@pytest.fixture
def netns() -> Iterator[Namespace]:
    with veth_namespace("cleanup") as namespace:
        yield namespace


@pytest.fixture
def pins() -> Iterator[Path]:
    """A directory of pins as a loader leaves them; goes with all that is in it."""
    root = Path("/sys/fs/bpf", f"tcnat-test-{uuid.uuid4().hex[:12]}")
    for family in ("ipv4", "ipv6"):
        directory = root / "v1" / family
        directory.mkdir(parents=True)
        Map.create(MapType.ARRAY, 4, 4, 1).pin(directory / "settings")
        program().pin(directory / "program_egress")
    yield root
    for place, directories, files in os.walk(root, topdown=False):
        for name in files:
            Path(place, name).unlink()
        for name in directories:
            Path(place, name).rmdir()
    if root.exists():
        root.rmdir()


@pytest.fixture
def attached(netns: Namespace) -> None:
    attacher, loaded = Attacher(str(netns.path)), Loaded()
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    attacher.attach("peer0", Role.WORKLOAD, loaded.programs)
    attacher.close()


def clean(netns: Namespace, pins: Path, run: Path, **options):
    return cleanup(pins, netns=str(netns.path), run_directory=run, **options)


@pytest.mark.usefixtures("attached")
def test_filters_pins_and_files_go_and_are_named(netns, pins, tmp_path):
    with PinsLock(pins, tmp_path) as lock:
        notes = lock.path.with_suffix(".json")
        notes.write_text("{}")
    removed = clean(netns, pins, tmp_path)
    assert removed.lines() == [
        "eth0: 4 filters removed and its clsact",
        "peer0: 4 filters removed and its clsact",
        "4 pins removed",
        f"{notes} removed",
        f"{lock.path} removed",
    ]
    assert qdiscs(netns, "eth0") == ["noqueue"]
    assert not pins.exists()
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_nothing_it_says_so(netns, tmp_path):
    removed = clean(netns, Path("/sys/fs/bpf/tcnat-test-none"), tmp_path)
    assert removed.lines() == ["nothing to remove"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("attached")
def test_twice_is_once(netns, pins, tmp_path):
    clean(netns, pins, tmp_path)
    assert clean(netns, pins, tmp_path).lines() == ["nothing to remove"]


@pytest.mark.usefixtures("attached")
def test_filters_of_others_and_their_clsact_stay(netns, pins, tmp_path):
    tc(netns, "filter add dev eth0 ingress pref 5 protocol ip u32 match u32 0 0 classid 1:7")
    netns.ip("link add other type veth peer name other0")
    tc(netns, "qdisc add dev other clsact")
    removed = clean(netns, pins, tmp_path)
    assert removed.filters == {"eth0": 4, "peer0": 4}
    assert removed.clsact == ["peer0"]
    assert [row[0] for row in shown(netns, "eth0", "ingress")] == [5]
    assert "clsact" in qdiscs(netns, "other")


@pytest.mark.usefixtures("attached")
def test_half_an_attachment_goes_too(netns, pins, tmp_path):
    tc(netns, "filter del dev eth0 egress pref 1004")
    assert clean(netns, pins, tmp_path).filters == {"eth0": 3, "peer0": 4}


def test_pins_of_others_stay_and_are_named(netns, pins, tmp_path):
    beside = pins / "not_ours"
    below = pins / "v1" / "ipv5"
    deep = pins / "v1" / "ipv4" / "directory"
    for directory in (beside, below, deep):
        directory.mkdir()
    removed = clean(netns, pins, tmp_path)
    assert removed.pins == 4
    assert removed.lines()[1:] == [f"{path} is not tcnat's: left alone" for path in sorted((beside, below, deep))]
    assert all(path.exists() for path in (beside, below, deep))
    assert not (pins / "v1" / "ipv6").exists()


def test_a_pin_path_that_holds_others_pins_loses_nothing(netns, pins, tmp_path):
    """As with --pin-path /sys/fs/bpf by mistake."""
    around = pins / "around"
    (around / "theirs").mkdir(parents=True)
    Map.create(MapType.ARRAY, 4, 4, 1).pin(around / "theirs" / "map")
    removed = clean(netns, around, tmp_path)
    assert (removed.pins, removed.left) == (0, [around / "theirs"])
    assert (around / "theirs" / "map").exists()


@pytest.mark.usefixtures("attached")
def test_it_refuses_while_an_agent_runs(netns, pins, tmp_path):
    with (
        PinsLock(pins, tmp_path),
        pytest.raises(TcnatError, match=rf"an agent \(pid {os.getpid()}\) holds the pins at {pins}: stop it first"),
    ):
        clean(netns, pins, tmp_path)
    assert len(shown(netns, "eth0", "egress")) == 2
    assert (pins / "v1" / "ipv4" / "settings").exists()


@pytest.mark.usefixtures("attached")
def test_forced_it_cleans_under_a_running_agent_and_leaves_its_lock(netns, pins, tmp_path):
    with PinsLock(pins, tmp_path) as lock:
        removed = clean(netns, pins, tmp_path, force=True)
        assert removed.filters == {"eth0": 4, "peer0": 4}
        assert lock.path.exists()
        with pytest.raises(TcnatError, match="held by another agent"):
            PinsLock(pins, tmp_path).acquire()


def test_no_agent_can_start_while_it_cleans(netns, pins, tmp_path, monkeypatch):
    refusals = []

    def start_an_agent(self):
        with pytest.raises(TcnatError, match="held by another agent"):
            PinsLock(pins, tmp_path).acquire()
        refusals.append(True)
        return []

    monkeypatch.setattr(Attacher, "find_ours", start_an_agent)
    clean(netns, pins, tmp_path)
    assert refusals


def test_traffic_that_was_dropped_passes_again(netns, pins, tmp_path):
    """The filters' effect goes with them, not only their names."""
    dropper = program(SHOT)
    attacher = Attacher(str(netns.path))
    attacher.attach("lo", Role.NETWORK, Programs(dropper.fd, dropper.fd))
    attacher.close()
    server, client = (netns.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    server.bind(("127.0.0.1", 0))
    server.settimeout(0.1)
    with suppress(OSError):
        client.sendto(b"lost", server.getsockname())
    with pytest.raises(TimeoutError):
        server.recv(10)
    clean(netns, pins, tmp_path)
    client.sendto(b"heard", server.getsockname())
    assert server.recv(10) == b"heard"


class TestCommand:
    def run(self, netns: Namespace, *arguments: str | Path) -> tuple[int, str]:
        done = subprocess.run(
            netns.command([sys.executable, "-m", "tcnat", "cleanup", *arguments]),
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        return done.returncode, done.stdout + done.stderr

    @pytest.mark.usefixtures("attached")
    def test_it_says_what_it_removed(self, netns, pins):
        code, said = self.run(netns, "--pin-path", pins)
        assert code == 0
        assert sorted(said.splitlines()) == [
            "4 pins removed",
            "eth0: 4 filters removed and its clsact",
            "peer0: 4 filters removed and its clsact",
        ]

    def test_nothing_to_remove_ends_well(self, netns):
        assert self.run(netns, "--pin-path", "/sys/fs/bpf/tcnat-test-none") == (0, "nothing to remove\n")

    def test_an_agent_in_the_way_is_one_line(self, netns, pins):
        with PinsLock(pins) as lock:
            code, said = self.run(netns, "--pin-path", pins)
        lock.path.unlink()
        assert code == 1
        assert said.startswith(f"tcnat: an agent (pid {os.getpid()}) holds the pins")
        assert said.count("\n") == 1

    def test_a_pin_path_that_is_a_file_is_one_line(self, netns, tmp_path):
        path = tmp_path / "file"
        path.write_text("")
        assert self.run(netns, "--pin-path", path) == (
            1,
            f"tcnat: {path} is not a directory: name the agent's --pin-path\n",
        )


def test_an_agent_that_had_opened_the_lock_file_before_it_was_removed_holds_the_new_one(pins, tmp_path, monkeypatch):
    """Else two agents could hold the same pins: one by the removed file, one by its successor."""
    really = fcntl.flock
    removals = []

    def remove_first(fd, operation):
        if not removals:
            removals.append(PinsLock(pins, tmp_path).path.unlink())
        return really(fd, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with PinsLock(pins, tmp_path), pytest.raises(TcnatError, match="held by another agent"):
        PinsLock(pins, tmp_path).acquire()
