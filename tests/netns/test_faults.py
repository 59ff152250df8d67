"""What goes wrong on a node, one fault at a time: docs/faults.md says what is to become of each."""

from __future__ import annotations

import errno
import itertools
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tcnat import bpf
from tcnat.bytecode import Bytecode, ProgramCode, bytecode, source_digest
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.loader import load
from tests.lab import Lab
from tests.lab.agent import METRICS_PORT
from tests.lab.commands import run, wait_until
from tests.lab.objects import Service
from tests.lab.stage import Stage, stage

from .node import Node, service

_numbers = itertools.count(100)


@contextmanager
def mounted(kind: str, path: Path, options: str = "rw") -> Iterator[Path]:
    """A file system of the test's own."""
    path.mkdir(exist_ok=True)
    run(["mount", "-t", kind, "-o", options, "none", path])
    try:
        yield path
    finally:
        run(["umount", "--lazy", path], check=False)


# --- starts that cannot be --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backends=1) as made:
        yield made


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    node = Node(lab, next(_numbers))
    node.write(service(1))
    yield node
    node.within = []
    node.remove()


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOMEM, "Cannot allocate memory"), (errno.EPERM, "a memlock limit that can be raised")]
)
def test_a_map_that_the_kernel_has_no_room_for_is_one_line_and_changes_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """EPERM is what kernels before 5.11 answer where the limit is too low."""
    call = bpf._call

    def refuse(command: bpf.Command, attributes: Any, size: int | None = None) -> int:
        wanted = command is bpf.Command.MAP_CREATE and attributes.max_entries == 12345
        return -number if wanted else call(command, attributes, size)

    monkeypatch.setattr(bpf, "_call", refuse)
    with pytest.raises(TcnatError, match=f"map flows with 12345 entries cannot be made: .*{words}"):
        load(node.pins, entries={"flows": 12345})
    assert not node.pins.exists()


def without(*capabilities: str) -> list[str]:
    """The words that start a program of root's which can never have these capabilities."""
    return ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in capabilities)}"]


@pytest.mark.parametrize(
    ("within", "says"),
    [
        (without("sys_admin", "bpf"), "this process lacks CAP_BPF: run as root"),
        (without("net_admin"), "this process lacks CAP_NET_ADMIN: run as root"),
        (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "lacks CAP_NET_ADMIN and CAP_BPF"),
    ],
    ids=["no bpf", "no filters", "nobody"],
)
def test_a_right_that_is_missing_is_one_line_and_changes_nothing(node: Node, within: list[str], says: str) -> None:
    node.within = within
    assert says in node.refused()
    assert node.filters() == 0


def test_a_low_memlock_limit_that_nobody_may_lift_does_not_matter_where_maps_are_not_counted_by_it(node: Node) -> None:
    """From Linux 5.11 on; before, the line is the one of a missing right, which names the limit."""
    node.within = ["prlimit", "--memlock=65536:65536", *without("sys_resource")]
    node.ready_agent().stop()


def test_pins_that_cannot_be_written_are_one_line(node: Node, lab: Lab) -> None:
    with mounted("bpf", lab.directory / "bpffs") as pins:
        node.pins = pins
        run(["mount", "-o", "remount,ro", pins])
        assert re.search(r"/ipv[46] cannot be made: Read-only file system; run as root, in a bpffs", node.refused())
        assert node.filters() == 0
        run(["mount", "-o", "remount,rw", pins])


# --- the cache of bytecode --------------------------------------------------------------------------------------------


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Family]:
    """The families that were compiled for; nothing is really."""
    done: list[Family] = []

    def compile_apart(family: Family) -> Bytecode:
        done.append(family)
        code = ProgramCode("tc_egress", b"\x95" + bytes(8191), ())
        return Bytecode(int(family), source_digest(family), "1", "any", (code,))

    monkeypatch.setattr("tcnat.bytecode.compile_apart", compile_apart)
    monkeypatch.setattr("tcnat.bytecode.bcc_version", lambda: "1")
    return done


def test_a_full_disk_costs_the_cache_and_nothing_else(
    compiled: list[Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted("tmpfs", tmp_path / "full", "size=4k") as cache:
        monkeypatch.setenv("TCNAT_CACHE", str(cache))
        assert bytecode(Family.IPV4).programs
        assert "the bytecode is not cached, so the next start compiles again: [Errno 28]" in caplog.text
        assert list(cache.iterdir()) == []
        bytecode(Family.IPV4)
    assert compiled == [Family.IPV4] * 2


def test_a_cache_that_may_not_be_written_costs_nothing_else(
    compiled: list[Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted("tmpfs", tmp_path / "readonly", "ro") as cache:
        monkeypatch.setenv("TCNAT_CACHE", str(cache / "tcnat"))
        assert bytecode(Family.IPV4).programs
    assert "the bytecode is not cached" in caplog.text


@pytest.mark.parametrize("harm", [lambda raw: raw[:-1], lambda raw: raw[:40] + b"?" + raw[41:], lambda _: b""])
def test_a_damaged_entry_is_told_compiled_again_and_replaced(
    compiled: list[Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm
) -> None:
    monkeypatch.setenv("TCNAT_CACHE", str(tmp_path))
    good = bytecode(Family.IPV4)
    [entry] = tmp_path.iterdir()
    entry.write_bytes(harm(entry.read_bytes()))
    assert bytecode(Family.IPV4) == good
    assert f"bytecode cache entry {entry} is not used" in caplog.text
    assert bytecode(Family.IPV4) == good
    assert compiled == [Family.IPV4] * 2


# --- an agent at work -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def own(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The agent with its pins in a bpffs of its own, which it adopted from an earlier run."""
    with Lab(pods=request.param) as lab, mounted("bpf", lab.directory / "bpffs") as bpffs:
        lab.pins = bpffs / "tcnat"
        with stage(lab) as made:
            made.agent.stop()
            made.agent.start()
            yield made


def serves(own: Stage, to: Service) -> set[str]:
    """Who answers new connections and flows of each family and protocol; each has to be answered."""
    servers = set()
    for family in [*Family] * 6:
        with own.tcp(to, family) as connection, own.udp(to, family) as flow:
            servers |= {connection.server, flow.ask(b"x" * 100)}
    return servers


def restored(own: Stage) -> float:
    """The metric of filters that were put back."""
    [line] = re.findall(
        r"^tcnat_filters_restored_total (.*)$", own.agent.ask(METRICS_PORT, "/metrics")[1], re.MULTILINE
    )
    return float(line)


def test_filters_that_somebody_deletes_come_back_and_are_counted(own: Stage) -> None:
    to, device = own.service(), own.lab.served[1].replace("*", "1")
    hook = "ingress" if own.lab.pods else "egress"
    before = own.agent.filters()
    with own.tcp(to, Family.IPV4) as connection:
        for lost, words in (
            (1, ["filter", "del", "dev", device, hook, "pref", "1004"]),
            (4, ["qdisc", "del", "dev", device, "clsact"]),
        ):
            count = restored(own)
            own.lab.node.run("tc", *words)
            wait_until(lambda lost=lost, count=count: restored(own) == count + lost, "the filters to be counted")
            assert sorted(own.agent.filters()) == sorted(before)
            assert connection.echo(b"x" * 1000) == b"x" * 1000
    assert len(serves(own, to)) > 1


@pytest.mark.parametrize("how", ["unmounted", "removed"])
def test_pins_that_somebody_takes_away_cost_no_packet_and_come_back(own: Stage, how: str) -> None:
    to, pins = own.service(), own.lab.pins
    connections = [own.tcp(to, family) for family in Family]
    if how == "removed":
        shutil.rmtree(pins)
    else:
        run(["umount", "--lazy", pins.parent])
        own.agent.program.send(signal.SIGHUP)
        wait_until(lambda: "is not in a bpffs" in own.agent.program.output(), "the word that the bpffs is gone")
        assert len(serves(own, to)) > 1
        run(["mount", "-t", "bpf", "none", pins.parent])
    own.agent.program.send(signal.SIGHUP)
    wait_until(lambda: own.agent.program.output().count("are there again") >= 2, "the pins of both families")
    state = own.agent.state()
    own.agent.stop(signal.SIGKILL)
    assert len(serves(own, to)) > 1
    own.agent.start()
    assert own.agent.state() == state
    for connection in connections:
        assert connection.echo(b"x" * 1000) == b"x" * 1000
        connection.socket.close()


def test_an_agent_that_was_stopped_makes_up_for_what_it_missed(own: Stage) -> None:
    to, device = own.service([own.backends[0]]), own.lab.served[1].replace("*", "1")
    count = restored(own)
    own.agent.program.send(signal.SIGSTOP)
    try:
        assert serves(own, to) == {"backend1"}
        moved = to.with_endpoints([own.backends[1].addresses])
        own.agent.write_unheeded([*own.agent.services.values(), moved][-1:])
        own.lab.node.run("tc", "filter", "del", "dev", device, "ingress", "pref", "1006")
        assert len(own.agent.filters()) == 3
    finally:
        own.agent.program.send(signal.SIGCONT)
    wait_until(lambda: restored(own) == count + 1, "the filter to be back")
    wait_until(lambda: serves(own, moved) == {"backend2"}, "the change that was missed")
    assert own.agent.health()["healthy"] is True
